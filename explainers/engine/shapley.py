"""Shapley values of a game by their definition, from what all 2^d coalitions are worth.

    φ_i = sum over S without i of |S|! (d - |S| - 1)! / d! · (v(S + i) - v(S))
A game is an array of 2^d worths; coalition number k holds player i where bit i of k is 1.
"""

from __future__ import annotations

from math import comb

import numpy as np

from explainers.engine.game import Game
from explainers.types import Attribution, Settled


def coalitions(count: int) -> np.ndarray:
    """All coalitions of `count` players, bool (2^count, count)."""
    return (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1


def shapley(worths: np.ndarray) -> np.ndarray:
    """The values (d,) of a game (2^d,)."""
    count = len(worths).bit_length() - 1
    sizes = coalitions(count).sum(1)
    weights = np.array([1 / (count * comb(count - 1, size)) for size in range(count)] or [0.0])
    values = np.empty(count)
    for player in range(count):
        sides = worths.reshape(-1, 2, 2**player)  # without and with the player
        others = sizes.reshape(-1, 2, 2**player)[:, 0]
        values[player] = (weights[others] * (sides[:, 1] - sides[:, 0])).sum()
    return values


def enumerated(game: Game, what: str = "") -> Attribution:
    """The exact answer: every coalition evaluated. `what` says in the flavour what a sampling method does of it."""
    worths = game.worth(coalitions(game.count))
    return Attribution(
        game.spread(shapley(worths)),
        base_value=float(worths[0]),
        settled=Settled("exact"),
        flavour=f"{what}all {len(worths):,} coalitions{game.told()}",
    )
