"""The game that Shapley values share out: what a coalition of players is worth.

    v(S) = mean over reference rows of f(x where S, the row elsewhere), in units of f.
Players whose every reference row equals x change nothing wherever they are: they take no part, and get 0. Coalitions of
the others are bool (n, count). Each is evaluated once in a run, however often it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run

MOST = 2000  # players; beyond it there are more unknowns than anybody samples coalitions
USUAL = 2048  # coalitions, besides two a player, where nobody says how many


class Game:
    """One target, one input and one reference, as a game of `count` players that matter."""

    def __init__(self, sample: Sample, players: Players, reference: Reference, target: Target, run: Run) -> None:
        self.sample, self.players, self.reference, self.target, self.run = sample, players, reference, target, run
        self.active = np.flatnonzero(varies(sample, players, reference))
        self.count = len(self.active)
        self.rows = len(reference.rows)
        self._known: dict[bytes, float] = {}

    def worth(self, coalitions: np.ndarray) -> np.ndarray:
        """v (n,), float64, of coalitions, bool (n, count)."""
        present = np.asarray(coalitions, dtype=bool).reshape(len(coalitions), self.count)
        keys = [row.tobytes() for row in np.packbits(present, axis=1)]
        fresh = {key: place for place, key in enumerate(keys) if key not in self._known}
        if fresh:
            asked = present[list(fresh.values())]
            self._known |= dict(zip(fresh, self._ask(asked).tolist(), strict=True))
        return np.array([self._known[key] for key in keys])

    def _ask(self, present: np.ndarray) -> np.ndarray:
        found = np.empty(len(present))
        everybody = present.all(1)
        if everybody.any():  # every row would give f(x) again
            found[everybody] = self.run.evaluator.values(self.sample.x[None], self.target)[0]
        if not everybody.all():
            whole = np.ones((int((~everybody).sum()), self.players.count), dtype=bool)
            whole[:, self.active] = present[~everybody]
            found[~everybody] = self.run.evaluator.masked(self.sample, self.players, whole, self.reference, self.target)
        return found

    def ends(self) -> tuple[float, float]:
        """What nobody and everybody are worth."""
        nobody, everybody = self.worth(np.stack([np.zeros(self.count, dtype=bool), np.ones(self.count, dtype=bool)]))
        return float(nobody), float(everybody)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Numbers (count,) of the players that matter as numbers (players,), 0 for the others."""
        found = np.zeros(self.players.count)
        found[self.active] = values
        return found

    def told(self) -> str:
        """How many reference rows, for the flavour; empty for one."""
        return f", {self.rows} reference rows" if self.rows > 1 else ""


def varies(sample: Sample, players: Players, reference: Reference) -> np.ndarray:
    """Whether taking a player away changes anything: bool (players,). Only equals are equal, however close."""
    x, rows = sample.x, reference.rows
    same = (x == rows) | (np.isnan(x) & np.isnan(rows)) if np.issubdtype(x.dtype, np.floating) else x == rows
    channels = tuple(range(1, 1 + x.ndim - players.owner.ndim))
    moved = ~same.all(axis=(0, *channels)).reshape(-1)
    owner = players.owner.reshape(-1)
    return np.bincount(owner[owner >= 0], moved[owner >= 0], minlength=players.count) > 0


def budget(asked: int, count: int) -> int:
    """Coalitions to evaluate besides nobody and everybody: as asked, or the usual, but not more than there are."""
    wanted = asked or 2 * count + USUAL
    return min(wanted, 2**count - 2) if count <= 30 else wanted


def enough(title: str, players: Players, most: int = MOST) -> None:
    """UserError where there are more players than a method weighs."""
    if players.count > most:
        raise UserError(
            f"{title} weighs at most {most:,} players; this input has {players.count:,} {players.kind}."
            " Choose coarser players, such as segments or words."
        )
