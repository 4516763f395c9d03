"""DeepSHAP: Shapley values against a background, approximated layer by layer.

For output F, input x and background rows b_1 ... b_n, element i receives, in units of F,
    the mean over k of m_i(b_k) (x_i - b_ki),
with the multipliers m of DeepLIFT's rescale rule, which stand for the Shapley values of each small part of the
network; exact for one that is linear or has one activation a feature, elsewhere an approximation. The values add up
to F(x) - mean F(b_k), which is checked relative to their own size. What the rule does not cover is refused, as for
DeepLIFT.
Reference: Lundberg and Lee (2017), arXiv:1705.07874; Chen, Lundberg and Lee (2019), arXiv:1911.11888. Numbers: shap
DeepExplainer, where each activation is a module of its own that it has a rule for and no windows of pooling overlap.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from explainers.engine import deep
from explainers.types import Attribution, Method, NoParams
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

TITLE = "DeepSHAP"
NOTE = "DeepSHAP adds up exactly; how it is shared among inputs that act together only approximates Shapley values."


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: NoParams, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    found = deep.attribute(TITLE, model, sample, target, players, reference, run)
    return replace(found, notes=(NOTE,))


METHOD = Method(
    id="deep_shap",
    title=TITLE,
    family="shapley",
    summary="Approximates Shapley values quickly, by passing differences from typical inputs back through the layers.",
    source="Lundberg and Lee (2017), arXiv:1705.07874",
    library="shap",
    aliases=("deep",),
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
