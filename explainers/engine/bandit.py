"""Which of many coins land heads most often, told by few tosses: KL-LUCB.

After n tosses of which a share p were heads, the true share q lies where
    n · KL(p || q) <= level,   KL of two coins,
up to a chance that falls with the level. The coin of the best few that may be worst and the coin of the others that may
be best are tossed in turn until they differ by less than `tolerance`.
Reference: Kaufmann and Kalyanakrishnan (2013), Information complexity in bandit subset selection.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STEPS = 30  # of bisection: to 1e-9


def bounds(heads: np.ndarray, tosses: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest share that the tosses leave possible, (coins,) each."""
    heads, tosses = np.asarray(heads, dtype=float), np.asarray(tosses, dtype=float)
    share, room = heads / tosses, level / tosses
    inside, below, above = share.copy(), np.zeros_like(share), np.ones_like(share)
    low, high = inside.copy(), inside.copy()
    for _ in range(STEPS):
        middle = (below + low) / 2
        possible = _divergence(share, middle) <= room
        low, below = np.where(possible, middle, low), np.where(possible, below, middle)
        middle = (above + high) / 2
        possible = _divergence(share, middle) <= room
        high, above = np.where(possible, middle, high), np.where(possible, above, middle)
    return below, above


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL of coins with shares p and q of heads; infinite where q rules out what p saw."""
    with np.errstate(divide="ignore", invalid="ignore"):
        heads = np.where(p > 0, p * np.log(p / q), 0.0)
        tails = np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - q)), 0.0)
    found = heads + tails
    return np.where(np.isnan(found), np.inf, found)


def best(
    heads: np.ndarray,
    tosses: np.ndarray,
    count: int,
    toss: Callable[[list[int]], bool],
    tolerance: float,
    risk: float,
) -> list[int]:
    """The `count` coins with the largest shares of heads, best first; earlier ones go first among equals.

    heads, tosses: (coins,) so far, at least one toss each. toss(coins): toss some of them more and add to both arrays;
    False when there are no more tosses to be had. risk: of being off by more than the tolerance.
    """
    turn = 1
    while True:
        order = np.argsort(-(heads / tosses), kind="stable")
        top, rest = order[:count], order[count:]
        if not len(rest):
            return [int(one) for one in top]
        low, high = bounds(heads, tosses, _level(len(heads), turn, risk))
        weakest, strongest = top[low[top].argmin()], rest[high[rest].argmax()]
        if high[strongest] - low[weakest] < tolerance or not toss([int(weakest), int(strongest)]):
            return [int(one) for one in top]
        turn += 1


def _level(coins: int, turn: int, risk: float) -> float:
    """The paper's exploration rate, which keeps the bounds true at every turn at once."""
    found = np.log(405.5 * coins * turn**1.1 / risk)
    return float(found + np.log(found))
