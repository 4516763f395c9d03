"""Exact Shapley values against closed forms, the axioms, and the average over all orders."""

from __future__ import annotations

import numpy as np
import pytest
from games import airport, airport_values, by_orders, cubic, shared, smooth, unanimity, voting

import explainers
import model_zoo
from explainers.types import Verdict
from model_zoo.modalities.text import TextInput, WordTokenizer
from model_zoo.types import UserError

COSTS = np.array([1.0, 2.0, 2.0, 5.0, 9.0, 10.0])
# Methods that must agree with the definition where all coalitions can be evaluated.
ENUMERATING = (
    "exact_shapley",
    "kernel_shap",
    "captum_kernel_shap",
    "permutation_shap",
    "shapley_sampling",
    "leverage_shap",
    "regression_adjusted_shap",
)


@pytest.mark.parametrize("method", ENUMERATING)
def test_closed_forms(method: str) -> None:
    """Unanimity: an even share; the airport: stretch by stretch; votes 3, 2, 1, 1 of which 4 win: a half and sixths."""
    found = shared(unanimity((0, 2, 3)), 5, method).values
    np.testing.assert_allclose(found, [1 / 3, 0, 1 / 3, 1 / 3, 0], atol=1e-9)
    np.testing.assert_allclose(shared(airport(COSTS), 6, method).values, airport_values(COSTS), atol=1e-9)
    found = shared(voting(np.array([3.0, 2.0, 1.0, 1.0]), 4), 4, method)
    np.testing.assert_allclose(found.values, [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=1e-9)
    assert next(one for one in found.evidence if one.id == "settled").verdict is Verdict.EXACT
    assert "all 16 coalitions" in found.flavour


@pytest.mark.parametrize("worth", [smooth(6), cubic(6), voting(np.array([5.0, 4, 3, 2, 1, 1]), 9)])
def test_the_definition(worth) -> None:
    found = shared(worth, 6, "exact_shapley")
    np.testing.assert_allclose(found.values, by_orders(worth, 6), atol=1e-12)
    assert found.evidence[0].verdict is Verdict.GOOD  # the sum is right, not forced
    assert found.cost.forward <= 2**6 + 4


def test_the_axioms() -> None:
    """Efficiency, symmetry, dummy, linearity."""
    one, other = smooth(5), airport(np.array([1.0, 1.0, 3.0, 3.0, 4.0]))
    both = shared(lambda rows: 2 * one(rows) - 3 * other(rows), 5, "exact_shapley").values
    first, second = shared(one, 5, "exact_shapley").values, shared(other, 5, "exact_shapley").values
    np.testing.assert_allclose(both, 2 * first - 3 * second, atol=1e-12)
    assert second[0] == pytest.approx(second[1])
    assert second.sum() == pytest.approx(4.0)
    assert shared(lambda rows: one(rows * [1, 1, 0, 1, 1]), 5, "exact_shapley").values[2] == pytest.approx(0, abs=1e-12)


def test_captums_trap_of_three_thirds() -> None:
    """x0 x1 x2 + 2 x3: with its 25 samples captum gave (.93, 0, .21, 1.86)."""
    found = shared(lambda rows: rows[:, :3].prod(1) + 2 * rows[:, 3], 4, "captum_kernel_shap")
    np.testing.assert_allclose(found.values, [1 / 3, 1 / 3, 1 / 3, 2], atol=1e-9)


def test_absent_players_are_averaged_over_the_background() -> None:
    random = np.random.default_rng(0)
    x, rows = random.normal(size=4), random.normal(size=(7, 4))
    rows[:, 1] = x[1]
    worth = smooth(4)
    model = model_zoo.wrap(lambda given: worth(np.asarray(given)), modality="tabular", background=rows)
    found = explainers.explain(model, x, "exact_shapley")

    def mixed(present: np.ndarray) -> np.ndarray:
        return np.array([worth(np.where(one > 0, x, rows)).mean() for one in present])

    np.testing.assert_allclose(found.values, by_orders(mixed, 4), atol=1e-12)
    assert found.values[1] == 0
    assert "8 coalitions, 7 reference rows" in found.flavour
    assert found.base_value == pytest.approx(worth(rows).mean())


def test_too_many_players_are_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match=r"2\^14 coalitions; at most 12.*Set most=14 to spend 16,384.*Leverage SHAP"):
        shared(cubic(14), 14, "exact_shapley")
    with pytest.raises(UserError, match=r"2\^18 coalitions; at most 12.*Choose coarser players"):
        shared(cubic(18), 18, "exact_shapley")
    found = shared(airport(np.arange(1.0, 15)), 14, "exact_shapley", most=14)
    np.testing.assert_allclose(found.values, airport_values(np.arange(1.0, 15)), atol=1e-9)


@pytest.mark.parametrize("method", ["exact_shapley", "leverage_shap", "permutation_shap", "shapley_interactions"])
def test_words_and_segments_are_players_too(method: str, picture_model, picture) -> None:
    import torch

    class Bag(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.worth = torch.nn.Embedding(5, 2)
            with torch.no_grad():
                self.worth.weight.copy_(torch.tensor([[0, 0], [0, 0], [0, 0], [1, -1], [3, 2.0]]))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.worth(ids).sum(1)

    tokens = TextInput(WordTokenizer(("<pad>", "<unk>", "<mask>", "good", "film"), mask="<mask>"))
    card = model_zoo.ModelCard("m", "M", "text", "classification", "logit", ("a", "b"))
    from model_zoo.model import Model

    found = explainers.explain(Model(card, Bag(), tokens), "good film good", method, target=0)
    np.testing.assert_allclose(found.values, [1, 3, 1], atol=1e-6)
    found = explainers.explain(picture_model, picture, method, target=0, segments=6)
    assert found.players.kind == "segments"
    if method != "shapley_interactions":
        assert found.values.sum() == pytest.approx(found.explained - found.base_value, abs=1e-5)
