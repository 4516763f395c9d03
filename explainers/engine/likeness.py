"""How alike two attributions of the same players are.

A map of pixels, or of samples in time, is compared region by region, the values of a grid's cells added: pixel by pixel
two good maps of the same object have little in common.
References: Spearman (1904), rank correlation; Krishna and others (2022), arXiv:2202.01602, agreement of the top k.
"""

from __future__ import annotations

import numpy as np

from model_zoo.types import Players

MANY = 1000  # players; beyond them regions are compared
FINE = ("pixels", "samples", "cells", "steps")  # kinds of which one alone means nothing to a person
CELLS = 14  # regions along each side


def regions(values: np.ndarray, players: Players, cells: int = CELLS) -> np.ndarray:
    """Values (players,) as they are where they are few, else the sums over the cells of a grid, (cells,)."""
    few = cells * cells if players.kind in FINE else MANY
    if players.count <= few or players.owner.ndim > 2:
        return np.asarray(values, dtype=np.float64)
    cell = grid(players.owner.shape, cells)
    dense = np.append(values, 0.0)[players.owner]
    return np.bincount(cell.reshape(-1), dense.reshape(-1))


def grid(shape: tuple[int, ...], cells: int = CELLS) -> np.ndarray:
    """The cell of each position (height, width), counted from 0 row by row, or of each (length,): cells² at most."""
    if len(shape) == 1:
        return np.arange(shape[0]) * min(cells * cells, shape[0]) // shape[0]
    height, width = shape
    down, across = min(cells, height), min(cells, width)
    rows, columns = np.arange(height) * down // height, np.arange(width) * across // width
    return rows[:, None] * across + columns[None]


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, ties sharing their mean rank; not a number where either is constant."""
    from scipy.stats import rankdata

    first, second = rankdata(_rounded(one)), rankdata(_rounded(other))
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else float("nan")


def top(values: np.ndarray, count: int) -> frozenset[int]:
    """The `count` players of largest magnitude."""
    return frozenset(int(one) for one in np.argsort(-np.abs(_rounded(values)), kind="stable")[:count])


def shared(one: np.ndarray, other: np.ndarray, count: int, signed: bool = True) -> float:
    """Share of the `count` strongest players that both name, with the same sign where `signed`."""
    both = top(one, count) & top(other, count)
    agree = [player for player in both if not signed or one[player] * other[player] > 0]
    return len(agree) / count


def captured(one: np.ndarray, other: np.ndarray, count: int, signed: bool = True) -> float:
    """How much of `one` the `count` strongest of `other` hold, 0 for what chance gives and 1 for the most there is.

    Counted by size, so that parts of nearly the same size may change places; with the same sign where `signed`.
    """
    size = np.abs(one)
    agree = size * (one * other > 0) if signed else size
    most = float(np.sort(size)[::-1][:count].sum())
    if not most:
        return float("nan")
    held = float(agree[list(top(other, count))].sum()) / most
    return above_chance(held, float(size.sum()) * count / len(size) / most)


def above_chance(share: float, chance: float) -> float:
    """0 for what chance gives, 1 for all: (share - chance) / (1 - chance)."""
    return (share - chance) / (1 - chance) if chance < 1 else float("nan")


def _rounded(values: np.ndarray) -> np.ndarray:
    """Values without the noise of floating point, so that equals tie."""
    size = float(np.abs(values).max(initial=0.0))
    return np.round(np.asarray(values, dtype=np.float64) / size, 9) if size > 0 else np.zeros(len(values))
