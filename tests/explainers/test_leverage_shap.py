"""Coalitions drawn by leverage, the regression on them, and how much they gain."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from games import cubic, shared, smooth

from explainers.engine.coalitions import draw
from explainers.engine.regression import fit, kernel
from explainers.engine.shapley import coalitions, shapley


@pytest.mark.parametrize(("players", "count"), [(6, 20), (7, 40), (10, 100), (60, 240)])
def test_a_draw_has_no_coalition_twice_and_every_size_as_often(players: int, count: int) -> None:
    pairs = draw(players, count, np.random.default_rng(0))
    both = np.concatenate([pairs.first, ~pairs.first])
    assert len(np.unique(both, axis=0)) == len(both)
    assert abs(len(pairs.first) - count) <= 1
    sizes = np.bincount(both.sum(1), minlength=players + 1)
    assert sizes[0] == sizes[players] == 0
    open_ = [size for size in range(1, players) if sizes[size] < comb(players, size)]
    assert np.ptp(sizes[open_] if open_ else [0]) <= 2
    assert (pairs.chance > 0).all()
    assert (pairs.chance <= 1).all()


def test_chances_are_those_of_the_draw() -> None:
    """How often each coalition came over many draws, against the chance it was said to have."""
    players, runs = 5, 3000
    often: dict[bytes, int] = {}
    said: dict[bytes, float] = {}
    random = np.random.default_rng(1)
    for _ in range(runs):
        pairs = draw(players, 8, random)
        for one, chance in zip(pairs.first, pairs.chance, strict=True):
            often[one.tobytes()] = often.get(one.tobytes(), 0) + 1
            said[one.tobytes()] = chance
    assert len(often) == 2**4 - 1
    for key, times in often.items():
        assert times / runs == pytest.approx(said[key], abs=4 * np.sqrt(said[key] / runs))


def test_the_regression_over_all_coalitions_is_the_definition() -> None:
    everything = coalitions(7)
    worths = smooth(7)(everything.astype(float))
    inner = everything[1:-1]
    sizes = inner.sum(1)
    found = fit(inner.astype(float), worths[1:-1] - worths[0], kernel(7, sizes), worths[-1] - worths[0])
    np.testing.assert_allclose(found.values, shapley(worths), atol=1e-10)
    ratio = kernel(7, np.array([1, 3])) / [1 / (7 * 1 * 6), 1 / (35 * 3 * 4)]
    assert ratio[0] == pytest.approx(ratio[1])


def test_leverage_is_better_than_kernel_and_adjusting_better_still() -> None:
    """Squared errors at 8 d evaluations of 24 players with interactions of three, in the mean over seeds."""
    players = 24
    worth = _triples(players)
    true = _triples_values(players)

    def error(method: str) -> float:
        found = [shared(worth, players, method, seed=seed, nsamples=8 * players).values for seed in range(8)]
        return float(np.mean([((one - true) ** 2).sum() for one in found]))

    kernel_error, leverage_error = error("kernel_shap"), error("leverage_shap")
    assert leverage_error < 0.8 * kernel_error
    assert error("regression_adjusted_shap") < 0.7 * leverage_error


def _groups(players: int) -> list[tuple[int, int, int]]:
    return (
        list(itertools.batched(range(players), 3))
        if hasattr(itertools, "batched")
        else [(first, first + 1, first + 2) for first in range(0, players, 3)]
    )


def _triples(players: int):
    return lambda rows: sum((place + 1) * rows[:, list(group)].prod(1) for place, group in enumerate(_groups(players)))


def _triples_values(players: int) -> np.ndarray:
    return np.repeat(np.arange(1, players // 3 + 1), 3) / 3


def test_the_same_seed_gives_the_same_bytes() -> None:
    runs = [shared(cubic(14), 14, "leverage_shap", seed=seed, nsamples=100).values for seed in (1, 1, 2)]
    assert runs[0].tobytes() == runs[1].tobytes()
    assert (runs[0] != runs[2]).any()
