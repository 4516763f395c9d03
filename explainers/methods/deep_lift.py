"""DeepLIFT, rescale rule: how each activation's difference from a reference came about, layer by layer.

For output F, input x and baseline b, element i receives, in units of F,
    m_i (x_i - b_i),
where m is the backward pass with each activation's gradient replaced by the slope between what it gave for b and for
x; the values add up to F(x) - F(b). The rule is applied at every operation, so F.relu, a module that is used twice
and a script are explained as they should be. It is defined for sums, fixed weights, activations that never fall, and
maxima; a network with anything else (attention, gates, layer normalisation, GELU) is refused with the reason. Two
networks that compute the same may be explained differently.
Reference: Shrikumar, Greenside and Kundaje (2017), arXiv:1704.02685. Numbers: captum DeepLift, where each activation
is a module of its own that it has a rule for. captum 0.9 misses, without an error, functions such as F.relu, one
activation right after another (pooling after ReLU), an input that also goes around one (x + f(relu(x))), and windows
of pooling that overlap; there the numbers differ, and these add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from explainers.engine import deep
from explainers.types import Attribution, Method, NoParams
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

TITLE = "DeepLIFT"


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: NoParams, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    return deep.attribute(TITLE, model, sample, target, players, reference, run)


METHOD = Method(
    id="deep_lift",
    title=TITLE,
    family="gradient",
    summary="Compares every neuron with what it does for a baseline and passes the differences back to the input.",
    source="Shrikumar, Greenside and Kundaje (2017), arXiv:1704.02685",
    library="captum",
    explain=explain,
    needs=Capability.GRADIENTS,
    params=NoParams,
    players={"text": "words"},
    absence="baseline",
    completeness="approximate",
    flavour=lambda params, reference: deep.flavour(reference),
    evaluations=lambda params, players, rows: rows,
    refuses=deep.refuses(TITLE),
)
