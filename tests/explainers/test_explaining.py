"""What explain() makes of natural and of odd requests."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers.types import Verdict
from model_zoo.types import Players

X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])


def test_a_background_given_to_a_method_of_one_baseline_is_its_mean(linear_model) -> None:
    model, weights = linear_model()
    rows = np.random.default_rng(0).normal(size=(7, 5))
    found = explainers.explain(model, X, "integrated_gradients", target=1, background=rows)
    np.testing.assert_allclose(found.values, weights[1] * (X - rows.mean(0)), rtol=1e-6)
    assert "mean of" in found.reference.sentence


def test_a_background_beside_a_baseline_serves_the_methods_that_average(linear_model) -> None:
    model, weights = linear_model()
    rows = np.random.default_rng(0).normal(size=(7, 5))
    found = explainers.explain(model, X, "kernel_shap", target=1, background=rows, baseline=0.0)
    np.testing.assert_allclose(found.values, weights[1] * (X - rows.mean(0)), rtol=1e-6)


def test_a_small_difference_counts_on_a_large_number() -> None:
    """The library's closeness takes 1,000,009 for 1,000,000; the model does not."""
    model = model_zoo.wrap(
        lambda rows: np.asarray(rows) @ [1.0, 1.0], feature_names=["price", "one"], background=np.array([[1e6, 0.0]])
    )
    found = explainers.explain(model, [1_000_009.0, 1.0], "kernel_shap")
    np.testing.assert_allclose(found.values, [9.0, 1.0], rtol=1e-6)
    assert found.base_value == pytest.approx(1e6)


def test_tiny_outputs_are_tested_too() -> None:
    model = model_zoo.wrap(lambda rows: 1e-8 * (np.asarray(rows) @ [1.0, 2.0]), feature_names=["a", "b"])
    found = explainers.explain(model, [1.0, 1.0], "kernel_shap")
    np.testing.assert_allclose(found.values, [1e-8, 2e-8], rtol=1e-6)
    assert found.evidence[0].verdict is Verdict.BY_CONSTRUCTION


def test_only_the_embedding_of_the_input_is_replaced() -> None:
    """A network that embeds a fixed prompt with the same table: the path leaves the prompt alone."""

    class Prompted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table = torch.nn.Embedding(13, 8)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            prompt = self.table(torch.full((len(ids), 1), 3)).sum(1)
            return self.head(self.table(ids).sum(1) * prompt)

    network = Prompted()
    model = model_zoo.wrap(network, modality="text", embedding="table", class_names=["no", "yes"])
    ids = np.array([5, 7, 9])
    found = explainers.explain(model, ids, "integrated_gradients", target=1, baseline=0, players="tokens")
    with torch.no_grad():  # linear in the embedding of the input, so each token's share is exact
        change = network.table.weight[torch.tensor(ids)] - network.table.weight[0]
        exact = (change * network.table.weight[3]) @ network.head.weight[1]
    np.testing.assert_allclose(found.values, exact.numpy(), rtol=1e-4)
    assert found.evidence[0].verdict is Verdict.GOOD


def test_adding_up_is_judged_by_the_models_own_forward() -> None:
    """The embedding is bypassed for one token id, so a path through it starts elsewhere than the model does."""

    class Bypass(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table = torch.nn.Embedding(5, 4)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.table(ids).sum((1, 2)) + 10.0 * (ids == 0).sum(1)

    model = model_zoo.wrap(Bypass(), modality="text", task="regression", embedding="table")
    found = explainers.explain(model, np.array([1, 2, 3]), "integrated_gradients", baseline=0)
    assert found.evidence[0].verdict is Verdict.BAD


def test_the_first_call_knows_what_the_network_can() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )
    model = model_zoo.wrap(lambda pictures: network(pictures), modality="image")
    picture = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    assert explainers.explain(model, picture, "grad_cam").values.shape == (256,)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_a_scripted_module_and_one_whose_numbers_are_buffers() -> None:
    scripted = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)))

    class Weighted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weights", torch.tensor([2.0, -1.0], dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weights

    for network in (scripted, Weighted()):
        model = model_zoo.wrap(network, feature_names=["a", "b"])
        found = explainers.explain(model, [1.0, 3.0], "integrated_gradients")
        assert found.values.sum() == pytest.approx(found.explained - found.base_value, rel=0.01)


