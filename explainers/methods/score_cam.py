"""Score-CAM: each channel of the last map as a mask over the picture, weighted by the score that the rest still gets.

With A_k the channels of a layer's feature map (height, width), H_k the same at the input's size, scaled to 0 … 1, x the
input, b the baseline and F the target,
    map = Σ_k α_k A_k,    α = softmax over k of F(H_k x + (1 - H_k) b) - F(b),
kept where positive. No gradient enters (one serves to find the layer). Each channel costs an evaluation; of many, those
that vary most over the map are taken, by the sum of squares around their mean. A channel that does not vary is no mask.
The softmax does not notice F(b); where scores differ little, as probabilities do, the weights are nearly equal and the
map hardly depends on the class, which a note says. Values have the unit of an activation.
Reference: Wang et al. (2020), arXiv:1910.01279, with b = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine import activation
from explainers.types import Attribution, Method, knob
from explainers.words import percent
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run
    from model_zoo.model import Model

UNIT = "activation by score"
FLAT = 1e-6  # of the largest feature: a channel that varies by less does not vary
EVEN = 1.5  # largest over mean weight: below it, the channels count nearly alike


@dataclass(frozen=True)
class Params(activation.Params):
    """Which feature map, and how many of its channels."""

    channels: int = knob(
        256, low=1, high=8192, help="Channels that become masks, those that vary most; each costs one evaluation."
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """One map; values (players,): a pixel's own, or the mean over a segment's pixels."""
    run.expect(1 + params.channels)
    features = activation.look(model, sample, target, params.layer, run)
    chosen, share = strongest(features.activation, params.channels)
    run.expect(1 + len(chosen))
    maps = features.activation[chosen]  # (chosen, height, width)
    weights = _softmax(run.evaluator.composed(len(chosen), _masked(model, sample, reference, maps), target))
    small = np.maximum(np.tensordot(weights, maps, 1), 0)
    return activation.attribution(small, features, sample, target, players, UNIT, *_notes(features, weights, share))


def strongest(features: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Indices of the `count` channels that vary most, in their own order, and their share of all variation."""
    variation = ((features - features.mean((1, 2), keepdims=True)) ** 2).sum((1, 2))
    scale = float(np.abs(features).max(initial=0.0))
    order = np.argsort(-variation, kind="stable")[:count]
    order = order[np.ptp(features[order], axis=(1, 2)) > FLAT * scale]
    return np.sort(order), float(variation[order].sum() / variation.sum()) if len(order) else 0.0


def _masked(model: Model, sample: Sample, reference: Reference, maps: np.ndarray) -> Callable[[slice], torch.Tensor]:
    """Batches of the input under each map, enlarged and scaled to 0 … 1; the baseline shows where a mask is 0."""
    import torch
    from torch.nn.functional import interpolate

    x, absent = model.tensor(sample.x), model.tensor(reference.rows)[0]
    small = torch.as_tensor(maps, dtype=x.dtype, device=x.device)

    def batch(part: slice) -> torch.Tensor:
        masks = interpolate(small[part, None], size=x.shape[-2:], mode="bilinear")  # (n, 1, height, width)
        low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
        return absent + (masks - low) / (high - low) * (x - absent)

    return batch


def _softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(initial=-np.inf))
    return raised / raised.sum()


def _notes(features: activation.Features, weights: np.ndarray, share: float) -> list[str]:
    total = len(features.activation)
    if not len(weights):
        return ["No channel varies over this layer, so none can be a mask."]
    notes = []
    if len(weights) < total:
        notes.append(
            f"{len(weights):,} of {total:,} channels are masks; they hold {percent(share)} of what varies in the layer."
        )
    if weights.max() * len(weights) < EVEN:
        notes.append(
            "The masks' scores differ so little that all channels count nearly alike: the map says more about where"
            " features are strong than about the class."
        )
    return notes


METHOD = Method(
    id="score_cam",
    title="Score-CAM",
    family="activation",
    summary="Shows the model its picture through each of its own features, and adds those that keep the output up.",
    source="Wang et al. (2020), arXiv:1910.01279",
    library="assay",
    explain=explain,
    needs=activation.NEEDS,
    modalities=("image",),
    params=Params,
    signed=False,
    absence="baseline",
    flavour=lambda params, reference: f"{activation.place(params)}, up to {params.channels:,} channels",
    evaluations=lambda params, players, rows: 1 + params.channels,
)
