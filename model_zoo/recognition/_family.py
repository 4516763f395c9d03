"""What the families have in common: reading numbers off names, a first convolution of another shape, the facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from model_zoo.facts import IMAGENET_MEAN, IMAGENET_STD, Facts
from model_zoo.recognition import Architecture, Shape, Shapes

SCORE = 0.65


def members(families: tuple[Callable[[Shapes], Iterator[Architecture]], ...], shapes: Shapes) -> Iterator[Architecture]:
    """What each of the families makes of the shapes; most make nothing."""
    for family in families:
        try:
            yield from family(shapes)
        except (KeyError, ValueError, IndexError, ZeroDivisionError):
            continue  # a name or a number that the family always has is missing


def count(shapes: Shapes, form: str) -> int:
    """One more than the largest number that stands for # in a name of this form."""
    found = [re.match(form.replace(".", r"\.").replace("#", r"(\d+)"), name) for name in shapes]
    return 1 + max((int(one[1]) for one in found if one), default=-1)


def architecture(
    identity: str,
    title: str,
    build: Callable[[], Any],
    classes: int,
    size: int,
    channels: int = 3,
    *,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    **more: Any,
) -> Architecture:
    from model_zoo.bundled import _imagenet

    plain = channels != 3
    said = f"{classes:,} classes" if classes > 1 else "one output"
    facts = Facts(
        modality="image",
        task="classification" if classes > 1 else None,
        output="logit" if classes > 1 else None,
        labels=_imagenet.LABELS if classes == len(_imagenet.LABELS) else (),
        size=(size, size),
        channels=channels,
        mean=() if plain else mean,
        std=() if plain else std,
    )
    return Architecture(identity, f"{title}, {said}", build, facts, **{"score": SCORE, **more})


def with_stem(network: Any, name: str, shape: Shape, stride: int | None = None) -> Any:
    """The network with a first convolution of this shape in place of its own."""
    from torch import nn

    home, _, last = name.removesuffix(".weight").rpartition(".")
    old = network.get_submodule(name.removesuffix(".weight"))
    kernel = shape[2]
    if old.weight.shape != shape or stride is not None:
        padding = (kernel - 1) // 2 if old.padding[0] else 0
        new = nn.Conv2d(shape[1], shape[0], kernel, stride or old.stride[0], padding=padding, bias=old.bias is not None)
        network.get_submodule(home).register_module(last, new)
    return network


def models() -> Any:
    from model_zoo import vision

    return vision.torchvision().models
