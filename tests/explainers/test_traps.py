"""Wrong results that libraries give without an error: what Assay does instead, one test a trap.

Those of LIME, captum's Lime and ablation are in test_traps_perturbation.py.
"""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import shap
import torch
from tiny_transformers import made

import explainers
import model_zoo
from explainers.types import Verdict
from model_zoo.types import UserError

X = np.array([1.0, -2.0, 0.5])


def _net(*layers: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(*layers).double()


class Functional(torch.nn.Module):
    """An activation that no hook sees, and one module that is used twice."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.one, self.two, self.out = (
            torch.nn.Linear(*size, dtype=torch.float64) for size in ((3, 6), (6, 6), (6, 2))
        )
        self.act = torch.nn.functional.relu if functional else torch.nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.act(self.two(self.act(self.one(x)))))


@pytest.mark.parametrize("functional", [True, False], ids=["F.relu", "reused module"])
def test_deep_lift_with_hidden_or_reused_activations(functional: bool) -> None:
    """captum's sums are far from the change; ours are right."""
    module = Functional(functional)
    model = model_zoo.wrap(module, class_names=["a", "b"])
    found = explainers.explain(model, X, "deep_lift", target=1, baseline=0.0)
    assert found.evidence[0].verdict is Verdict.GOOD
    with torch.no_grad():
        change = float(module(torch.tensor(X[None]))[0, 1] - module(torch.zeros(1, 3, dtype=torch.float64))[0, 1])
    assert found.values.sum() == pytest.approx(change)
    if functional:
        given = torch.tensor(X[None], requires_grad=True)
        with pytest.warns(UserWarning, match="hooks"):
            theirs = captum.attr.DeepLift(module).attribute(given, torch.zeros(1, 3).double(), target=1)
        assert abs(float(theirs.detach().sum()) - change) > 0.01


@pytest.mark.parametrize("layer", [torch.nn.GELU(), torch.nn.SiLU(), torch.nn.Softmax(-1), torch.nn.LayerNorm(6)])
def test_deep_lift_refuses_what_its_rule_does_not_cover(layer: torch.nn.Module) -> None:
    module = _net(torch.nn.Linear(3, 6), layer, torch.nn.Linear(6, 2))
    with pytest.raises(UserError, match="integrated gradients"):
        explainers.explain(model_zoo.wrap(module), X, "deep_lift")


def test_guided_backpropagation_sees_functional_relus_or_refuses() -> None:
    module = Functional(functional=True)
    guided = explainers.explain(model_zoo.wrap(module), X, "guided_backprop", target=0).values
    twin = Functional(functional=False)
    split = torch.nn.Sequential(twin.one, torch.nn.ReLU(), twin.two, torch.nn.ReLU(), twin.out)
    with pytest.warns(UserWarning, match="backward hooks"):
        theirs = captum.attr.GuidedBackprop(split).attribute(torch.tensor(X[None], requires_grad=True), target=0)
    np.testing.assert_allclose(guided, theirs[0].detach().numpy(), atol=1e-9)
    scripted = torch.jit.script(_net(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)))
    with pytest.raises(UserError, match="plain gradient"):
        explainers.explain(model_zoo.wrap(scripted), X, "guided_backprop")


