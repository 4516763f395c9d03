"""GradientSHAP: expected gradients on random points between the input and the reference rows.

For output F, input x, a reference row b drawn at random and a place t uniform in [0, 1], element i receives
    E[(x_i - b_i) · dF/dx_i at b + t (x - b)], in units of F,
whose sum is F(x) - mean F(b) in expectation. For token ids the points lie between embeddings.
Standard errors are those of the mean over the points, of each player's own sum.
Reference: Erion and others (2021), arXiv:1906.10670; Lundberg and Lee (2017), arXiv:1705.07874.
Numbers: shap GradientExplainer, same seed, rows and nsamples, to 1e-5 of their range (it computes in float32).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.credit import credit
from explainers.engine.libraries import largest_error, seeded
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run
    from model_zoo.model import Model

LEAST, EACH, MOST = 200, 50, 20_000  # points: shap's default, a row, and all told
KEPT = 2**22  # numbers of gradients held at a time


@dataclass(frozen=True)
class Params:
    """How many points are drawn."""

    nsamples: int = knob(
        0,
        low=0,
        high=100_000,
        label="Samples",
        help="Random points between the input and the reference rows; 0 takes 200, or 50 a row where that is more.",
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    rows = len(reference.rows)
    count = _points_for(params.nsamples, rows)
    run.expect(count + rows)
    base = float(run.evaluator.values(reference.rows, target).mean())
    inputs = model.tensor(sample.x[None])
    end, starts = model.entry(inputs), model.entry(model.tensor(reference.rows))
    index, times = draw(run.seed, count, rows)

    embedded = model.embedding is not None
    at_once = max(4, min(count, KEPT // end[0].numel()))
    total, squares, done = np.zeros(players.count), np.zeros(players.count), 0
    for first in range(0, count, at_once):
        part = slice(first, min(first + at_once, count))
        from_rows = starts[index[part]]
        gradients, _ = run.evaluator.gradients(_points(end, from_rows, times[part]), inputs, target)
        change = (end - from_rows).cpu().double()
        gained = credit(change * gradients, players, sample.x.ndim, embedded=embedded)  # (points, players)
        total, squares, done = total + gained.sum(0), squares + (gained**2).sum(0), part.stop
        found = _attribution(total, squares, done, count, base, rows)
        if run.wants_partial and done < count:
            run.publish(found)
    return found


def _points_for(asked: int, rows: int) -> int:
    return asked or max(LEAST, min(EACH * rows, MOST))


def draw(seed: int, count: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (count,) and places on the path (count,), in the order in which shap draws them from numpy's own stream."""
    index, times = np.empty(count, dtype=np.int64), np.empty(count)
    with seeded(seed):
        for place in range(count):
            index[place] = np.random.choice(rows)
            times[place] = np.random.uniform()
    return index, times


def _points(end: torch.Tensor, starts: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    import torch

    def column(numbers: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(numbers).to(end).reshape(-1, *[1] * (end.ndim - 1))

    return column(times) * end + column(1 - times) * starts


def _attribution(total: np.ndarray, squares: np.ndarray, done: int, count: int, base: float, rows: int) -> Attribution:
    values = total / done
    error = np.sqrt(np.maximum(squares / done - values**2, 0) / max(done - 1, 1))
    return Attribution(
        values,
        base_value=base,
        std_error=error,
        settled=Settled("standard_error", largest_error(error, values)),
        used={"nsamples": count},
        flavour=f"{done:,} random points" + (f", {rows} reference rows" if rows > 1 else ""),
    )


METHOD = Method(
    id="gradient_shap",
    title="GradientSHAP",
    family="gradient",
    summary="Averages the model's sensitivity over random points between the input and typical or empty inputs.",
    source="Erion and others (2021), arXiv:1906.10670",
    library="shap",
    aliases=("gradient",),
    explain=explain,
    needs=Capability.GRADIENTS,
    params=Params,
    players={"text": "words"},
    absence="background",
    completeness="approximate",
    effort="nsamples",
    evaluations=lambda params, players, rows: _points_for(params.nsamples, rows) + rows,
)
