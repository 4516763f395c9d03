"""RISE against its closed form for a linear model, every mask by brute force, and masks enlarged by scikit-image."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from skimage.transform import resize

import explainers
import model_zoo
from explainers.engine.run import Run
from explainers.methods import rise
from explainers.types import Cancelled, Verdict

X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
BASELINE = np.array([0.5, 0.0, -1.0, 1.0, 2.0])
SIDE = 24


@pytest.mark.parametrize("keep", [0.5, 0.3])
def test_a_linear_model_is_explained_exactly(linear_model, keep: float) -> None:
    """(1 - keep) · w_i (x_i - b_i)."""
    model, weights = linear_model()
    found = explainers.explain(model, X, "rise", target=1, baseline=BASELINE, keep=keep)
    np.testing.assert_allclose(found.values, (1 - keep) * weights[1] * (X - BASELINE), rtol=1e-10)
    assert found.evidence[1].verdict is Verdict.EXACT
    assert found.flavour == "all 32 masks"


@pytest.mark.parametrize("signed", [True, False])
def test_every_mask_by_brute_force(symmetric_model, signed: bool) -> None:
    """The paper's own definition, E[F | part i visible], each mask at its probability."""
    keep = 0.4
    found = explainers.explain(symmetric_model, X, "rise", target=0, baseline=BASELINE, keep=keep, signed=signed)
    seen, mean = np.zeros(5), 0.0
    for mask in itertools.product((0, 1), repeat=5):
        m = np.array(mask)
        chance = keep ** m.sum() * (1 - keep) ** (5 - m.sum())
        with torch.no_grad():
            number = float(symmetric_model.network(torch.tensor(np.where(m, X, BASELINE)[None]))[0, 0])
        seen += chance * number * m / keep
        mean += chance * number
    np.testing.assert_allclose(found.values, seen - mean * signed, rtol=1e-9, atol=1e-12)
    assert float(found.extras["mean"]) == pytest.approx(mean)


@pytest.fixture
def many() -> tuple[model_zoo.Model, np.ndarray, np.ndarray]:
    """A linear model of 20 columns, x, and what each is worth from 0."""
    weights = np.random.default_rng(1).normal(size=20)
    model = model_zoo.wrap(
        lambda x: x @ torch.as_tensor(weights, dtype=x.dtype)[:, None], modality="tabular", task="regression"
    )
    x = np.random.default_rng(2).normal(size=20)
    return model, x, weights * x


def test_sampled_masks_find_the_closed_form_within_their_standard_errors(many) -> None:
    model, x, worth = many
    found = explainers.explain(model, x, "rise", masks=3000, tolerance=0.0)
    assert (np.abs(found.values - worth / 2) < 4 * found.std_error).all()
    assert (found.std_error > 0).all()
    paper = explainers.explain(model, x, "rise", masks=3000, tolerance=0.0, signed=False)
    np.testing.assert_allclose(paper.values - float(paper.extras["mean"]), found.values, atol=1e-9)


def test_standard_errors_cover_at_their_nominal_rate(many) -> None:
    model, x, worth = many
    runs = [explainers.explain(model, x, "rise", masks=300, tolerance=0.0, seed=seed) for seed in range(60)]
    inside = np.mean([np.abs(one.values - worth / 2) < 1.96 * one.std_error for one in runs])
    assert 0.93 < inside < 0.97


# -- pictures --------------------------------------------------------------------------------------------------------


def linear_picture() -> tuple[model_zoo.Model, np.ndarray]:
    weights = np.random.default_rng(5).normal(size=(3, SIDE, SIDE)).astype(np.float32)

    def network(x: torch.Tensor) -> torch.Tensor:
        return (x * torch.as_tensor(weights)).sum((1, 2, 3))[:, None]

    return model_zoo.wrap(network, modality="image", task="regression"), weights


def covariance(cells: int, keep: float) -> np.ndarray:
    """Cov(m_i, m_j) of soft masks (pixels, pixels), from enlarging each single cell at each shift."""
    cell = math.ceil(SIDE / cells)
    large = (cells + 1) * cell
    single = np.eye(cells**2).reshape(-1, cells, cells)
    enlarged = np.stack([resize(one, (large, large), order=1, mode="edge", anti_aliasing=False) for one in single])
    total = np.zeros((SIDE**2, SIDE**2))
    for down, across in itertools.product(range(cell), repeat=2):
        part = enlarged[:, down : down + SIDE, across : across + SIDE].reshape(cells**2, -1)
        total += part.T @ part
    return keep * (1 - keep) * total / cell**2


