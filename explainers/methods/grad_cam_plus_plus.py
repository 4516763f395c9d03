"""Grad-CAM++: Grad-CAM in which every place has a say of its own in the weight of a channel.

With A_k the channels of a layer's feature map (height, width), F the target and g = ∂F/∂A_k,
    map = Σ_k w_k A_k,    w_k = Σ over positions of α_k ReLU(g),    α_k = g² / (2 g² + g³ Σ over positions of A_k),
kept where positive. α follows from explaining exp(F) with a network that is linear from piece to piece; the factor
exp(F), which the paper has in front of all weights alike, is left out. A small object counts as much as a large one,
since its weight is not averaged over the whole map. α is meant for features that are never negative; where its divisor
is not positive it has no meaning, and the place is left out of w_k, which a note says.
Reference: Chattopadhay et al. (2018), arXiv:1710.11063.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.engine import activation
from explainers.types import Attribution, Method
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


def explain(
    model: Model,
    sample: Sample,
    target: Target,
    players: Players,
    reference: Reference,
    params: activation.Params,
    run: Run,
) -> Attribution:
    """One map; values (players,): a pixel's own, or the mean over a segment's pixels."""
    run.expect(1)
    features = activation.look(model, sample, target, params.layer, run)
    weights, undefined = importance(features.activation, features.gradient)
    small = np.maximum(np.tensordot(weights, features.activation, 1), 0)
    notes = [*activation.made_for_positive(features, METHOD.title)]
    if undefined:
        notes.append(f"At {undefined:.1%} of the places α is undefined, for features are negative there.")
    return activation.attribution(small, features, sample, target, players, activation.GRADED, *notes)


def importance(features: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (channels,) from features and gradients (channels, height, width), and the share of places left out.

    Where the gradient is not positive a place has no part in the weight; elsewhere α = 1 / (2 + g ΣA).
    """
    divisor = 2 + gradient * features.sum((1, 2), keepdims=True)
    counts, sound = gradient > 0, divisor > 0
    weights = np.where(counts & sound, gradient / np.where(sound, divisor, 1), 0).sum((1, 2))
    return weights, float((counts & ~sound).mean())


METHOD = Method(
    id="grad_cam_plus_plus",
    title="Grad-CAM++",
    family="activation",
    summary="Grad-CAM that keeps small and repeated objects: every place has its own say in what a feature counts.",
    source="Chattopadhay et al. (2018), arXiv:1710.11063",
    library="assay",
    aliases=("grad_cam_pp",),
    explain=explain,
    needs=activation.NEEDS,
    modalities=("image",),
    params=activation.Params,
    signed=False,
    flavour=lambda params, reference: activation.place(params),
)
