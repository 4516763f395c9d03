"""Networks of plain layers: multilayer perceptrons and small convolutional networks, without their code.

Shapes give widths, kernels and the number of features at the first linear layer; numbers of an nn.Sequential give the
places of what has no weights. What they leave open is searched: padding, pooling and the size of the picture must give
exactly the features that the first linear layer takes. What several answers fit is a choice; activations always are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from model_zoo.facts import Facts
from model_zoo.recognition import Architecture, Finder, Shapes, _layers
from model_zoo.recognition._layers import Layer

PICTURES = {784: (1, 28), 1024: (1, 32), 3072: (3, 32), 12288: (3, 64), 49152: (3, 128), 150528: (3, 224)}
SIZES = {1: (28, 32, 64, 48, 96, 128, 224), 3: (32, 64, 224, 128, 96, 256, 150, 160, 180, 200, 100, 48, 84, 299)}
WAYS = {"pool": "2 × 2 max pooling", "stride": "a stride of 2", "mean": "2 × 2 average pooling"}  # usual ones first
MOST_LAYERS = 64
MOST_FREE = 10  # places where there may be a pooling layer
MOST_CHOICES = 3  # plans of each way
SCORE = 0.35


def find(shapes: Shapes) -> Iterator[Architecture]:
    """Readings of a chain of plain layers, the likeliest first."""
    layers = None if _layers.branches(shapes) else _layers.layers_of(shapes)
    if not layers or len(layers) > MOST_LAYERS or layers[-1].kind != "linear":
        return
    if layers[0].kind == "conv":
        yield from _convolutional(layers)
    elif _layers.is_chain(layers):
        yield from _perceptron(layers)


# -- multilayer perceptrons ---------------------------------------------------------------------------------------


def _perceptron(layers: tuple[Layer, ...]) -> Iterator[Architecture]:
    width = layers[0].inputs
    picture = PICTURES.get(width)
    first = layers[0].number
    flattened = picture is not None and (first is None or first > 0)
    readings = ["table"] if picture is None else ["picture", "table"] if flattened else ["table", "picture"]
    widths = " → ".join(map(str, (width, *(one.outputs for one in layers if one.kind == "linear"))))
    for (rank, activation), (order, reading), other in itertools.product(
        enumerate(_layers.activations(layers)), enumerate(readings), _layers.placements(layers)
    ):
        on = _layers.active(layers, other)
        places = ", ".join(one.name for one, there in zip(layers, on, strict=True) if there)
        placed = f" after {places}" if len(_layers.placements(layers)) > 1 else ""
        taken, facts = "", Facts(modality="tabular")
        if reading == "picture" and picture is not None:
            channels, side = picture
            taken = f"_picture_{channels}x{side}x{side}"
            facts = Facts(modality="image", channels=channels, size=(side, side), crop=None)
        yield Architecture(
            id="/".join(filter(None, (f"plain/mlp{taken}", activation.lower(), "elsewhere" * other))),
            title=f"Multilayer perceptron {widths}{f' with {activation}{placed}' if activation else ''}"
            + (f", a picture of {picture[1]} × {picture[1]} pixels laid out flat" if taken and picture else ""),
            build=_flat(layers, activation, other) if taken else _chain(layers, activation, other),
            facts=_of_outputs(facts, layers[-1].outputs),
            reason=_layers.REASONS.get(activation, "No layer without weights has a place in it.")
            + (f" It takes {width} numbers, as many as such a picture has." if taken else ""),
            score=SCORE - 0.01 * rank - 0.005 * order - 0.002 * other,
            notes=_layers.notes(layers, activation, other),
            guessed=bool(activation),
        )


def _chain(layers: tuple[Layer, ...], activation: str, other: bool) -> Any:
    return lambda: _layers.chain(layers, activation, other=other)


def _flat(layers: tuple[Layer, ...], activation: str, other: bool) -> Any:
    def build() -> Any:
        from torch import nn

        network = _layers.chain(layers, activation, other=other)
        network.add_module("laid_out", nn.Flatten())
        network.steps.insert(0, "laid_out")
        return network

    return build


def _of_outputs(facts: Facts, count: int) -> Facts:
    import dataclasses

    if count == 1:  # a regression or the log-odds of two classes: the owner knows
        return facts
    return dataclasses.replace(facts, task="classification", output="logit")


# -- convolutional networks ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What the weights leave open: padding as of "same" or none, where and how it shrinks, and the picture's side."""

    same: bool
    pools: tuple[bool, ...]  # whether it is halved, at each convolution
    way: str  # how: a key of WAYS
    side: int
    average: bool  # averaged over the picture before the first linear layer


