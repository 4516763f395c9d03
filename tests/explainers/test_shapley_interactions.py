"""Shapley interactions against brute force, closed forms and shapiq."""

from __future__ import annotations

import itertools
from dataclasses import replace
from math import comb, factorial

import numpy as np
import pytest
import shapiq
from games import cubic, game, shared, smooth, unanimity
from shapiq.approximator import KernelSHAPIQ, RegressionFSII

import explainers
from explainers import figures
from explainers.engine import interactions
from explainers.engine.shapley import coalitions, shapley
from explainers.types import Verdict
from model_zoo.types import UserError

INDICES = ("k-SII", "STII", "FSII")


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("order", [2, 3])
def test_all_coalitions_give_shapiqs_numbers(index: str, order: int) -> None:
    worth = smooth(6)
    found = interactions.exact(worth(coalitions(6).astype(float)), order, index)
    theirs = shapiq.ExactComputer(n_players=6, game=lambda present: worth(np.asarray(present, dtype=float)))(
        index, order
    )
    for group, value in found.items():
        assert value == pytest.approx(theirs[group], abs=1e-7)
    total = worth(np.ones((1, 6)))[0] - worth(np.zeros((1, 6)))[0]
    assert sum(found.values()) == pytest.approx(total, abs=1e-10)


def test_pairs_by_the_definition_over_contexts() -> None:
    """SII of a pair: the mean, over contexts, of what two do together beyond each alone."""
    players, worth = 5, smooth(5)
    value = {
        members: worth(np.isin(np.arange(players), members).astype(float)[None])[0]
        for size in range(players + 1)
        for members in itertools.combinations(range(players), size)
    }
    found = interactions.exact(worth(coalitions(players).astype(float)), 2, "k-SII")
    for i, j in itertools.combinations(range(players), 2):
        rest = [one for one in range(players) if one not in (i, j)]
        expected = sum(
            factorial(size) * factorial(players - size - 2) / factorial(players - 1)
            * (value[tuple(sorted((*some, i, j)))] - value[tuple(sorted((*some, i)))]
               - value[tuple(sorted((*some, j)))] + value[some])
            for size in range(players - 1)
            for some in itertools.combinations(rest, size)
        )  # fmt: skip
        assert found[i, j] == pytest.approx(expected, abs=1e-12)


def test_order_one_with_its_shares_of_pairs_is_the_shapley_value() -> None:
    """Of k-SII at order 2: φ_i = single_i + half of the pairs with i."""
    worths = cubic(7)(coalitions(7).astype(float))
    found = interactions.exact(worths, 2, "k-SII")
    pairs = [sum(value for group, value in found.items() if len(group) == 2 and player in group) for player in range(7)]
    singles = np.array([found[player,] for player in range(7)])
    np.testing.assert_allclose(singles + np.array(pairs) / 2, shapley(worths), atol=1e-10)


def test_unanimity_of_two_and_of_three() -> None:
    found = shared(lambda rows: 4 * unanimity((0, 2))(rows) - rows[:, 1], 4, "shapley_interactions")
    np.testing.assert_allclose(found.values, [0, -1, 0, 0], atol=1e-12)
    pairs = {(int(i), int(j)): value for i, j, value in found.extras["pairs"]}
    assert pairs[0, 2] == pytest.approx(4)
    assert sum(map(abs, pairs.values())) == pytest.approx(4)
    assert "p0 and p2 together raise value by 4.00 beyond" in found.notes[0]
    assert {one.id: one.verdict for one in found.evidence}["settled"] is Verdict.EXACT
    assert {one.id: one.verdict for one in found.evidence}["adds_up"] is Verdict.NOT_APPLICABLE
    for index in INDICES:
        found = shared(unanimity((0, 1, 3)), 5, "shapley_interactions", order=3, index=index)
        triples = {tuple(row[:3].astype(int)): row[3] for row in found.extras["triples"]}
        assert triples[0, 1, 3] == pytest.approx(1)
        assert len(triples) == comb(5, 3)


def test_a_sum_has_no_interactions_and_says_so() -> None:
    found = shared(lambda rows: rows @ np.arange(1.0, 5), 4, "shapley_interactions")
    np.testing.assert_allclose(found.values, np.arange(1.0, 5))
    assert np.abs(found.extras["pairs"][:, 2]).max() < 1e-12


@pytest.mark.parametrize(("index", "estimator"), [("k-SII", KernelSHAPIQ), ("FSII", RegressionFSII)])
def test_many_players_get_shapiqs_estimate_for_the_same_seed(index: str, estimator) -> None:
    worth, count = smooth(14), 600
    found = shared(worth, 14, "shapley_interactions", index=index, nsamples=count, seed=5)
    options = {"index": index} if index == "k-SII" else {}
    theirs = estimator(n=14, max_order=2, random_state=5, pairing_trick=True, **options).approximate(
        count, lambda present: worth(np.asarray(present, dtype=float))
    )
    np.testing.assert_allclose(found.values, [theirs[player,] for player in range(14)], atol=1e-6)
    np.testing.assert_allclose(
        found.extras["pairs"][:, 2], [theirs[pair] for pair in itertools.combinations(range(14), 2)], atol=1e-6
    )
    settled = next(one for one in found.evidence if one.id == "settled")
    assert settled.unit == "relative change"


def test_orders_of_arrival_estimate_stii() -> None:
    worth = smooth(13)
    found = shared(worth, 13, "shapley_interactions", index="STII")
    expected = interactions.exact(worth(coalitions(13).astype(float)), 2, "STII")
    np.testing.assert_allclose(found.values, [expected[player,] for player in range(13)], atol=1e-9)
    pairs = np.array([value for group, value in expected.items() if len(group) == 2])
    assert np.corrcoef(found.extras["pairs"][:, 2], pairs)[0, 1] > 0.9


def test_too_many_groups_are_refused() -> None:
    with pytest.raises(UserError, match="form 4,525 groups of at most 3; 2,500 are estimated at most"):
        shared(cubic(30), 30, "shapley_interactions", order=3)


def test_the_matrix_of_pairs_is_drawn_symmetric_around_zero() -> None:
    found = shared(lambda rows: 4 * rows[:, 0] * rows[:, 2] - 1.0 * rows[:, 1] * rows[:, 2], 4, "shapley_interactions")
    picture = next(one for one in figures.pictures(found) if one.id == "interactions")
    heat = picture.content.data[0]
    values = np.asarray(heat.z, dtype=float)
    np.testing.assert_allclose(values, values.T)
    assert values[0, 2] == pytest.approx(4)
    assert values[1, 2] == pytest.approx(-1)
    assert np.isnan(np.diag(values)).all()
    assert heat.zmin == -heat.zmax
    for odd in (np.zeros(3), np.zeros((2, 4)), np.array([[0, 9, 1.0]]), np.array([[0, 1, np.nan]])):
        foreign = replace(found, extras={"pairs": odd})
        assert "interactions" not in {one.id for one in figures.pictures(foreign)}
    others = explainers.explain(game(cubic(4), 4), np.ones(4), "exact_shapley")
    assert "interactions" not in {one.id for one in figures.pictures(others)}
