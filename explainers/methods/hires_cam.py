"""HiResCAM: each feature of the last map weighted by the gradient at its own place.

With A_k the channels of a layer's feature map (height, width) and F the target,
    map = Σ_k ∂F/∂A_k · A_k, place by place,
kept where positive. Where one linear layer reads the map, flattened or averaged, the map before that cut adds up to the
score less its bias: it shows what the score was made of. Grad-CAM averages the gradient over the map first, and so may
light up places that the score made no use of. extras["map"] has the layer's own resolution.
Reference: Draelos and Carin (2020), arXiv:2011.08891.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine import activation
from explainers.types import Attribution, Method, knob
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params(activation.Params):
    """Which feature map, and what of it."""

    relu: bool = knob(True, help="Keep only evidence for the output; otherwise evidence against it is negative.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """One map; values (players,): a pixel's own, or the mean over a segment's pixels."""
    run.expect(1)
    features = activation.look(model, sample, target, params.layer, run)
    small = (features.gradient * features.activation).sum(0)
    if params.relu:
        small = np.maximum(small, 0)
    return activation.attribution(small, features, sample, target, players, activation.GRADED)


METHOD = Method(
    id="hires_cam",
    title="HiResCAM",
    family="activation",
    summary="Shows the places that the output was made of: every feature counts with its own effect, where it stands.",
    source="Draelos and Carin (2020), arXiv:2011.08891",
    library="assay",
    explain=explain,
    needs=activation.NEEDS,
    modalities=("image",),
    params=Params,
    signed=False,
    flavour=lambda params, reference: activation.place(params) + (", positive part" if params.relu else ""),
)
