"""Where layer-wise relevance propagation begins and ends: the last softmax, and the first layer of pixels.

A softmax or sigmoid that turns scores into the probability that is explained is left out, for a probability is not a
sum of what speaks for it. Operations that only prepare pixels, such as taking off a mean, hand each pixel the relevance
of what it became.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explainers.engine import graph
from explainers.engine.relevance import Handling, Place

HEADS = {"Softmax", "SafeSoftmax", "LogSoftmax", "Sigmoid"}
AFFINE = ("Add", "Sub", "Rsub", "Mul", "Div")
PREPARING = {
    *AFFINE, "ConstantPadNd", "ReflectionPad2D", "ReplicationPad2D", "Clone", "View", "UnsafeView", "ToCopy", "Alias",
    "Permute", "Transpose", "Expand", "Unsqueeze", "AccumulateGrad",
}  # fmt: skip


@dataclass(frozen=True)
class First:
    """The convolution that reads the input, and the nodes between that only prepare it."""

    node: Any
    chain: frozenset[Any]


def first(places: list[Place], by_node: dict[Any, Place]) -> First | None:
    """The only convolution whose input is the entry itself, but for constants, padding and order."""
    found = []
    for place in places:
        if place.kind == "Convolution" and place.depends[0] and not any(place.depends[1:]):
            chain: set[Any] = set()
            waiting = [place.node.next_functions[0][0]]
            while waiting:
                below = by_node[waiting.pop()]
                if below.kind not in PREPARING or sum(below.depends) > 1 or len(below.users) > 1:
                    break
                chain.add(below.node)
                waiting += [
                    one for (one, _), depends in zip(below.node.next_functions, below.depends, strict=True) if depends
                ]
            else:
                found.append(First(place.node, frozenset(chain)))
    return found[0] if len(found) == 1 else None


def heads(places: list[Place], by_node: dict[Any, Place]) -> set[Any]:
    """The softmax or sigmoid nodes that every way to the number ends with, but for choosing and adding; else none."""
    found: set[Any] = set()
    roots = [place.node for place in places if not place.users]
    waiting, seen = list(roots), set(roots)
    while waiting:
        place = by_node[waiting.pop()]
        if place.kind in HEADS and place.step is not None:
            found.add(place.node)
            continue
        scaled = place.kind in ("Mul", "Div") and sum(place.depends) == 1
        if (place.kind not in graph.LINEAR and not scaled) or place.kind == "AccumulateGrad":
            return set()
        for (below, _), depends in zip(place.node.next_functions, place.depends, strict=True):
            if depends and below not in seen:
                seen.add(below)
                waiting.append(below)
    return found


def prepared(place: Place) -> Handling:
    """An operation that only prepares pixels: each keeps the relevance of what it became."""
    step = place.step
    if step is None or place.kind not in AFFINE:
        return Handling()
    at = place.depends.index(True)
    took, gave = step.args[at], step.gave[0]
    if took.shape != gave.shape:
        return Handling()
    ratio = gave / took
    return Handling(post=lambda down, above: tuple(above * ratio if i == at else one for i, one in enumerate(down)))
