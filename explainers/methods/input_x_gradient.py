"""Input × gradient: the first-order share of each input element in the output.

Element i receives x_i · dF/dx_i, in units of F; exact for a linear model without a constant, elsewhere a local
reading. For token ids, x is the embedding. It compares with an input of zeros, in the model's own space.
Reference: Shrikumar et al. (2016), arXiv:1605.01713. Numbers: captum InputXGradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from explainers.engine.credit import credit
from explainers.types import Attribution, Method, NoParams
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: NoParams, run: Run
) -> Attribution:
    """One gradient times the input; values (players,) in the target's unit."""
    run.expect(1)
    inputs = model.tensor(sample.x[None])
    entry = model.entry(inputs)
    gradient = run.evaluator.gradients(entry, inputs, target)[0][0]
    elements = gradient * entry[0].cpu().double()
    return Attribution(credit(elements, players, sample.x.ndim, embedded=model.embedding is not None))


METHOD = Method(
    id="input_x_gradient",
    title="Input × gradient",
    family="gradient",
    summary="Multiplies each input element by the slope of the output there: quick, and exact only for a linear model.",
    source="Shrikumar et al. (2016), arXiv:1605.01713",
    library="captum",
    aliases=("input_times_gradient", "gradient_x_input", "input×gradient"),
    explain=explain,
    needs=Capability.GRADIENTS,
    params=NoParams,
    players={"text": "words"},
    flavour=lambda params, reference: "against an input of zeros",
)
