"""What class activation maps share: where they look, how a small map becomes values, and what is said of it.

A map is made from the features A, (channels, height, width), of one place in the network and the gradient there of the
number that is explained. The place is found without naming a layer: the last feature map before the score, or the last
grid of tokens that the score still depends on. What a method makes of it, (height, width), is brought to the size of
the input by bilinear interpolation; a segment gets the mean of its pixels, for the values are intensities, not shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.types import Attribution, knob
from model_zoo.types import Capability, Players, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

NEEDS = Capability.GRADIENTS | Capability.SPATIAL
NEGATIVE = 0.2  # of all activation: smooth kinds of ReLU stay below it
GRADED, PLAIN = "activation × gradient", "activation"  # units; the second has never met the target


@dataclass(frozen=True)
class Params:
    """Which feature map."""

    layer: str = knob("", help="Name of a layer, such as features.12; empty: the last one with two spatial axes.")


@dataclass(frozen=True)
class Features:
    """Features A and the gradient of the target there, both float64 of shape (channels, height, width)."""

    activation: np.ndarray
    gradient: np.ndarray
    place: str  # a sentence


def look(model: Model, sample: Sample, target: Target, layer: str, run: Run) -> Features:
    """The features that `layer` makes of the sample, or the last spatial ones; one evaluation forwards and one back."""
    from model_zoo import probe

    found = run.evaluator.inside(
        model.tensor(sample.x[None]),
        target,
        lambda number, entry: probe.spatial(lambda: number(entry), model.network, layer),
    )
    activation, gradient = (one.cpu().double().numpy()[0] for one in (found.activation, found.gradient))
    height, width = activation.shape[-2:]
    where = f"Layer {found.layer}" if found.layer else f"The last feature map ({found.operator})"
    return Features(activation, gradient, f"{where}, {height} × {width}.")


def attribution(
    small: np.ndarray, features: Features, sample: Sample, target: Target, players: Players, unit: str, *notes: str
) -> Attribution:
    """A method's map (height, width) as values (players,): a pixel's own, or the mean over a segment's pixels."""
    import torch
    from torch.nn.functional import interpolate

    from explainers.engine.credit import credit

    full = interpolate(torch.as_tensor(small)[None, None], size=sample.x.shape[-2:], mode="bilinear")[0, 0].numpy()
    sizes = np.bincount(players.owner[players.owner >= 0], minlength=players.count)
    values = credit(full, players, players.owner.ndim) / np.maximum(sizes, 1)
    said = [features.place, *notes]
    if not small.any():
        said.append(_empty(features, target, unit))
    return Attribution(values, unit=unit, extras={"map": small.astype(np.float32)}, notes=tuple(said))


def both_signs(features: Features) -> bool:
    """Whether much of what is active is negative: behind a ReLU nothing is, behind a transformer's norm about half."""
    negative = float(np.maximum(-features.activation, 0).sum())
    return negative > NEGATIVE * float(np.abs(features.activation).sum())


def made_for_positive(features: Features, title: str) -> tuple[str, ...]:
    """What is said where a formula was made for features that are never negative, and some are."""
    if not both_signs(features):
        return ()
    return (f"{title} is made for features that are never negative; here many are. HiResCAM has no such premise.",)


def _empty(features: Features, target: Target, unit: str) -> str:
    """Why a map has nothing in it."""
    if not features.activation.any():
        return "No feature is active in this layer, so the map is empty."
    if unit == GRADED and not features.gradient.any():
        flat = " A probability close to 0 or 1 hardly moves; try the logit." if target.output == "probability" else ""
        return f"The gradient of {target.label} is 0 everywhere in this layer, so the map is empty.{flat}"
    return f"There is no positive evidence for {target.label} in this layer, so the map is empty."


def place(params: Params) -> str:
    """Which map, in the few words of a header."""
    return params.layer or "last feature map"