def test_inside_inference_mode_gradients_still_flow(linear_model) -> None:
    model, weights = linear_model()
    with torch.inference_mode():
        found = explainers.explain(model, X, "saliency", target=0)
    np.testing.assert_allclose(found.values, weights[0])


def test_a_baseline_without_a_finite_answer_is_a_sentence() -> None:
    with np.errstate(divide="ignore"):
        model = model_zoo.wrap(lambda rows: np.log(np.asarray(rows)).sum(1), feature_names=["a", "b"])
        with pytest.raises(explainers.UserError, match="finite"):
            explainers.explain(model, [1.0, 2.0], "kernel_shap", baseline=0.0)


def test_an_input_that_the_network_cannot_take_is_a_sentence() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    model = model_zoo.wrap(network, modality="image")
    explainers.explain(model, np.zeros((3, 8, 8), dtype=np.float32), "saliency")
    with pytest.raises(explainers.UserError, match=r"could not be run on 1 inputs of shape \(3, 9, 9\)"):
        explainers.explain(model, np.zeros((3, 9, 9), dtype=np.float32), "saliency")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"method": "nonsense"}, "no method 'nonsense'; expected one of: "),
        ({"target": "purple"}, "no class 'purple'; the nearest"),
        ({"target": 9}, "classes 0 to 2; class 9 came"),
        ({"output": "value"}, "output is one of logit, probability"),
        ({"steps": 3}, "steps lies between 8 and 1024; 3 came"),
        ({"stepz": 3}, "no parameter 'stepz'; expected one of: steps"),
        ({"layer": "x"}, "no parameter 'layer'"),
        ({"seed": -1}, "seed is a whole number from 0"),
        ({"seed": True}, "seed is a whole number from 0"),
        ({"players": "pixels"}, "players is one of columns"),
        ({"players": np.zeros(5)}, "players is one of columns"),
        ({"players": Players("mine", np.zeros(4, dtype=int), 1)}, "owner has shape"),
        ({"players": Players("mine", np.full(5, 2), 2)}, "from -1 .nobody. to 1"),
        ({"players": Players("mine", np.zeros(5, dtype=int), 1, ("a", "b"))}, "1 players and 2 names"),
        ({"method": "grad_cam"}, "explains image models"),
        ({"method": "tree_shap"}, "needs an ensemble of decision trees"),
    ],
)
def test_what_does_not_fit_is_one_sentence(linear_model, request_: dict, said: str) -> None:
    model, _ = linear_model()
    with pytest.raises(explainers.UserError, match=said) as caught:
        explainers.explain(model, X, **request_)
    assert "\n" not in str(caught.value)


def test_a_categorys_slope_is_that_of_its_own_indicator() -> None:
    model = model_zoo.load("adult_mlp")
    sample = model.sample(*model_zoo.read_example("adult_manager"))
    found = explainers.explain(model, sample, "saliency", target=1)
    x = torch.tensor(sample.x[None], requires_grad=True)
    (gradient,) = torch.autograd.grad(model.forward(x)[0, 0], x)
    for player, name in enumerate(found.players.names):
        mine = np.flatnonzero(found.players.owner == player)
        if len(mine) > 1:
            mine = mine[sample.x[mine] == 1]
        assert found.values[player] == pytest.approx(float(gradient[0, mine].sum()), rel=1e-4), name


@pytest.mark.parametrize(("method", "parameter"), [("lime", "num_samples"), ("kernel_shap", "nsamples")])
def test_the_record_holds_the_count_that_was_used(linear_model, method: str, parameter: str) -> None:
    model, _ = linear_model(background=np.random.default_rng(0).normal(size=(9, 5)))
    found = explainers.explain(model, X, method)
    used = found.provenance.parameters[parameter]
    assert used > 0
    again = explainers.explain(model, X, method, **{parameter: used})
    np.testing.assert_allclose(again.values, found.values, rtol=1e-9)


def test_units_are_what_the_number_is(linear_model) -> None:
    model, _ = linear_model()
    assert explainers.explain(model, X, "occlusion").unit == "logit"
    assert explainers.explain(model, X, "occlusion", output="probability").unit == "probability"
    binary = model_zoo.load("adult_mlp")
    assert (
        explainers.explain(binary, binary.sample(*model_zoo.read_example("adult_manager")), "occlusion").unit
        == "log-odds"
    )
