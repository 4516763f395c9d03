"""DeepLIFT-SHAP: DeepLIFT against each row of a background, averaged.

For output F, input x and background rows b_1 ... b_n, element i receives, in units of F,
    the mean over k of m_i(b_k) (x_i - b_ki),
with the multipliers m of DeepLIFT's rescale rule; the values add up to F(x) - mean F(b_k). What the rule does not
cover is refused, as for DeepLIFT.
Reference: Lundberg and Lee (2017), arXiv:1705.07874, section 4.2. Numbers: captum DeepLiftShap, where each activation
is a module of its own that it has a rule for, and within the limits that deep_lift.py tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from explainers.engine import deep
from explainers.types import Attribution, Method, NoParams
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

TITLE = "DeepLIFT-SHAP"


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: NoParams, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    return deep.attribute(TITLE, model, sample, target, players, reference, run)


METHOD = Method(
    id="deep_lift_shap",
    title=TITLE,
    family="gradient",
    summary="DeepLIFT against many typical inputs instead of one baseline, averaged.",
    source="Lundberg and Lee (2017), arXiv:1705.07874",
    library="captum",
    explain=explain,
    needs=Capability.GRADIENTS,
    params=NoParams,
    players={"text": "words"},
    absence="background",
    completeness="approximate",
    flavour=lambda params, reference: deep.flavour(reference),
    evaluations=lambda params, players, rows: rows,
    refuses=deep.refuses(TITLE),
)
