"""How pictures become numbers: the usual normalisations, and numbers that were typed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from model_zoo.facts import IMAGENET_MEAN, IMAGENET_STD, Facts
from model_zoo.types import UserError


@dataclass(frozen=True)
class Normalisation:
    """A usual way from pixels 0 to 255 to numbers: p * scale / 255, minus mean, over std; one a channel or for all."""

    title: str
    scale: float
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def facts(self, channels: int) -> Facts:
        """As facts about a model of so many channels; a grey picture has the mean of the colours' numbers."""
        return Facts(scale=self.scale, mean=_spread(self.mean, channels), std=_spread(self.std, channels))


NORMALISATIONS: dict[str, Normalisation] = {
    "imagenet": Normalisation("ImageNet's mean and spread (torchvision, timm)", 1.0, IMAGENET_MEAN, IMAGENET_STD),
    "zero-one": Normalisation("0 to 1", 1.0),
    "minus-one-one": Normalisation("−1 to 1", 1.0, (0.5,), (0.5,)),
    "bytes": Normalisation("0 to 255", 255.0),
    "caffe": Normalisation("0 to 255, mean colour taken off (Caffe, Keras' VGG)", 255.0, (103.939, 116.779, 123.68)),
}


def normalisation(facts: Facts) -> str:
    """The id of the usual normalisation that these facts describe; empty where it is one of its own."""
    channels = facts.channels or 3
    mean, std = facts.mean or (0.0,) * channels, facts.std or (1.0,) * channels
    for id, one in NORMALISATIONS.items():
        usual = one.facts(channels)
        if _same(usual.mean, mean) and _same(usual.std, std) and usual.scale == (facts.scale or 1.0):
            return id
    return ""


def _spread(numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return numbers if len(numbers) == channels else (round(sum(numbers) / len(numbers), 6),) * channels


def _same(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    return len(left) == len(right) and all(abs(a - b) < 2e-3 for a, b in zip(left, right, strict=True))


def numbers(text: str, what: str, count: int) -> tuple[float, ...]:
    """'0.5, 0.5, 0.5' as numbers; one stands for every channel. UserError says how many are expected."""
    try:
        found = tuple(float(one) for one in re.split(r"[\s,;]+", text.strip(" \t\n[]()")) if one)
    except ValueError:
        found = ()
    if not all(math.isfinite(one) for one in found):
        found = ()
    found = found * count if len(found) == 1 else found
    if len(found) != count:
        many = f"{count} numbers, one a channel" if count > 1 else "one number"
        raise UserError(f"{what} is expected to be {many}, such as {', '.join(['0.5'] * count)}; {text[:40]!r} came.")
    return found
