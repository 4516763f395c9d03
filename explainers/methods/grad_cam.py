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

from explainers.types import Attribution, Method, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model
    from model_zoo.probe import Spatial


@dataclass(frozen=True)
class Params:
    """Which feature map, and what of it."""

    layer: str = knob("", help="Name of a layer, such as features.12; empty: the last one with two spatial axes.")
    relu: bool = knob(True, help="Keep only evidence for the output; otherwise evidence against it is negative.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """One map; values (players,): a pixel's own, or the mean over a segment's pixels."""
    from torch.nn.functional import interpolate

    from explainers.engine.credit import credit
    from model_zoo import probe

    run.expect(1)
    found = run.evaluator.inside(
        model.tensor(sample.x[None]),
        target,
        lambda number, entry: probe.spatial(lambda: number(entry), model.network, params.layer),
    )
    activation, gradient = found.activation.cpu().double(), found.gradient.cpu().double()
    weights = gradient.mean((2, 3), keepdim=True)
    small = (weights * activation).sum(1, keepdim=True)  # (1, 1, height, width)
    if params.relu:
        small = small.relu()
    full = interpolate(small, size=sample.x.shape[-2:], mode="bilinear")[0, 0].numpy()
    notes = [_place(found)]
    if params.relu and not full.any():
        notes.append(f"There is no positive evidence for {target.label} in this layer, so the map is empty.")
    sizes = np.bincount(players.owner[players.owner >= 0], minlength=players.count)
    values = credit(full, players, players.owner.ndim) / np.maximum(sizes, 1)
    extras = {"map": small[0, 0].numpy().astype(np.float32)}
    return Attribution(values, unit="activation × gradient", extras=extras, notes=tuple(notes))


def _place(found: Spatial) -> str:
    height, width = found.activation.shape[-2:]
    layer = f"Layer {found.layer}" if found.layer else f"The last feature map ({found.operator})"
    return f"{layer}, {height} × {width}."


METHOD = Method(
    id="grad_cam",
    title="Grad-CAM",
    family="gradient",
    summary="Shows the regions whose features speak for the output, as coarsely as the network's last feature map.",
    source="Selvaraju et al. (2017), arXiv:1610.02391",
    library="captum",
    explain=explain,
    needs=Capability.GRADIENTS | Capability.SPATIAL,
    modalities=("image",),
    params=Params,
    signed=False,
    flavour=lambda params, reference: (params.layer or "last feature map") + (", positive part" if params.relu else ""),
)
