"""Grad-CAM: where the last feature map speaks for the output.

With A_k the channels of a layer's feature map (height, width) and F the target,
    map = Σ_k w_k A_k,    w_k = mean over positions of ∂F/∂A_k,
kept where positive, and brought to the size of the input by bilinear interpolation. The layer is found by itself: the
last feature map on the way to the score that still has two spatial axes. extras["map"] has the layer's own resolution.
Where the gradient differs from place to place, as behind a class token, its mean may stand for none of them; a note
says so where the map is another than that of HiResCAM, which does not average.
The values have the unit of an activation times a gradient: they are not parts of the score and do not add up to it.
Reference: Selvaraju et al. (2017), arXiv:1610.02391. Numbers: captum LayerGradCam with relu_attributions=True.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine import activation
from explainers.types import Attribution, Method, knob
from explainers.words import number
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

ALIKE = 0.5  # correlation with HiResCAM's map: below it, averaging has made another map


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
    notes = averaged(small, features)
    if params.relu:
        small = np.maximum(small, 0)
    return activation.attribution(small, features, sample, target, players, activation.GRADED, *notes)


def averaged(small: np.ndarray, features: activation.Features) -> list[str]:
    """Whether averaging the gradient made another map: a sentence, or none."""
    own = (features.gradient * features.activation).sum(0)
    apart = np.stack([small.ravel() - small.mean(), own.ravel() - own.mean()])
    lengths = np.linalg.norm(apart, axis=1)
    if not lengths.all():
        return []
    alike = float(apart[0] @ apart[1] / lengths.prod())
    if alike >= ALIKE:
        return []
    return [
        "Grad-CAM averages the gradient over the map, and here it differs from place to place: the correlation with"
        f" HiResCAM, which does not average, is {number(alike, 2)}. Look at that, too."
    ]


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