def test_deep_shap_is_checked_relative_to_its_size() -> None:
    """shap accepts any sum within .01: on an output of that size everything passes."""
    module = _net(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    with torch.no_grad():
        module[2].weight.mul_(1e-4)
    model = model_zoo.wrap(module, background=np.random.default_rng(0).normal(size=(5, 3)), task="regression")
    found = explainers.explain(model, X, "deep_shap")
    assert found.evidence[0].value < 0.01
    assert np.abs(found.values).max() < 0.01


def test_an_additivity_check_that_passes_is_not_believed() -> None:
    """HistGradientBoosting with categories is misread by TreeExplainer (shap issue 3436): refused."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.integers(0, 5, 200), rng.normal(size=200)]).astype(float)
    trees = HistGradientBoostingRegressor(categorical_features=[0], max_iter=10).fit(rows, rows[:, 0] % 2 + rows[:, 1])
    with pytest.raises(UserError, match="categorical splits"):
        explainers.explain(model_zoo.wrap(trees, background=rows[:10]), rows[0], "tree_shap")


def test_the_base_of_xgboost_trees_is_read_after_the_call() -> None:
    """shap's expected_value changes with the first call (issue 4498): ours is the model's own mean."""
    import xgboost

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3))
    trees = xgboost.XGBRegressor(n_estimators=10, max_depth=3, base_score=100.0).fit(rows, rows.sum(1))
    model = model_zoo.wrap(trees, background=rows[:30])
    found = explainers.explain(model, rows[0], "tree_shap")
    assert found.base_value == pytest.approx(float(trees.predict(rows[:30]).mean()), abs=1e-4)
    assert found.evidence[0].verdict is Verdict.BY_CONSTRUCTION


def test_the_flavour_of_tree_shap_is_named() -> None:
    import xgboost

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3))
    rows[:, 1] = rows[:, 0] + rng.normal(size=200) / 10
    trees = xgboost.XGBRegressor(n_estimators=10, max_depth=3).fit(rows, rows.sum(1))
    model = model_zoo.wrap(trees, background=rows[:30])
    one, other = (
        explainers.explain(model, rows[0], "tree_shap", feature_perturbation=flavour)
        for flavour in ("interventional", "tree_path_dependent")
    )
    assert "interventional" in one.flavour
    assert "tree path dependent" in other.flavour
    assert one.base_value != pytest.approx(other.base_value)


def test_kernel_shap_keeps_every_feature() -> None:
    """shap's default selection keeps ten of them, and the sum stays right (issue 3858)."""
    weights = np.linspace(1, 2, 15)
    model = model_zoo.wrap(lambda rows: rows @ weights, feature_names=[f"f{one}" for one in range(15)])
    found = explainers.explain(model, np.ones(15), "kernel_shap", baseline=0.0, nsamples=2000)
    np.testing.assert_allclose(found.values, weights, atol=1e-6)


def test_all_rows_of_a_background_count() -> None:
    """shap's maskers keep 100 rows, which moves the base value (issues 3680 and 3461)."""
    rows = np.arange(150.0)[:, None] * np.ones((1, 3))
    model = model_zoo.wrap(lambda given: given.sum(1), background=rows, feature_names=["a", "b", "c"])
    found = explainers.explain(model, X, "kernel_shap")
    assert found.base_value == pytest.approx(3 * 74.5)
    assert "150" in found.reference.sentence
    with pytest.MonkeyPatch.context():
        theirs = shap.Explainer(lambda given: given.sum(1), rows)
    assert len(theirs.masker.data) == 100


def test_permutation_shap_runs_as_many_as_it_says() -> None:
    """shap's npermutations runs fewer than half of them (issue 4433)."""
    model = model_zoo.wrap(lambda rows: np.prod(rows, 1), feature_names=list("abcdefghijklmn"))
    found = explainers.explain(model, np.full(14, 1.1), "permutation_shap", baseline=0.0, npermutations=6)
    theirs = shap.PermutationExplainer(
        lambda rows: np.prod(rows, 1), shap.maskers.Independent(np.zeros((1, 14))), seed=0
    )(np.full((1, 14), 1.1), max_evals=6 * (2 * 14 + 1), silent=True)
    np.testing.assert_allclose(found.values, theirs.values[0], atol=1e-9)


def test_partition_shap_says_that_it_is_grouped() -> None:
    model = model_zoo.load("bilstm_reviews")
    found = explainers.explain(model, "The fabric is soft and the fit is lovely.", "partition_shap", max_evals=60)
    assert "grouped (Owen values)" in found.flavour
    assert "Grouped as [" in found.notes[0]
    assert found.notes[0].count("[") == found.players.count - 1
    assert "fabric" in found.notes[0]


def test_exact_shapley_values_take_two_to_the_players() -> None:
    """captum's ShapleyValues takes d! · d evaluations: 3.6 million for ten players."""
    model = model_zoo.wrap(lambda rows: np.prod(1 + rows, 1), feature_names=list("abcdefghij"))
    found = explainers.explain(model, np.ones(10), "exact_shapley", baseline=0.0)
    assert found.cost.forward <= 2**10 + 10
    np.testing.assert_allclose(found.values, (2.0**10 - 1) / 10)


@pytest.mark.parametrize("method", ["captum_kernel_shap", "shapley_sampling"])
def test_captums_sampling_has_defaults_that_suffice(method: str) -> None:
    """captum's 25 samples gave (.93, 0, .21, 1.86) where (1/3, 1/3, 1/3, 2) is true; both sum to 3."""
    model = model_zoo.wrap(
        lambda rows: rows[:, 0] * rows[:, 1] * rows[:, 2] + 2 * rows[:, 3],
        feature_names=list("abcd"),
        task="regression",
    )
    found = explainers.explain(model, np.ones(4), method, baseline=0.0)
    np.testing.assert_allclose(found.values, [1 / 3, 1 / 3, 1 / 3, 2], atol=0.02)
    assert found.evidence[0].verdict is Verdict.BY_CONSTRUCTION


def test_integrated_gradients_on_text_name_layer_and_baseline() -> None:
    model = model_zoo.load("bilstm_reviews")
    text = "The fabric is soft and the fit is lovely."
    one, other = (explainers.explain(model, text, baseline=name) for name in ("pad", "mask"))
    assert one.reference.sentence
    assert one.reference.rows.shape == one.sample.x[None].shape
    if not np.array_equal(one.reference.rows, other.reference.rows):
        assert one.reference.sentence != other.reference.sentence


def test_attention_is_seen_where_the_library_returns_none() -> None:
    """transformers 5 with fused attention returns an empty list of attentions."""
    found = made(
        "BertForSequenceClassification",
        "BertConfig",
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
    )
    model = model_zoo.wrap(found, modality="text", tokenizer=lambda text: [len(word) for word in text.split()])
    attention = explainers.explain(model, "a bb ccc dddd", "attention").extras["attention"]
    np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-5)


