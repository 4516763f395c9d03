"""What each part of the input got, in the words of the person who gave it.

Players are what a method divides credit among; a credit is what a reader sees: a column with its value and unit, a word
whose subwords are joined (their values add), a segment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from explainers import registry
from explainers.types import Explanation, Method
from model_zoo.types import UserError


@dataclass(frozen=True)
class Credit:
    """One named part of the input and its value, in the explanation's unit."""

    name: str
    value: float
    error: float | None = None  # standard error
    shown: str = ""  # the person's own value: "39 years", "Masters"
    span: tuple[int, int] = (0, 0)  # characters of a word
    parts: tuple[Credit, ...] = ()  # the subwords of a word that has several, or the parts behind "others"
    summary: bool = False  # stands for no part of its own: "7 others", "not accounted for"


def credits(explanation: Explanation) -> tuple[Credit, ...]:
    """Every credited part in the order of the input; not for pixels, which have no names."""
    modality = explanation.sample.modality
    if modality == "text":
        return _words(explanation)
    names = [_name(explanation, player) for player in range(explanation.players.count)]
    if modality == "tabular":
        cells = {cell.name: cell.shown for cell in explanation.sample.view.cells}
        return tuple(replace(_player(explanation, i, name), shown=cells.get(name, "")) for i, name in enumerate(names))
    return tuple(_player(explanation, i, name) for i, name in enumerate(names))


def strongest(found: tuple[Credit, ...], count: int) -> tuple[tuple[Credit, ...], Credit | None]:
    """The `count` credits of largest magnitude, and all others summed to one; None if nothing is left over."""
    order = sorted(found, key=lambda one: -abs(one.value))
    if len(order) <= count + 1:  # one leftover deserves its own name
        return tuple(order), None
    top, rest = order[:count], order[count:]
    return tuple(top), replace(_sum(f"{len(rest):,} others", rest), summary=True)


def method_of(explanation: Explanation) -> Method | None:
    """The method behind an explanation; None for a record of a method that this installation does not have."""
    try:
        return registry.method(explanation.method)
    except UserError:
        return None


def slopes(explanation: Explanation) -> bool:
    """Whether the values are slopes ("... per unit of input") rather than shares of the output."""
    return " per unit of " in explanation.unit


def signed(explanation: Explanation) -> bool:
    """Whether the values can speak against the target."""
    method = method_of(explanation)
    if (explanation.values < 0).any():
        return True
    return method is not None and method.signed and not slopes(explanation)  # slopes without a sign are their lengths


def blind(explanation: Explanation) -> bool:
    """Whether the values tell what was looked at, not what spoke for the target: attention, and bare activations."""
    method = method_of(explanation)
    return explanation.unit == "activation" or (method is not None and method.family == "attention")


def intensities(explanation: Explanation) -> bool:
    """Whether a segment has the mean of its pixels, on a scale of its own, rather than a share of the output."""
    method = method_of(explanation)
    return method is not None and method.family == "activation"


def _name(explanation: Explanation, player: int) -> str:
    """What a person calls a player; a sample of a sound, of which there are many, by its time."""
    players, sample = explanation.players, explanation.sample
    if players.kind == "samples" and not players.names:
        return str(sample.view.when(player, player, players.count))
    return players.name(player)


def _player(explanation: Explanation, player: int, name: str) -> Credit:
    errors = explanation.std_error
    return Credit(name, float(explanation.values[player]), None if errors is None else float(errors[player]))


def _words(explanation: Explanation) -> tuple[Credit, ...]:
    """Players of a text in reading order, the tokens of one word joined."""
    view, owner = explanation.sample.view, np.asarray(explanation.players.owner)
    places: dict[int, list[int]] = {}
    for position, player in enumerate(owner):
        if player >= 0:
            places.setdefault(int(player), []).append(position)
    groups: dict[Any, list[Credit]] = {}
    for player, positions in places.items():
        spans = [view.spans[position] for position in positions]
        span = (min(start for start, _ in spans), max(stop for _, stop in spans))
        name = " ".join(view.text[slice(*span)].split()) or explanation.players.name(player)
        word = view.word_of[positions[0]]
        whole = explanation.players.kind != "tokens" or word < 0
        groups.setdefault(("player", player) if whole else ("word", word), []).append(
            replace(_player(explanation, player, name), span=span)
        )
    found = [one[0] if len(one) == 1 else _joined(view.text, one) for one in groups.values()]
    return tuple(sorted(found, key=lambda one: one.span))


def _joined(text: str, parts: list[Credit]) -> Credit:
    span = (min(one.span[0] for one in parts), max(one.span[1] for one in parts))
    return replace(_sum(" ".join(text[slice(*span)].split()), parts), span=span)


def _sum(name: str, parts: list[Credit]) -> Credit:
    """Values add; errors add as if independent."""
    errors = [one.error for one in parts if one.error is not None]
    error = math.sqrt(sum(one**2 for one in errors)) if errors else None
    return Credit(name, sum(one.value for one in parts), error, parts=tuple(parts))
