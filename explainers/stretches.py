"""Where over time the values lie, in words: "steps 40 to 52 of “ecg”", "0.40–0.55 s".

A player's value is spread evenly over what it owns. Where players reach over all channels there is one curve over time,
else one for each channel; a sound always has one. A stretch is what lies above half of the highest point, and its
weight is what it holds. Long inputs are summed into BINS parts first, in which neighbours of opposite sign cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explainers.credits import slopes
from explainers.types import Explanation
from model_zoo.modalities.series import stretch

BINS = 200
HALF = 0.5  # of the highest point


@dataclass(frozen=True)
class Stretch:
    """Steps `first` to `last` of x, both included, of one channel or (None) of all, and the values in it."""

    first: int
    last: int
    row: int | None
    weight: float


def curves(explanation: Explanation) -> np.ndarray:
    """(channels, steps) or (1, steps): each position's share of its player's value; slopes by magnitude."""
    view, players, shape = explanation.sample.view, explanation.players, explanation.sample.x.shape
    values = np.abs(explanation.values) if slopes(explanation) else explanation.values
    owner = view.rows(players.owner, shape)
    sizes = np.bincount(owner[owner >= 0], minlength=players.count)
    shares = np.append(values / np.maximum(sizes, 1), 0.0)[owner]
    together = explanation.sample.modality == "audio" or bool((owner == owner[:1]).all())
    return shares.sum(0, keepdims=True) if together else shares


def found(explanation: Explanation, sign: int) -> list[Stretch]:
    """The stretches in which values of this sign gather, the weightiest first."""
    rows = sign * curves(explanation)
    steps = rows.shape[1]
    starts = np.unique(np.arange(min(BINS, steps)) * steps // min(BINS, steps))
    binned = np.clip(np.add.reduceat(rows, starts, axis=1), 0, None)
    stops = np.append(starts[1:], steps) - 1
    means = binned / (stops - starts + 1)  # bins differ in length by a step
    high = means >= HALF * means.max(initial=0.0)
    high[:, 1:-1] |= high[:, :-2] & high[:, 2:] & (means[:, 1:-1] > 0)  # one lower part does not cut a stretch
    several = len(rows) > 1
    made = []
    for row in np.flatnonzero(high.any(1) & (binned.sum(1) > 0)):
        change = np.diff(high[row].astype(int), prepend=0, append=0)
        for first, past in zip(np.flatnonzero(change == 1), np.flatnonzero(change == -1), strict=True):
            weight = float(binned[row, first:past].sum())
            place = int(row) if several else None
            made.append(Stretch(int(starts[first]), int(stops[past - 1]), place, weight))
    return sorted(made, key=lambda one: -one.weight)


def name(explanation: Explanation, one: Stretch) -> str:
    """What a person calls a stretch."""
    view = explanation.sample.view
    if explanation.sample.modality == "audio":
        return str(view.when(one.first, one.last, explanation.sample.x.shape[view.axis]))
    only = view.channels[0] if len(view.channels) == 1 and view.named else ""
    channel = only if one.row is None else view.channels[one.row]
    return stretch(one.first, one.last) + (f" of “{channel}”" if channel else "")