def test_soft_masks_find_the_closed_form_within_their_standard_errors() -> None:
    """For F = w·x, value i is the sum over j of Cov(m_i, m_j) w_j (x_j - b_j), over keep."""
    model, weights = linear_picture()
    x = np.random.default_rng(6).normal(size=(3, SIDE, SIDE)).astype(np.float32)
    found = explainers.explain(model, x, "rise", baseline=0.1, masks=6000, cells=4, keep=0.4, tolerance=0.0)
    worth = (weights * (x - 0.1)).sum(0).reshape(-1)
    exact = covariance(4, 0.4) @ worth / 0.4
    off = (found.values - exact) / found.std_error
    assert np.abs(off).max() < 4.5
    assert np.sqrt(np.mean(off**2)) < 1.7  # neighbours share their masks, so that one run is few draws
    assert found.dense().shape == (SIDE, SIDE)


def test_masks_are_those_of_the_paper() -> None:
    """Enlarged bilinearly to one cell more than the picture, then cropped at a shift."""
    grids = (np.random.default_rng(0).random((3, 7, 7)) < 0.5).astype(np.float64)
    shifts = np.array([[0, 0], [2, 3], [3, 1]])
    found = rise.enlarged(torch.tensor(grids), torch.tensor(shifts), (25, 28)).numpy()
    for mask, grid, (down, across) in zip(found, grids, shifts, strict=True):
        theirs = resize(grid, (8 * 4, 8 * 4), order=1, mode="edge", anti_aliasing=False)
        np.testing.assert_allclose(mask, theirs[down : down + 25, across : across + 28], atol=1e-7)


def test_a_part_of_the_picture_that_matters_is_found(picture) -> None:
    def network(x: torch.Tensor) -> torch.Tensor:
        return x[:, :, 4:12, 18:26].abs().mean((1, 2, 3))[:, None]

    model = model_zoo.wrap(network, modality="image", task="regression")
    found = explainers.explain(model, picture, "rise", masks=1500).dense()
    assert found[4:12, 18:26].mean() > 3 * np.abs(found).mean()
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 2 <= row < 14
    assert 16 <= column < 28


def test_segments_are_masked_as_players(picture_model, picture) -> None:
    found = explainers.explain(picture_model, picture, "rise", players="segments", segments=20, masks=500)
    assert found.players.kind == "segments"
    assert found.values.shape == (found.players.count,)


# -- the run ---------------------------------------------------------------------------------------------------------


def test_a_constant_model_gets_exactly_nothing_at_once(picture) -> None:
    model = model_zoo.wrap(lambda x: 0 * x.sum((1, 2, 3))[:, None] + 3, modality="image", task="regression")
    found = explainers.explain(model, picture, "rise")
    assert (found.values == 0).all()
    assert found.provenance.parameters["masks"] == 256
    paper = explainers.explain(model, picture, "rise", signed=False)
    np.testing.assert_allclose(paper.values, 3)


def test_it_stops_when_settled_shows_what_it_has_and_can_be_cancelled(many) -> None:
    model, x, worth = many
    partials: list[np.ndarray] = []
    run = Run(on_partial=lambda partial: partials.append(partial.values))
    found = explainers.explain(model, x, "rise", tolerance=0.05, masks=50_000, run=run)
    used = found.provenance.parameters["masks"]
    assert used == 256 * (len(partials) + 1) < 50_000
    assert np.corrcoef(partials[0], worth)[0, 1] > 0.7
    assert found.evidence[1].verdict is Verdict.DOUBTFUL  # asked for 5 %, not 2 %
    with pytest.raises(Cancelled):
        explainers.explain(model, x, "rise", run=Run(stop=lambda: True))


def test_the_same_seed_gives_the_same_bytes(picture_model, picture) -> None:
    first = explainers.explain(picture_model, picture, "rise", masks=100, seed=1)
    again = {"masks": 100, "batches": first.provenance.batches}
    same, other = (explainers.explain(picture_model, picture, "rise", seed=seed, **again) for seed in (1, 2))
    assert same.values.tobytes() == first.values.tobytes()
    assert (other.values != first.values).any()
