"""SmoothGrad: the mean gradient over noisy copies of the input.

Element i receives the mean over draws of dF/dx_i at x + noise, noise normal with a standard deviation of `noise`
times the range of x; a pixel receives the sum over its colour channels, a category the slope of its own indicator.
For token ids the noise is on the embedding, and a token receives the length of its mean gradient.
Reference: Smilkov et al. (2017), arXiv:1706.03825. Numbers: captum NoiseTunnel(Saliency, abs=False), same seed on the
CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.credit import credit, slopes
from explainers.engine.libraries import largest_error
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

KEPT = 2**23  # numbers of gradients kept at a time; partial results are shown as often


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

    mean = torch.zeros(entry.shape[1:], dtype=torch.float64)  # gradient over the draws so far
    total, squares, half = np.zeros(players.count), np.zeros(players.count), None
    at_once = max(1, min(-(-params.samples // 2), KEPT // entry[0].numel()))
    for start in range(0, params.samples, at_once):
        gradients = run.evaluator.gradients(points[start : start + at_once], inputs, target)[0]
        done = start + len(gradients)
        if embedded:
            mean += (gradients.sum(0) - len(gradients) * mean) / done
            lengths = credit(np.linalg.norm(mean, axis=-1), players, sample.x.ndim)
            half = lengths if 2 * start < params.samples - at_once or half is None else half
            found = Attribution(lengths, settled=_moved(half, lengths), unit=unit)
        else:
            each = slopes(gradients, sample, players)  # (draws, players)
            total, squares = total + each.sum(0), squares + (each**2).sum(0)
            found = _attribution(total, squares, done, unit)
        if done < params.samples:
            run.publish(found)
    return found


def _moved(half: np.ndarray, whole: np.ndarray) -> Settled:
    """A length has no mean over draws, so it is compared with that of the first half of them."""
    return Settled("nested", float(np.abs(whole - half).sum() / (np.abs(whole).sum() or 1.0)))


def _attribution(total: np.ndarray, squares: np.ndarray, done: int, unit: str) -> Attribution:
    values = total / done
    error = np.sqrt(np.maximum(squares / done - values**2, 0) / max(done - 1, 1))
    settled = Settled("standard_error", largest_error(error, values))
    return Attribution(values, std_error=error, settled=settled, unit=unit)


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
    effort="samples",
    evaluations=lambda params, players, rows: params.samples,
)
