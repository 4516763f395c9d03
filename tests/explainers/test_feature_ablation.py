"""Feature ablation and feature permutation replace one part at a time: closed forms, and captum's numbers."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers.engine.run import Run
from explainers.types import Verdict
from explainers.words import percent
from model_zoo.types import Players

X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
BASELINE = np.array([0.5, 0.0, -1.0, 1.0, 2.0])


def test_ablation_of_a_linear_model_is_exact(linear_model) -> None:
    model, weights = linear_model()
    found = explainers.explain(model, X, "feature_ablation", target=1, baseline=BASELINE)
    np.testing.assert_allclose(found.values, weights[1] * (X - BASELINE), rtol=1e-12)
    assert found.evidence[1].verdict is Verdict.EXACT
    assert found.cost.forward <= 1 + 5 + 2  # besides: the prediction, and the number explained


def test_ablation_of_an_and_counts_what_two_say_together_twice() -> None:
    model = model_zoo.wrap(
        lambda x: x[:, :1] * x[:, 1:2], modality="tabular", task="regression", feature_names=["a", "b"]
    )
    found = explainers.explain(model, np.array([1.0, 1.0]), "feature_ablation", baseline=0.0)
    np.testing.assert_allclose(found.values, [1, 1])


def test_occlusion_of_parts_is_feature_ablation(picture_model, picture) -> None:
    players = picture_model.input.players(picture_model.sample(picture), "segments")
    one, two = (
        explainers.explain(picture_model, picture, name, target=1, players=players)
        for name in ("occlusion", "feature_ablation")
    )
    np.testing.assert_allclose(one.values, two.values, atol=1e-7)


@pytest.mark.parametrize("kind", ["segments", "pixels"])
def test_ablation_of_a_picture_is_captums(picture_model, picture, kind: str) -> None:
    picture, model = picture[:, :12, :12], picture_model
    found = explainers.explain(model, picture, "feature_ablation", target=3, players=kind, baseline=0.25)
    mask = torch.tensor(found.players.owner).long().expand(1, *picture.shape)
    theirs = captum.attr.FeatureAblation(model.network).attribute(
        torch.tensor(picture[None]), feature_mask=mask, baselines=0.25, target=3, perturbations_per_eval=32
    )
    np.testing.assert_allclose(found.dense(), theirs[0, 0], atol=1e-4 * np.abs(found.values).max())
    assert explainers.explain(model, picture, "feature_ablation").players.kind == "segments"


def test_ablation_moves_the_parts_of_a_category_together() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 2).double()
    model = model_zoo.wrap(network, modality="tabular", feature_names=list("abcd"))
    players = Players("columns", np.array([0, 1, 1, -1]), 2, ("number", "category"))
    found = explainers.explain(model, X[:4], "feature_ablation", target=0, players=players, baseline=BASELINE[:4])
    moved = network.weight.detach().numpy()[0] * (X - BASELINE)[:4]
    np.testing.assert_allclose(found.values, [moved[0], moved[1] + moved[2]])


# -- permutation -----------------------------------------------------------------------------------------------------


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(24, 5))


def test_permutation_of_a_linear_model_is_exact_with_its_standard_error(linear_model, rows) -> None:
    """Player i: w_i (x_i - mean r_i), with standard error |w_i| · std(r_i) / sqrt(rows)."""
    model, weights = linear_model()
    found = explainers.explain(model, X, "feature_permutation", target=2, background=rows)
    np.testing.assert_allclose(found.values, weights[2] * (X - rows.mean(0)), rtol=1e-10)
    np.testing.assert_allclose(found.std_error, np.abs(weights[2]) * rows.std(0, ddof=1) / np.sqrt(24), rtol=1e-10)


def test_permutation_by_brute_force(symmetric_model, rows) -> None:
    found = explainers.explain(symmetric_model, X, "feature_permutation", target=0, background=rows)
    with torch.no_grad():
        network = symmetric_model.network
        for player in range(5):
            mixed = np.repeat(X[None], 24, 0)
            mixed[:, player] = rows[:, player]
            fall = network(torch.tensor(X[None]))[0, 0] - network(torch.tensor(mixed))[:, 0]
            assert found.values[player] == pytest.approx(float(fall.mean()), abs=1e-12)
    assert "mean over 24 rows" in found.flavour
    assert found.evidence[1].verdict is Verdict.EXACT
    worst = found.std_error.max() / np.ptp(found.values)
    assert f"standard error of {percent(worst)} of their range" in found.evidence[1].sentence


def test_permutation_is_captums_over_every_shift_of_the_batch(symmetric_model, rows) -> None:
    """captum's first row, x, takes the value of row k when a column is rolled by k places."""
    found = explainers.explain(symmetric_model, X, "feature_permutation", target=1, background=rows)
    batch = torch.tensor(np.concatenate([X[None], rows]))
    total = np.zeros(5)
    for shift in range(1, 25):

        def rolled(x: torch.Tensor, mask: torch.Tensor, shift: int = shift) -> torch.Tensor:
            return torch.where(mask, x.roll(-shift, 0), x)

        theirs = captum.attr.FeaturePermutation(symmetric_model.network, perm_func=rolled)
        total += theirs.attribute(batch, target=1)[0].numpy()
    np.testing.assert_allclose(found.values, total / 24, atol=1e-9)


def test_the_standard_error_over_rows_is_the_spread_over_other_backgrounds(symmetric_model) -> None:
    draw = np.random.default_rng(1)
    runs = [
        explainers.explain(symmetric_model, X, "feature_permutation", target=0, background=draw.normal(size=(20, 5)))
        for _ in range(80)
    ]
    spread = np.std([one.values for one in runs], axis=0, ddof=1)[:4]
    said = np.sqrt(np.mean([one.std_error**2 for one in runs], axis=0))[:4]
    assert (np.abs(np.log(said / spread)) < 0.35).all()


def test_one_row_is_feature_ablation_and_says_so(linear_model) -> None:
    model, weights = linear_model()
    found = explainers.explain(model, X, "feature_permutation", target=1, baseline=BASELINE)
    np.testing.assert_allclose(found.values, weights[1] * (X - BASELINE), rtol=1e-10)
    assert "feature ablation" in found.notes[0]


def test_partial_results_are_means_over_the_rows_so_far(linear_model, rows) -> None:
    model, weights = linear_model()
    seen: list[np.ndarray] = []
    run = Run(on_partial=lambda partial: seen.append(partial.values))
    explainers.explain(model, X, "feature_permutation", target=0, background=rows, run=run)
    np.testing.assert_allclose(seen[0], weights[0] * (X - rows[:3].mean(0)), rtol=1e-10)
    assert len(seen) == 7
