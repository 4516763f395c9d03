"""Expected gradients: integrated gradients, averaged over many inputs to compare with.

For output F, input x and the rows b of a background, element i receives, in units of F,
    EG_i = mean over b of (x_i - b_i) · mean over t in [0, 1] of dF/dx_i at b + t (x - b),
so the attributions add up to F(x) - mean F(b). Where the paper draws b and t at random (GradientSHAP does), every row
is visited here and each path is followed by the nested rule of integrated gradients until it is settled: nothing is
left to chance. With one row these are integrated gradients.
Reference: Erion et al. (2021), arXiv:1906.10670; Sundararajan, Taly and Yan (2017), arXiv:1703.01365.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from explainers.methods.integrated_gradients import Path, refined
from explainers.types import Attribution, Method, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params:
    """How finely each path is followed; there is one from every row of the background."""

    steps: int = knob(16, low=8, high=1024, help="Intervals on each path to begin with; cost grows with them.")
    most: int = knob(
        128, low=8, high=4096, label="At most", help="Keep doubling up to this many while the values still move."
    )
    tolerance: float = knob(
        0.01, low=0.0, high=0.5, help="Settled once doubling moves the values by less than this share.", advanced=True
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    found = refined(Path(model, sample, target, players, reference.rows, run), params, run)
    if len(reference.rows) > 1:
        return found
    note = "There is one row to compare with, so these are the integrated gradients from it."
    return replace(found, notes=(note,))


METHOD = Method(
    id="expected_gradients",
    title="Expected gradients",
    family="gradient",
    summary="Follows the input from many typical inputs to what it is and averages how each part moved the output.",
    source="Erion et al. (2021), arXiv:1906.10670",
    library="assay",
    aliases=("expected_integrated_gradients",),
    explain=explain,
    needs=Capability.GRADIENTS,
    params=Params,
    players={"text": "words"},
    absence="background",
    completeness="approximate",
    effort="most",
    evaluations=lambda params, players, rows: rows * (max(params.steps, params.most // 2) + 1),
)