def _convolutional(layers: tuple[Layer, ...]) -> Iterator[Architecture]:
    front = tuple(itertools.takewhile(lambda one: one.kind != "linear", layers))
    back = layers[len(front) :]
    convolutions = [one for one in front if one.kind == "conv"]
    if not _fits(front) or not _layers.is_chain(back):
        return
    plans = sorted(_plans(layers, front, back), key=lambda one: _unlikely(one, convolutions))
    best = [list(itertools.islice((one for one in plans if one.way == way), MOST_CHOICES)) for way in WAYS]
    turns = sorted((rank, plans.index(one), one) for way in best for rank, one in enumerate(way))
    for rank, (within, _, plan) in enumerate(turns):
        for order, activation in enumerate(_layers.ACTIVATIONS if within == 0 else _layers.ACTIVATIONS[:1]):
            channels = convolutions[0].inputs
            pooled = [one.name for one, on in zip(convolutions, plan.pools, strict=True) if on]
            said = "-".join(
                (
                    "same" if plan.same else "valid",
                    plan.way + "".join("1" if one else "0" for one in plan.pools),
                    str(plan.side),
                )
            )
            yield Architecture(
                id=f"plain/cnn/{said}/{activation.lower()}",
                title=f"Convolutional network of {len(convolutions)} convolutions and {len(back)} further layers,"
                f" {_shrinking(plan, pooled)}, pictures of {plan.side} × {plan.side} pixels, {activation}",
                build=_built(layers, front, back, plan, activation),
                facts=_of_outputs(
                    Facts(modality="image", channels=channels, size=(plan.side, plan.side)), back[-1].outputs
                ),
                reason=_why(plan, pooled, back[0].inputs, convolutions[-1].outputs)
                + (f" {_layers.REASONS[activation]}" if within == 0 else ""),
                score=SCORE - 0.002 * order - 0.02 * rank,
                guessed=True,
                notes=(
                    f"The file does not say what lies between its layers. Assumed: {activation},"
                    f" {'padding that keeps the size' if plan.same else 'no padding'}, "
                    f"{_shrinking(plan, pooled)}, pictures of {plan.side} × {plan.side} pixels. Choose another"
                    " under architecture if yours differs.",
                ),
            )


def _fits(front: tuple[Layer, ...]) -> bool:
    """Whether each convolution takes the channels that the one before gives, or one of them each (depthwise)."""
    channels = 0
    for one in front:
        if one.kind == "conv":
            if channels and one.inputs != channels and not (one.inputs == 1 and one.outputs % channels == 0):
                return False
            if one.shape[2] != one.shape[3]:
                return False
        elif one.kind not in ("batch", "prelu") or (one.outputs != channels and one.kind != "prelu"):
            return False
        channels = one.outputs if one.kind == "conv" else channels
    return True


