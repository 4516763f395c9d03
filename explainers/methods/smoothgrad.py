"""SmoothGrad: the mean gradient over noisy copies of the input.

Element i receives the mean over draws of dF/dx_i at x + noise, noise normal with a standard deviation of `noise`
times the range of x; a pixel receives the sum over its colour channels, a category the slope of its own indicator.
For token ids the noise is on the embedding, and a token receives the length of its mean gradient.
Reference: Smilkov et al. (2017), arXiv:1706.03825. Numbers: captum NoiseTunnel(Saliency, abs=False), same seed on the
CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.engine import noise
from explainers.engine.credit import credit, slopes
from explainers.engine.libraries import largest_error
from explainers.engine.noise import Params
from explainers.types import Attribution, Method, Settled
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run
    from model_zoo.model import Model


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Average `samples` gradients; values (players,) in the target's unit per unit of x."""
    embedded = model.embedding is not None
    unit = f"{target.unit} per unit of {'embedding' if embedded else 'input'}"
    mean: torch.Tensor | float = 0.0  # gradient over the draws so far
    seen = 0
    total, squares, half = np.zeros(players.count), np.zeros(players.count), None
    for draws in noise.gradients(model, sample, target, params, run):
        if embedded:
            mean = mean + (draws.gradients.sum(0) - (draws.done - seen) * mean) / draws.done
            lengths = credit(np.linalg.norm(mean, axis=-1), players, sample.x.ndim)
            half = lengths if not draws.last_of_half or half is None else half
            found = Attribution(lengths, settled=_moved(half, lengths), unit=unit)
        else:
            each = slopes(draws.gradients, sample, players)  # (draws, players)
            total, squares = total + each.sum(0), squares + (each**2).sum(0)
            found = _attribution(total, squares, draws.done, unit)
        seen = draws.done
        if seen < params.samples:
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
    reading="matters",
    flavour=lambda params, reference: noise.flavour(params),
    effort="samples",
    evaluations=lambda params, players, rows: params.samples,
)
