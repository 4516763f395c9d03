"""Occlusion: how much the output falls when a part of the input is covered.

On pixels a window slides over the picture: pixel i receives the mean, over the windows W that cover it, of F(x) - F(x
with W replaced by the baseline). Other players (segments, words, columns) are left out one at a time, which is feature
ablation. Values are in units of F.
Reference: Zeiler and Fergus (2014), arXiv:1311.2901. Numbers: captum Occlusion, and FeatureAblation for other players.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.leaving_out import left_out
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params:
    """The sliding window, for pixels; other players need none."""

    window: float = knob(
        0.125, low=0.01, high=1.0, help="Side of the sliding window, as a share of the picture's side."
    )
    stride: float = knob(
        0.5, low=0.05, high=1.0, help="Step of the window, as a share of its side; cost grows as it falls."
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Cover one part at a time; values (players,) in the target's unit."""
    if players.kind == "pixels":
        return _slide(model, sample, target, players, reference, params, run)
    run.expect(1 + players.count)
    whole = run.evaluator.values(sample.x[None], target)[0]
    without = left_out(sample, players, reference.rows, target, run)[0]
    return Attribution(whole - without, settled=Settled("exact"), flavour=f"each of {players.count:,} {players.kind}")


def _slide(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:

    height, width = players.owner.shape
    places, (tall, wide) = windows(height, width, params)
    x, cover = model.tensor(sample.x), model.tensor(reference.rows)[0]
    run.expect(len(places) + 1)

    def batch(part: slice) -> torch.Tensor:
        rows = x.repeat(part.stop - part.start, *[1] * x.ndim)
        for row, index in zip(rows, range(part.start, part.stop), strict=True):
            if index:
                top, left = places[index - 1]
                row[..., top : top + tall, left : left + wide] = cover[..., top : top + tall, left : left + wide]
        return rows

    scores = run.evaluator.composed(len(places) + 1, batch, target)
    total, covered = np.zeros((height, width)), np.zeros((height, width))
    for fall, (top, left) in zip(scores[0] - scores[1:], places, strict=True):
        total[top : top + tall, left : left + wide] += fall
        covered[top : top + tall, left : left + wide] += 1
    values = np.bincount(players.owner.reshape(-1), (total / np.maximum(covered, 1)).reshape(-1), players.count)
    return Attribution(values, settled=Settled("exact"), flavour=f"{tall} × {wide} window, {len(places)} places")


def windows(height: int, width: int, params: Params) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Top-left corners of every window, and its height and width, in the model's pixels."""
    tall, wide = max(1, round(height * params.window)), max(1, round(width * params.window))
    down, across = max(1, round(tall * params.stride)), max(1, round(wide * params.stride))
    rows = range(math.ceil((height - tall) / down) + 1)
    columns = range(math.ceil((width - wide) / across) + 1)
    return [(row * down, column * across) for row in rows for column in columns], (tall, wide)


def _evaluations(params: Params, players: int, rows: int) -> int:
    side = math.isqrt(players)
    if side * side == players and side > 32:  # pixels of a square picture
        return len(windows(side, side, params)[0]) + 1
    return players + 1


METHOD = Method(
    id="occlusion",
    title="Occlusion",
    family="perturbation",
    summary="Covers one part of the input after another and shows how much the output falls without it.",
    source="Zeiler and Fergus (2014), arXiv:1311.2901",
    library="captum",
    explain=explain,
    params=Params,
    players={"text": "words"},
    absence="baseline",
    evaluations=_evaluations,
)