def _plans(layers: tuple[Layer, ...], front: tuple[Layer, ...], back: tuple[Layer, ...]) -> Iterator[Plan]:
    """Every way to arrive at exactly the features of the first linear layer."""
    convolutions = [one for one in front if one.kind == "conv"]
    rooms = _rooms(layers, front)
    if len(rooms) > MOST_FREE:
        return
    channels = convolutions[-1].outputs
    area, rest = divmod(back[0].inputs, channels)
    wanted = math.isqrt(area)
    if rest or wanted * wanted != area or area == 0:
        return
    sides = SIZES.get(convolutions[0].inputs, SIZES[3])
    for way, same, pools in itertools.product(WAYS, (True, False), itertools.product((False, True), repeat=len(rooms))):
        if way != "stride" and any(on and room is not None and room < 2 for on, room in zip(pools, rooms, strict=True)):
            continue  # no place for a pooling layer besides the activation
        if way != "pool" and not any(pools):
            continue  # the same as without pooling
        for side in sides:
            left = side
            for one, pooled in zip(convolutions, pools, strict=True):
                kernel = one.shape[2]
                left = left + 2 * (kernel // 2 if same else 0) - kernel
                left = left // 2 + 1 if pooled and way == "stride" else (left + 1) // 2 if pooled else left + 1
            if left == wanted:
                yield Plan(same, pools, way, side, False)
            elif wanted == 1 and left > 1:
                yield Plan(same, pools, way, side, True)


def _rooms(layers: tuple[Layer, ...], front: tuple[Layer, ...]) -> list[int | None]:
    """Layers without weights after each convolution and its normalisation; None where the numbers do not tell."""
    gaps = _layers.gaps(layers)
    found: list[int | None] = []
    for i, one in enumerate(front):
        room = gaps[i]
        if one.kind == "conv":
            found.append(room)
        elif room is None or found[-1] is None:
            found[-1] = None
        else:
            found[-1] += room
    return found


def _unlikely(plan: Plan, convolutions: list[Layer]) -> tuple[float, ...]:
    """Smaller is likelier: flattened before averaged, usual sizes, pooling after each convolution or every other."""
    sides = SIZES.get(convolutions[0].inputs, SIZES[3])
    count = len(plan.pools)
    regular = [all(plan.pools), plan.pools == tuple(i % 2 == 1 for i in range(count)), plan.pools[-1], True]
    kernel = max(one.shape[2] for one in convolutions)
    padded = plan.same if kernel == 3 else not plan.same
    unusual = sides.index(plan.side)
    return (plan.average, unusual > 1, list(WAYS).index(plan.way), regular.index(True), not padded, unusual)


def _shrinking(plan: Plan, pooled: list[str]) -> str:
    return f"{WAYS[plan.way]} at {', '.join(pooled)}" if pooled else "no pooling and no strides"


def _why(plan: Plan, pooled: list[str], features: int, channels: int) -> str:
    way = f"{'padding that keeps the size' if plan.same else 'no padding'}, {_shrinking(plan, pooled)}"
    if plan.average:
        return f"The first linear layer takes {features:,} features, one for each channel: averaged over the picture."
    side = math.isqrt(features // channels)
    return (
        f"Pictures of {plan.side} × {plan.side} pixels with {way} leave {channels} × {side} × {side} = {features:,}"
        " features, as the first linear layer takes."
    )


def _built(
    layers: tuple[Layer, ...], front: tuple[Layer, ...], back: tuple[Layer, ...], plan: Plan, activation: str
) -> Any:
    def build() -> Any:
        from torch import nn

        from model_zoo.recognition._planned import Planned

        made: dict[str, Any] = {}
        steps: list[Any] = []
        pools, rooms = iter(plan.pools), iter(_rooms(layers, front))
        numbered = any(_rooms(layers, front))
        gaps = _layers.gaps(layers)
        channels, pooled, done = 0, False, False
        for i, one in enumerate(front):
            following = front[i + 1] if i + 1 < len(front) else None
            if one.kind == "conv":
                groups = 1 if not channels else channels // one.inputs
                kernel = one.shape[2]
                padding = kernel // 2 if plan.same else 0
                pooled = next(pools)
                made[one.name] = nn.Conv2d(
                    one.inputs * groups,
                    one.outputs,
                    kernel,
                    stride=2 if pooled and plan.way == "stride" else 1,
                    padding=padding,
                    groups=groups,
                    bias=one.bias,
                )
                channels = one.outputs
            else:
                made[one.name] = nn.BatchNorm2d(one.outputs, affine=one.bias) if one.kind == "batch" else one.module()
            steps.append(one.name)
            early = one.kind == "conv" and following is not None and following.kind == "batch" and bool(gaps[i])
            if early:
                steps.append(getattr(nn, activation)())
            done = done or early
            if following is None or following.kind == "conv":
                room = next(rooms)
                if one.kind != "prelu" and not (room == 0 and numbered) and not done:
                    steps.append(getattr(nn, activation)())
                if pooled and plan.way != "stride":
                    steps.append(nn.MaxPool2d(2) if plan.way == "pool" else nn.AvgPool2d(2))
                done = False
        if plan.average:
            steps.append(nn.AdaptiveAvgPool2d(1))
        steps.append(nn.Flatten())
        for one, on in zip(back, _layers.active(back), strict=True):
            made[one.name] = one.module()
            steps += [one.name, getattr(nn, activation)()] if on else [one.name]
        return Planned(made, steps)

    return build


FINDER = Finder(find)
