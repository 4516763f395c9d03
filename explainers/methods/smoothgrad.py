"""SmoothGrad: the mean gradient over noisy copies of the input.

Element i receives the mean over draws of dF/dx_i at x + noise, noise normal with a standard deviation of `noise`
times the range of x; a pixel receives the sum over its colour channels. For token ids the noise is on the embedding,
and a token receives the length of its mean gradient.
Reference: Smilkov et al. (2017), arXiv:1706.03825. Numbers: captum NoiseTunnel(Saliency, abs=False), same seed on the
CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.credit import credit
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run
    from model_zoo.model import Model

SHOWN_EVERY = 10  # draws between partial results


@dataclass(frozen=True)
class Params:
    """How many noisy copies, and how noisy."""

    samples: int = knob(50, low=2, high=1000, help="Noisy copies whose gradients are averaged; cost grows with them.")
    noise: float = knob(
        0.15, low=0.001, high=1.0, help="Standard deviation of the noise, as a share of the input's range."
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Average `samples` gradients; values (players,) in the target's unit per unit of x."""
    import torch

    run.expect(params.samples)
    inputs = model.tensor(sample.x[None])
    entry = model.entry(inputs)
    embedded = model.embedding is not None
    spread = params.noise * float(entry.max() - entry.min())
    source = torch.Generator().manual_seed(run.seed)
    centre = entry.cpu().expand(params.samples, *entry.shape[1:])
    points = torch.normal(centre, spread, generator=source)  # one draw for all: the stream that captum takes
    unit = f"{target.unit} per unit of {'embedding' if embedded else 'input'}"

    def attribution(gradients: list[torch.Tensor]) -> Attribution:
        drawn = torch.cat(gradients)
        if embedded:
            values = credit(np.linalg.norm(drawn.mean(0), axis=-1), players, sample.x.ndim)
            return Attribution(values, unit=unit)
        each = credit(drawn, players, sample.x.ndim)
        values, error = each.mean(0), each.std(0, ddof=1) / np.sqrt(len(each))
        noisy = float(error.max() / (np.ptp(values) or 1.0))
        return Attribution(values, std_error=error, settled=Settled("standard_error", noisy), unit=unit)

    found: list[torch.Tensor] = []
    for start in range(0, params.samples, SHOWN_EVERY):
        found.append(run.evaluator.gradients(points[start : start + SHOWN_EVERY], inputs, target)[0])
        if run.wants_partial and start:
            run.publish(attribution(found))
    return attribution(found)


METHOD = Method(
    id="smoothgrad",
    title="SmoothGrad",
    family="gradient",
    summary="Averages the slopes over many slightly noisy copies of the input, which quiets a jumpy gradient.",
    source="Smilkov et al. (2017), arXiv:1706.03825",
    library="captum",
    explain=explain,
    needs=Capability.GRADIENTS,
    params=Params,
    players={"text": "words"},
    flavour=lambda params, reference: f"{params.samples} copies, noise {params.noise:g} of the input's range",
    evaluations=lambda params, players, rows: params.samples,
)
