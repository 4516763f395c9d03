"""A quick map of our own, to hold other maps against: cheap, and made without knowing them.

Integrated gradients by a Clenshaw–Curtis rule of 17 points where there are gradients; else what leaving out one player
at a time changes. A map of pixels is summed over regions (engine/likeness.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.likeness import CELLS, FINE, MANY, grid, regions
from explainers.engine.quadrature import clenshaw_curtis
from model_zoo.types import Capability, Players

if TYPE_CHECKING:
    from explainers.case import Case

INTERVALS = 16


def quick_map(case: Case) -> np.ndarray:
    """Values (players,), or (regions,) of a map of pixels, in the target's unit."""
    return by_gradients(case) if Capability.GRADIENTS in case.model.can else left_out(case)


def by_gradients(case: Case) -> np.ndarray:
    """Integrated gradients from the mean of a few reference rows."""
    from explainers.methods.integrated_gradients import Path

    rows = case.reference.rows
    if len(rows) > 1 and np.issubdtype(rows.dtype, np.floating):
        rows = rows.mean(0, keepdims=True, dtype=np.float64).astype(rows.dtype)
    path = Path(case.model, case.sample, case.target, case.players, rows[:1], case.run)
    points, weights = clenshaw_curtis(INTERVALS)
    totals, _ = path.sums(points, weights[None])
    return regions(path.attribute(totals[0]), case.players)


def left_out(case: Case) -> np.ndarray:
    """f(x) - f(x without the player), player by player, or region by region of a map of pixels."""
    players = coarse(case.players)
    coalitions = np.concatenate([np.ones((1, players.count), bool), ~np.eye(players.count, dtype=bool)])
    scores = case.evaluator.masked(case.sample, players, coalitions, case.reference, case.target)
    return scores[0] - scores[1:]


def coarse(players: Players) -> Players:
    """Players as likeness.regions sums them: as they are where they are few, else the cells of a grid."""
    few = CELLS * CELLS if players.kind in FINE else MANY
    if players.count <= few or players.owner.ndim > 2:
        return players
    owner = np.where(players.owner >= 0, grid(players.owner.shape), -1)
    return Players("regions", owner, int(owner.max()) + 1)
