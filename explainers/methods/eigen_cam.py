"""Eigen-CAM: what the features of the last map have most in common; it does not look at the class.

With A the features of a layer, a row for each place and a column for each channel, and A = U S Vᵀ its singular values,
    map = A v₁,    v₁ the first column of V,
kept where positive: the projection of every place on the direction that holds most of the features' energy. v₁ is known
but for its sign; it is the one with which the cubes of the map add up to more than 0, so that the strongest places are
positive (all are, where no feature is negative). Where features have both signs, as those of transformers, the first
direction is what all places share, so each channel's mean is taken from A first; the paper, which has features behind a
ReLU, does not. Nothing here depends on the target: every class has the same map. The gradient serves only to find the
layer. Values have the unit of an activation. extras["map"] has the layer's own resolution.
Reference: Muhammad and Yeasin (2020), arXiv:2008.00299.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine import activation
from explainers.types import Attribution, Method, knob
from explainers.words import percent
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params(activation.Params):
    """Which feature map, and whether its mean counts."""

    centre: str = knob(
        "auto",
        choices=("auto", "yes", "no"),
        help="Take each channel's mean away first; auto: where features have both signs.",
        advanced=True,
    )


def explain(
    model: Model,
    sample: Sample,
    target: Target,
    players: Players,
    reference: Reference,
    params: Params,
    run: Run,
) -> Attribution:
    """One map; values (players,): a pixel's own, or the mean over a segment's pixels."""
    run.expect(1)
    features = activation.look(model, sample, target, params.layer, run)
    centred = params.centre == "yes" or (params.centre == "auto" and activation.both_signs(features))
    projected, share = principal(features.activation, centred)
    notes = ["Eigen-CAM does not know the class: it shows where features are strong, and is the same for every class."]
    if share > 0:
        notes.append(f"The direction that is shown holds {percent(share)} of the features' energy.")
    if centred:
        notes.append("Each channel's mean was taken away first.")
    small = np.maximum(projected, 0)
    return activation.attribution(small, features, sample, target, players, activation.PLAIN, *notes)


def principal(features: np.ndarray, centred: bool) -> tuple[np.ndarray, float]:
    """The projection (height, width) of features (channels, height, width), and its share of their energy."""
    rows = features.reshape(len(features), -1).T  # (places, channels)
    if centred:
        rows = rows - rows.mean(0)
    left, strength, _ = np.linalg.svd(rows, full_matrices=False)
    along = left[:, 0] * strength[0]
    sign = -1.0 if (along**3).sum() < 0 else 1.0
    energy = float((strength**2).sum())
    return sign * along.reshape(features.shape[1:]), float(strength[0] ** 2) / energy if energy else 0.0


METHOD = Method(
    id="eigen_cam",
    title="Eigen-CAM",
    family="activation",
    summary="Shows where features are strongest together. It does not know the class: all classes have the same map.",
    source="Muhammad and Yeasin (2020), arXiv:2008.00299",
    library="assay",
    explain=explain,
    needs=activation.NEEDS,
    modalities=("image",),
    params=Params,
    signed=False,
    flavour=lambda params, reference: activation.place(params),
)
