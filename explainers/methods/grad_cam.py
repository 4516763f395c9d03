"""Grad-CAM: where the last feature map speaks for the output.

With A_k the channels of a layer's feature map (height, width) and F the target,
    map = Σ_k w_k A_k,    w_k = mean over positions of ∂F/∂A_k,
kept where positive, and brought to the size of the input by bilinear interpolation. The layer is found by itself: the
last feature map on the way to the score that still has two spatial axes. extras["map"] has the layer's own resolution.
The values have the unit of an activation times a gradient: they are not parts of the score and do not add up to it.
Reference: Selvaraju et al. (2017), arXiv:1610.02391. Numbers: captum LayerGradCam with relu_attributions=True.
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
    weights = features.gradient.mean((1, 2))  # (channels,)
    small = np.tensordot(weights, features.activation, 1)
    if params.relu:
        small = np.maximum(small, 0)
    return activation.attribution(small, features, sample, target, players, activation.GRADED)


METHOD = Method(
    id="grad_cam",
    title="Grad-CAM",
    family="activation",
    summary="Shows the regions whose features speak for the output, as coarsely as the network's last feature map.",
    source="Selvaraju et al. (2017), arXiv:1610.02391",
    library="captum",
    explain=explain,
    needs=activation.NEEDS,
    modalities=("image",),
    params=Params,
    signed=False,
    flavour=lambda params, reference: activation.place(params) + (", positive part" if params.relu else ""),
)