def test_grad_cam_is_rectified_and_says_when_it_is_empty(picture_model, picture) -> None:
    found = [explainers.explain(picture_model, picture, "grad_cam", target=one) for one in range(4)]
    assert all((one.values >= 0).all() for one in found)
    empty = [one for one in found if not one.values.any()]
    assert all("no positive evidence" in " ".join(one.notes) for one in empty)


def test_saliency_has_its_sign(linear_model) -> None:
    model, weights = linear_model()
    found = explainers.explain(model, np.ones(5), "saliency", target=0)
    np.testing.assert_allclose(found.values, weights[0])
    assert (found.values < 0).any()


def test_a_network_in_training_mode_is_explained_in_evaluation_mode() -> None:
    module = _net(torch.nn.Linear(3, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.5), torch.nn.Linear(6, 2))
    module.train()
    before = {name: one.clone() for name, one in module.state_dict().items()}
    one, other = (explainers.explain(model_zoo.wrap(module), X, "kernel_shap", seed=seed).values for seed in (0, 1))
    np.testing.assert_allclose(one, other, atol=1e-9)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.training


def test_one_column_and_inference_mode_and_float64() -> None:
    module = _net(torch.nn.Linear(3, 1))
    weights = module[0].weight.detach().numpy()[0]
    with torch.inference_mode():
        found = explainers.explain(model_zoo.wrap(module), X, "integrated_gradients", baseline=0.0)
    assert found.values.shape == (3,)
    np.testing.assert_allclose(found.values, weights * X)


def test_the_output_is_stated_and_the_margin_is_to_be_had() -> None:
    """A softmax can turn the sign of a logit's share; what was explained is always said."""
    module = torch.nn.Linear(2, 3, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0]]))
        module.bias.zero_()
    model = model_zoo.wrap(module, class_names=["a", "b", "c"], output="logit")
    logit, chance = (
        explainers.explain(model, np.array([1.0, 0.0]), "occlusion", target="a", output=output, baseline=0.0)
        for output in ("logit", "probability")
    )
    assert (logit.values[0] > 0) != (chance.values[0] > 0)
    assert (logit.target.output, chance.target.output) == ("logit", "probability")
    margin = explainers.explain(model, np.array([1.0, 0.0]), "occlusion", target="a", against="b", baseline=0.0)
    assert margin.values[0] == pytest.approx(-2.0)
