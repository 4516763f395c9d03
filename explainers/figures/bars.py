"""The strongest parts of the input as horizontal bars, under the names and with the values that the person knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explainers.credits import Credit, credits, signed, strongest
from explainers.figures import Picture, Scale, _curves, _style
from explainers.types import Explanation
from explainers.words import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORDER = 20
SHOWN = 12
TITLES = {"tokens": "Words", "spans": "Spans of time", "cells": "Numbers"}
LONGEST = 36  # characters of "name = value" that fit over a bar on a telephone
ROW = 34  # pixels: a line of words and the bar under it
THICK, LIFT = 0.26, 13  # of a row: the bar; pixels: how far its words stand above it


def draws(explanation: Explanation) -> bool:
    """Columns, words, segments, spans of time, channels; pixels have no names, and many single steps are a curve."""
    return not _curves.fine(explanation)


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The bars; `scale` makes compared plots share their axis."""
    top, rest = strongest(credits(explanation), SHOWN)
    top, rest = _without_zeros(top, rest)
    kind = TITLES.get(explanation.players.kind, explanation.players.kind.capitalize())
    says = _style.direction(explanation)
    if any(one.error is not None for one in top):
        says += " Whiskers are one standard error."
    if isinstance(scale, Scale):
        says = f"{says} {scale.others(explanation)}".rstrip()
    return (Picture("bars", kind, "plotly", figure(explanation, top, rest, scale), says),)


def figure(
    explanation: Explanation, top: tuple[Credit, ...], rest: Credit | None, scale: float | None = None
) -> go.Figure:
    """One bar for each of `top`, strongest first; the rest only as a number, since their sum may dwarf all bars."""
    import plotly.graph_objects as go

    with_sign = signed(explanation)
    rows = [*top, *([rest] if rest else [])]
    values = [one.value for one in top]
    errors = [one.error or 0.0 for one in top]
    found = go.Figure(
        go.Bar(
            orientation="h",
            x=values,
            y=list(range(len(top))),
            width=THICK,
            marker={
                "color": [_style.solid(value, with_sign) for value in values],
                "line": {"width": 0},
            },
            error_x={
                "type": "data",
                "array": errors,
                "visible": any(errors),
                "thickness": 1,
                "width": 3,
                "color": _style.INK,
            },
            hovertext=[_hover(one, explanation.unit, with_sign) for one in top],
            hoverinfo="text",
        )
    )
    lines(found, [label(one) for one in rows], [_value(one.value, with_sign) for one in rows], explanation.unit)
    found.update_xaxes(range=_range(explanation, scale))
    return found


def _without_zeros(top: tuple[Credit, ...], rest: Credit | None) -> tuple[tuple[Credit, ...], Credit | None]:
    """A rule or a sparse surrogate names few parts: the many that are 0 are one row."""
    some = tuple(one for one in top if one.value)
    if not some or len(top) - len(some) < 3:
        return top, rest
    zeros = [*top[len(some) :], *(rest.parts if rest is not None else ())]
    return some, Credit(f"{len(zeros):,} others", sum(one.value for one in zeros), parts=tuple(zeros), summary=True)


def lines(found: go.Figure, names: list[str], values: list[str], unit: str) -> None:
    """A row each: its name at the left and its value at the right of one line, its mark below in the full width."""
    found.update_layout(
        **_style.layout(max(2, len(names)) * ROW + 50, margin={"l": 4, "r": 4, "t": 6, "b": 44}),
        dragmode=False,
        annotations=[
            *(_over(row, name, 0, "left") for row, name in enumerate(names)),
            *(_over(row, value, 1, "right") for row, value in enumerate(values)),
        ],
        yaxis={"range": [len(names) - 0.65, -0.75], "visible": False, "fixedrange": True},
        xaxis={
            "fixedrange": True,
            "showgrid": False,  # lines would run behind the names
            "zeroline": False,
            "nticks": 4,
            "tickfont": {"size": 10},
            "title": {"text": _style.escape(unit), "font": {"size": 11}, "standoff": 6},
        },
    )


def _over(row: int, text: str, x: float, anchor: str) -> dict[str, Any]:
    place = {"xref": "paper", "x": x, "xanchor": anchor, "yref": "y", "y": row, "yanchor": "middle", "yshift": LIFT}
    return place | {"text": text, "showarrow": False, "font": {"size": 11.5}}


def label(one: Credit) -> str:
    """The name with the person's own value, 'age = 39 years', as much of it as fits."""
    if not one.shown:
        return _style.escape(_style.short(one.name, LONGEST))
    name = _style.short(one.name)
    return f"{_style.escape(name)} = {_style.escape(_style.short(one.shown, LONGEST - len(name) - 3))}"


def _hover(one: Credit, unit: str, with_sign: bool) -> str:
    says = f"{_style.escape(one.name)}"
    if one.shown:
        says += f" = {_style.escape(one.shown)}"
    says += f"<br>{_value(one.value, with_sign)}"
    if one.error is not None:
        says += f" ± {number(one.error)}"
    return f"{says} {_style.escape(unit)}"


def _value(value: float, with_sign: bool) -> str:
    return _style.signed_number(value) if with_sign else number(value)


def _range(explanation: Explanation, scale: float | None) -> list[float]:
    """From where to where the bars go, or those that they are compared with, with a little air; zero included."""
    low, high = (scale.low, scale.high) if isinstance(scale, Scale) else _style.extent(explanation)
    air = 0.04 * ((high - low) or 1.0)
    return [low - air if low < 0 else 0.0, high + air if high > 0 or low == 0 else 0.0]
