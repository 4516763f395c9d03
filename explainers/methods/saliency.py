"""Saliency: how the output moves when an input element moves a little.

Element i receives dF/dx_i, in units of F per unit of x; a pixel receives the sum over its colour channels, signed,
and a category the slope of its own indicator. For token ids a token receives the length of the gradient of its
embedding, which has no sign.
Reference: Simonyan, Vedaldi and Zisserman (2013), arXiv:1312.6034. Numbers: captum Saliency with abs=False.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.credit import credit, slopes
from explainers.types import Attribution, Method, NoParams
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: NoParams, run: Run
) -> Attribution:
    """One gradient; values (players,) in the target's unit per unit of x."""
    run.expect(1)
    inputs = model.tensor(sample.x[None])
    gradient = run.evaluator.gradients(model.entry(inputs), inputs, target)[0][0]
    if model.embedding is not None:
        lengths = np.linalg.norm(gradient, axis=-1)
        unit = f"{target.unit} per unit of embedding"
        return Attribution(credit(lengths, players, sample.x.ndim), unit=unit, flavour="length of the gradient")
    return Attribution(slopes(gradient, sample, players), unit=f"{target.unit} per unit of input")


METHOD = Method(
    id="saliency",
    title="Saliency",
    family="gradient",
    summary="Shows where a very small change of the input would move the output most, up or down.",
    source="Simonyan, Vedaldi and Zisserman (2013), arXiv:1312.6034",
    library="captum",
    aliases=("vanilla_gradient", "gradients"),
    explain=explain,
    needs=Capability.GRADIENTS,
    params=NoParams,
    players={"text": "words"},
    reading="matters",
    flavour=lambda params, reference: "signed gradient",
)
