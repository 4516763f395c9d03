"""Every player replaced alone: F(x with player i from row r), for each player i and each row r of a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model_zoo.types import Players, Sample, Target

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run


def left_out(sample: Sample, players: Players, rows: np.ndarray, target: Target, run: Run) -> np.ndarray:
    """The target's number (rows, players), float64, each with one player taken from one of `rows` (rows, *x.shape).

    Inputs are made batch by batch: pixels as players would need a coalition for each pixel and pixel.
    """
    import torch  # only a worker or a script has it

    model, count = run.evaluator.model, players.count
    x, taken_from = model.tensor(sample.x), model.tensor(rows)
    owner = torch.as_tensor(players.owner, device=x.device)
    owner = owner.reshape(*[1] * (x.ndim - owner.ndim), *owner.shape)

    def batch(part: slice) -> torch.Tensor:
        index = torch.arange(part.start, part.stop, device=x.device)
        gone = owner == (index % count).reshape(-1, *[1] * x.ndim)
        return torch.where(gone, taken_from[index // count], x)

    return run.evaluator.composed(len(rows) * count, batch, target).reshape(len(rows), count)
