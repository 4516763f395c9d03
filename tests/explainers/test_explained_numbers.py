"""What can be asked for besides a class: a margin, a sum of outputs, a position, a span, a region."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xgboost

import explainers
import model_zoo
from model_zoo.types import UserError

X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])


@pytest.mark.parametrize("method", ["integrated_gradients", "kernel_shap", "occlusion", "input_x_gradient"])
def test_a_margin_of_a_linear_model(linear_model, method: str) -> None:
    model, weights = linear_model()
    found = explainers.explain(model, X, method, target=0, against="c2", baseline=0.0)
    np.testing.assert_allclose(found.values, (weights[0] - weights[2]) * X, rtol=1e-6, atol=1e-9)
    assert (found.target.label, found.unit) == ("c0 rather than c2", "log-odds")
    assert found.sentence().startswith("Why c0 rather than c2: ")


def test_the_runner_up_is_the_next_likely_class(linear_model) -> None:
    model, _ = linear_model()
    order = np.argsort(-model.predict(X).raw)
    found = explainers.explain(model, X, "saliency", against="runner_up")
    assert (found.target.index, found.target.against) == tuple(order[:2])


def test_outputs_that_are_added(linear_model) -> None:
    model, weights = linear_model()
    found = explainers.explain(model, X, "occlusion", target=("c0", 2), baseline=0.0)
    np.testing.assert_allclose(found.values, (weights[0] + weights[2]) * X, rtol=1e-6, atol=1e-9)
    assert found.target.label == "c0 + c2"


def test_the_log_odds_of_two_classes_are_a_margin_already() -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(5, 1, dtype=torch.float64)
    model = model_zoo.wrap(net, task="binary", output="logit", class_names=["no", "yes"])
    alone = explainers.explain(model, X, "input_x_gradient", target="yes")
    margin = explainers.explain(model, X, "input_x_gradient", target="yes", against="no")
    np.testing.assert_array_equal(alone.values, margin.values)
    chances = explainers.explain(model, X, "occlusion", target="yes", against="no", output="probability", baseline=0.0)
    assert chances.explained == pytest.approx(2 * float(model.predict(X).probabilities[1]) - 1)


def test_a_margin_of_trees_is_the_difference_of_their_shares() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 4))
    trees = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(rows, rows[:, :3].argmax(1))
    model = model_zoo.wrap(trees, background=rows[:20], output="logit")
    one, two = (explainers.explain(model, rows[0], "tree_shap", target=k, output="logit").values for k in (0, 1))
    found = explainers.explain(model, rows[0], "tree_shap", target=0, against=1, output="logit")
    np.testing.assert_allclose(found.values, one - two, atol=1e-6)


class Tagger(torch.nn.Module):
    """Three labels for every token, each from that token and half of the one before."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(20, 4)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        vectors = self.embedding(ids)
        before = torch.nn.functional.pad(vectors, (0, 0, 1, 0))[:, :-1]
        return self.head(vectors + before / 2)


def _tagger() -> model_zoo.Model:
    return model_zoo.wrap(Tagger(), modality="text", tokenizer=lambda text: [len(word) for word in text.split()])


def test_a_label_of_one_token() -> None:
    model = _tagger()
    found = explainers.explain(model, "a bb ccc dddd", "integrated_gradients", target=1, at=2)
    embedding, head = model.network.embedding.weight, model.network.head.weight[1]
    share = ((embedding - embedding[0]) @ head).detach().numpy()  # ids are lengths, and the baseline is id 0
    start = found.reference.rows[0]
    expected = np.array([0.0, (share[2] - share[start[1]]) / 2, share[3] - share[start[2]], 0.0])
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    assert found.target.label == "class 1 at position 2"


def test_a_span_of_tokens_is_the_sum_over_its_positions() -> None:
    model, text = _tagger(), "a bb ccc dddd"
    each = [explainers.explain(model, text, "integrated_gradients", target=0, at=place).values for place in (1, 2)]
    found = explainers.explain(model, text, "integrated_gradients", target=0, at=slice(1, 3))
    np.testing.assert_allclose(found.values, sum(each), atol=1e-5)


def test_a_region_of_a_segmentation() -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 4, 1)
    model = model_zoo.wrap(network, modality="image", size=(8, 8), class_names=list("abcd"))
    picture = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    box = (slice(2, 5), slice(3, 6))
    mask = np.zeros((8, 8), dtype=bool)
    mask[box] = True
    weights = network.weight.detach().numpy()[1, :, 0, 0]
    expected = np.einsum("c,chw->hw", weights, picture) * mask
    for at in (box, mask):
        found = explainers.explain(model, picture, "integrated_gradients", target="b", at=at, baseline=0.0)
        np.testing.assert_allclose(found.dense(), expected, atol=1e-5)
    assert found.target.label == "b over 9 of 64 positions"


def test_what_does_not_fit_is_said(linear_model) -> None:
    model, _ = linear_model()
    with pytest.raises(UserError, match="without positions; leave out at="):
        explainers.explain(model, X, "saliency", at=3)
    with pytest.raises(UserError, match="c1 came on both sides"):
        explainers.explain(model, X, "saliency", target=1, against="c1")
    with pytest.raises(UserError, match="named once each"):
        explainers.explain(model, X, "saliency", target=(1, 1))
    with pytest.raises(UserError, match=r"at is a position.*9 came"):
        explainers.explain(_tagger(), "a bb ccc", "saliency", at=9)
    with pytest.raises(UserError, match="chooses no position"):
        explainers.explain(_tagger(), "a bb ccc", "saliency", at=slice(5, 9))
    single = model_zoo.wrap(torch.nn.Linear(5, 1), feature_names=list("abcde"))
    with pytest.raises(UserError, match="has one output"):
        explainers.explain(single, X, "saliency", against="runner_up")
