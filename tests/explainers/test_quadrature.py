"""The nested rule against integrals known by algebra."""

from __future__ import annotations

import numpy as np
import pytest

from explainers.engine.quadrature import Ladder, clenshaw_curtis


@pytest.mark.parametrize("intervals", [2, 8, 64])
def test_polynomials_up_to_the_number_of_intervals_are_exact(intervals: int) -> None:
    points, weights = clenshaw_curtis(intervals)
    for degree in range(intervals + 1):
        assert weights @ points**degree == pytest.approx(1 / (degree + 1), rel=1e-12)


def test_a_ladder_is_the_plain_rule_at_every_level() -> None:
    ladder = Ladder(8, 64)
    assert ladder.levels == [8, 16, 32, 64]
    sums = np.zeros(4)
    for level, intervals in enumerate(ladder.levels):
        sums += ladder.weights(level) @ np.exp(ladder.fresh(level))
        points, weights = clenshaw_curtis(intervals)
        assert sums[level] == pytest.approx(weights @ np.exp(points), rel=1e-14)
