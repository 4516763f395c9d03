"""Rules that average over [0, 1] from finitely many points.

Clenshaw–Curtis with N intervals uses t_k = (1 - cos(k pi / N)) / 2, k = 0 ... N. The points of N are among those of
2N, so a rule that refines itself evaluates nothing twice, and its own half comes free as a measure of error.
Reference: Clenshaw and Curtis (1960), doi:10.1007/BF01386223; Trefethen (2008), doi:10.1137/060659831.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def clenshaw_curtis(intervals: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (intervals + 1,) ascending and weights (intervals + 1,) that sum to one; intervals is even."""
    k = np.arange(intervals + 1)
    points = (1 - np.cos(k * np.pi / intervals)) / 2
    j = np.arange(1, intervals // 2 + 1)
    halved = np.where(j == intervals // 2, 1.0, 2.0)
    waves = np.cos(2 * np.outer(k, j) * np.pi / intervals) @ (halved / (4 * j**2 - 1.0))
    ends = np.where((k == 0) | (k == intervals), 1.0, 2.0)
    return points, ends / intervals * (1 - waves) / 2


class Ladder:
    """Nested rules of first, 2 first, 4 first ... last intervals; each point is visited once."""

    def __init__(self, first: int, last: int) -> None:
        self.levels = [first]
        while self.levels[-1] * 2 <= last:
            self.levels.append(self.levels[-1] * 2)

    def fresh(self, level: int) -> np.ndarray:
        """Points (new,) that this level adds to the one before."""
        intervals = self.levels[level]
        return clenshaw_curtis(intervals)[0][self._new(level)]

    def weights(self, level: int) -> np.ndarray:
        """Weights (levels, new) of the level's new points in every rule; 0 in rules before it."""
        intervals = self.levels[level]
        new = [Fraction(int(k), intervals) for k in np.arange(intervals + 1)[self._new(level)]]
        rows = []
        for n in self.levels:
            if n < intervals:
                rows.append(np.zeros(len(new)))
            else:
                rows.append(clenshaw_curtis(n)[1][[int(one * n) for one in new]])
        return np.array(rows)

    def _new(self, level: int) -> np.ndarray:
        k = np.arange(self.levels[level] + 1)
        return k % 2 == 1 if level else np.ones(len(k), dtype=bool)
