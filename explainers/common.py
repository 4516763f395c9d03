"""Players that several explanations of one input have in common, and each one's values on them.

Where every explanation's players are made of the finer ones of the others (segments of pixels, words of tokens), the
coarsest stand for all, and values are added. Otherwise they are spread evenly over what their players own and gathered
in the cells of a grid, or in equal stretches of whatever has one axis. A map of intensities, as class activation maps
are, is no share of the output: each position has its value, whatever else its player owns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explainers.credits import intensities
from explainers.engine.likeness import MANY, grid
from explainers.types import Explanation
from model_zoo.types import Players, UserError

STRETCHES = 40  # along an axis that has no other players in common


def common(explanations: Sequence[Explanation]) -> tuple[Players, np.ndarray]:
    """The common players, and values (explanations, players) on them, each in its explanation's own unit.

    UserError where the explanations are of different inputs.
    """
    first = explanations[0]
    for one in explanations[1:]:
        if one.players.owner.shape != first.players.owner.shape or one.sample.digest != first.sample.digest:
            raise UserError(
                f"Explanations of one input are compared; one is of {first.sample.name or 'one input'!r} and another of"
                f" {one.sample.name or 'another'!r}. Compare those of the same input."
            )
    players = _shared(explanations)
    return players, np.stack([_gathered(one, players) for one in explanations])


def _shared(explanations: Sequence[Explanation]) -> Players:
    """The coarsest players if the others' are parts of them, else a grid."""
    found = [one.players for one in explanations]
    words = _words(explanations[0])
    if words is not None and any(one.kind == "tokens" for one in found):
        found.append(words)
    coarsest = min(found, key=lambda one: one.count)
    if all(one is coarsest or _inside(one.owner, coarsest.owner) for one in found):
        named = next(one for one in found if one is coarsest or _same(one, coarsest))
        if named.count <= MANY or named.owner.ndim != 2:
            return named
    return _regions(found)


def _same(one: Players, other: Players) -> bool:
    return one.count == other.count and bool(np.array_equal(one.owner, other.owner))


def _inside(fine: np.ndarray, coarse: np.ndarray) -> bool:
    """Whether no player of `fine` belongs to two of `coarse`; nobody's positions are those of both."""
    owned = fine >= 0
    if not np.array_equal(owned, coarse >= 0):
        return False
    pairs = np.unique(np.stack([fine[owned], coarse[owned]]), axis=1)
    return len(np.unique(pairs[0])) == pairs.shape[1]


def _words(explanation: Explanation) -> Players | None:
    """The words of a text, where its tokens know theirs."""
    of = np.asarray(getattr(explanation.sample.view, "word_of", ()), dtype=np.int64)
    if of.shape != explanation.players.owner.shape or of.max(initial=-1) < 0:
        return None
    view = explanation.sample.view
    return Players("words", of, view.kept, tuple(view.text[start:stop] for start, stop in view.words[: view.kept]))


def _regions(found: Sequence[Players]) -> Players:
    """Cells of a grid, or equal stretches; what nobody owns in any of them is nobody's."""
    shape = found[0].owner.shape
    if len(shape) == 2:
        cell = grid(shape)
    else:
        steps = int(np.prod(shape))
        cell = (np.arange(steps) * min(STRETCHES, steps) // steps).reshape(shape)
    owned = np.any([one.owner >= 0 for one in found], axis=0)
    kept, owner = np.unique(cell[owned], return_inverse=True)
    cell = np.full(shape, -1)
    cell[owned] = owner.reshape(-1)
    return Players("regions", cell, len(kept))


def _gathered(explanation: Explanation, players: Players) -> np.ndarray:
    """Values (players,) that each of the common players gets."""
    own = explanation.players
    if _same(own, players):
        return np.asarray(explanation.values, dtype=np.float64)
    owned = own.owner >= 0
    sizes = np.bincount(own.owner[owned], minlength=own.count)
    values = np.asarray(explanation.values, dtype=np.float64)
    if not intensities(explanation):
        values = values / np.maximum(sizes, 1)
    both = owned & (players.owner >= 0)
    return np.bincount(players.owner[both], values[own.owner[both]], minlength=players.count)
