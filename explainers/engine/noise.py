"""The stream of noisy copies of an input that SmoothGrad and VarGrad share, and the gradients at them.

The noise is normal with a standard deviation of `noise` times the range of x, or of its embedding for token ids. All
copies are drawn at once from one seed, as captum's NoiseTunnel does on the CPU, so that its numbers are found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explainers.types import knob
from model_zoo.types import Sample, Target

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run
    from model_zoo.model import Model

KEPT = 2**23  # numbers of gradients kept at a time; partial results are shown as often


@dataclass(frozen=True)
class Params:
    """How many noisy copies, and how noisy."""

    samples: int = knob(50, low=2, high=1000, help="Noisy copies whose gradients are taken; cost grows with them.")
    noise: float = knob(
        0.15, low=0.001, high=1.0, help="Standard deviation of the noise, as a share of the input's range."
    )


@dataclass(frozen=True)
class Draws:
    """Gradients (n, *entry) at a few of the copies; `done` of all copies have been seen with these."""

    gradients: torch.Tensor
    done: int
    last_of_half: bool  # whether no later part lies wholly in the first half of the copies


def gradients(model: Model, sample: Sample, target: Target, params: Params, run: Run) -> Iterator[Draws]:
    """The target's gradients at the noisy copies of the sample, in at least two parts."""
    import torch

    run.expect(params.samples)
    inputs = model.tensor(sample.x[None])
    entry = model.entry(inputs)
    spread = params.noise * float(entry.max() - entry.min())
    source = torch.Generator().manual_seed(run.seed)
    centre = entry.cpu().expand(params.samples, *entry.shape[1:])
    points = torch.normal(centre, spread, generator=source)
    at_once = max(1, min(-(-params.samples // 2), KEPT // entry[0].numel()))
    for start in range(0, params.samples, at_once):
        found = run.evaluator.gradients(points[start : start + at_once], inputs, target)[0]
        yield Draws(found, start + len(found), 2 * start >= params.samples - at_once)


def flavour(params: Params) -> str:
    """What was done, in a few words."""
    return f"{params.samples} copies, noise {params.noise:g} of the input's range"
