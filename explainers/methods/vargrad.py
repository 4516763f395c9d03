"""VarGrad: how much the gradient varies over noisy copies of the input.

Element i receives the variance over n draws of g_i = dF/dx_i at x + noise,
    Var_i = mean g_i² - (mean g_i)²,
with noise as in SmoothGrad; a pixel receives the sum over its colour channels, a category that of its own indicator.
For token ids the noise is on the embedding, and a token receives the sum over its embedding's axes. The unit is that of
a gradient, squared; there is no sign. With m the mean of the draws before, the terms
    (k - 1) / k · |g_k - m_{k-1}|²,    k = 2 ... n
add up to n · Var and are independent for normal gradients (Helmert's transformation), nearly so for others: their
spread is the standard error.
Reference: Adebayo et al. (2018), arXiv:1810.03307. Numbers: captum NoiseTunnel(Saliency, abs=False) with
nt_type="vargrad", same seed on the CPU.
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
    from explainers.engine.run import Run
    from model_zoo.model import Model


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """The variance of `samples` gradients; values (players,), in the square of the gradient's unit."""
    embedded = model.embedding is not None
    unit = f"({target.unit} per unit of {'embedding' if embedded else 'input'})²"
    before: np.ndarray | float = 0.0  # the sum of all gradients seen
    seen, total, squares = 0, np.zeros(players.count), np.zeros(players.count)
    for draws in noise.gradients(model, sample, target, params, run):
        gradients = draws.gradients.numpy()
        sums = before + np.cumsum(gradients, 0)
        count = np.arange(seen + 1, draws.done + 1).reshape(-1, *[1] * (gradients.ndim - 1))
        mean = (sums - gradients) / np.maximum(count - 1, 1)  # of the draws before each
        terms = (count - 1) / count * (gradients - mean) ** 2
        each = credit(terms, players, sample.x.ndim, embedded=True) if embedded else slopes(terms, sample, players)
        total, squares = total + each.sum(0), squares + (each**2).sum(0)
        before, seen = sums[-1], draws.done
        found = _attribution(total, squares, seen, unit)
        if seen < params.samples:
            run.publish(found)
    return found


def _attribution(total: np.ndarray, squares: np.ndarray, draws: int, unit: str) -> Attribution:
    terms = max(draws - 1, 1)  # the first draw has no mean before it
    spread = np.maximum(squares / terms - (total / terms) ** 2, 0) * terms / max(terms - 1, 1)
    error = np.sqrt(spread * terms) / draws
    values = total / draws
    settled = Settled("standard_error", largest_error(error, values))
    return Attribution(values, std_error=error, settled=settled, unit=unit)


METHOD = Method(
    id="vargrad",
    title="VarGrad",
    family="gradient",
    summary="Shows where the slope changes most between slightly noisy copies of the input; it has no sign.",
    source="Adebayo et al. (2018), arXiv:1810.03307",
    library="captum",
    explain=explain,
    needs=Capability.GRADIENTS,
    params=Params,
    players={"text": "words"},
    signed=False,
    flavour=lambda params, reference: noise.flavour(params),
    effort="samples",
    evaluations=lambda params, players, rows: params.samples,
)
