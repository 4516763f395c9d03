"""From one number an element of the input to one number a player."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model_zoo.types import Players, Sample

if TYPE_CHECKING:
    import torch


def slopes(gradient: np.ndarray | torch.Tensor, sample: Sample, players: Players) -> np.ndarray:
    """Gradients (*lead, *x.shape) by player (*lead, players), float64: how F moves with each.

    A category is a column of indicators; its slope is that of the indicator that is on. There is no moving the others.
    """
    elements = np.asarray(gradient, dtype=np.float64)
    if sample.modality == "tabular":
        owner = players.owner
        several = np.bincount(owner[owner >= 0], minlength=players.count)[owner] > 1
        elements = np.where(several & (sample.x == 0), 0.0, elements)
    return credit(elements, players, sample.x.ndim)


def credit(elements: np.ndarray | torch.Tensor, players: Players, x_axes: int, *, embedded: bool = False) -> np.ndarray:
    """Sum elements over what each player owns: (*lead, *x.shape) -> (*lead, players), float64.

    x_axes: the axes of x. embedded: elements carry one more axis, the embedding's width, which is summed first.
    Leading axes of x that `owner` lacks, such as colour channels, are summed too.
    """
    values = np.asarray(elements, dtype=np.float64)
    if embedded:
        values = values.sum(-1)
    lead = values.ndim - x_axes
    channels = tuple(range(lead, values.ndim - players.owner.ndim))
    owner = players.owner.reshape(-1)
    flat = values.sum(channels).reshape(*values.shape[:lead], owner.size)
    owned = owner >= 0
    if np.array_equal(owner[owned], np.arange(players.count)):
        return flat[..., owned]
    rows = flat[..., owned].reshape(-1, int(owned.sum()))
    totals = [np.bincount(owner[owned], row, minlength=players.count) for row in rows]
    return np.reshape(totals, (*values.shape[:lead], players.count))
