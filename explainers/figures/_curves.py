"""What the pictures of series and sounds share: values and lines in as many columns as a screen shows.

Values are (rows, steps): rows are channels or bands. Where there are more steps than COLUMNS, players that are single
steps are summed in each column, so that a column holds the credit of its time; others are averaged, which keeps theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explainers.types import Explanation
from model_zoo.types import Sample

COLUMNS = 600
CLIPPED, ENOUGH = 99.0, 200  # percentile at which colours are full, of at least so many columns
SINGLE = ("steps", "cells", "samples")  # players that may be too many for bars
BARS = 60  # of them that are still drawn as bars
OVER_TIME = ("series", "audio")


@dataclass(frozen=True)
class Grid:
    """Values (rows, columns), the first step of each column and one past the last, and whether columns are sums."""

    values: np.ndarray
    edges: np.ndarray  # (columns + 1,) in steps
    summed: bool


def fine(explanation: Explanation) -> bool:
    """Whether the players are too many and too small to be named one by one."""
    players = explanation.players
    if explanation.sample.modality in OVER_TIME:
        return players.kind in SINGLE and players.count > BARS
    return players.kind == "pixels"


def grid(explanation: Explanation) -> Grid:
    """The values as they are coloured."""
    sample = explanation.sample
    rows = sample.view.rows(explanation.dense(), sample.x.shape)
    starts, summed = columns(rows.shape[1]), explanation.players.kind in SINGLE
    edges = np.append(starts, rows.shape[1])
    if len(starts) == rows.shape[1]:
        return Grid(rows, edges, False)
    total = np.add.reduceat(rows, starts, axis=1)
    return Grid(total if summed else total / np.diff(edges), edges, summed)


def columns(steps: int, most: int = COLUMNS) -> np.ndarray:
    """The first step of each column."""
    count = min(most, steps)
    return np.arange(count) * steps // count


def limit(explanation: Explanation) -> float:
    """The magnitude of full colour of a fine map; 0 where there is none."""
    magnitudes = np.abs(grid(explanation).values)
    if magnitudes.size < ENOUGH:
        return float(magnitudes.max(initial=0.0))
    return float(np.percentile(magnitudes, CLIPPED)) or float(magnitudes.max())


def line(row: np.ndarray, most: int = 2 * COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """Steps and heights of a line through one row; a long one goes through the lowest and highest of each column."""
    if len(row) <= most:
        return np.arange(len(row), dtype=np.float64), row
    starts = columns(len(row), most // 2)
    pairs = np.stack([np.minimum.reduceat(row, starts), np.maximum.reduceat(row, starts)], 1)
    return np.repeat(starts.astype(np.float64), 2), pairs.reshape(-1)


def lines(sample: Sample) -> np.ndarray:
    """(rows, steps) of the sample's own numbers."""
    rows: np.ndarray = sample.view.rows(sample.x, sample.x.shape).astype(np.float64)
    return rows


def clock(sample: Sample, steps: np.ndarray) -> np.ndarray:
    """Places on the axis of time, in seconds where the rate of a sound is known, else in steps."""
    view = sample.view
    seconds = getattr(view, "seconds", 0.0)
    return steps * (seconds / sample.x.shape[view.axis]) if seconds else np.asarray(steps, dtype=np.float64)


def unit_of_time(sample: Sample) -> str:
    """What stands below the axis of time."""
    if getattr(sample.view, "seconds", 0.0):
        return "seconds"
    return {"audio": "sample", "series": "step"}[sample.modality]
