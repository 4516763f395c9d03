"""The strongest parts of the input as horizontal bars, under the names and with the values that the person knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explainers.credits import Credit, credits, signed, strongest
from explainers.figures import Picture, _style
from explainers.types import Explanation
from explainers.words import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORDER = 20
SHOWN = 12
ONE_LINE = 24  # a longer "name = value" takes two lines
ROW, TALL_ROW = 26, 38  # pixels


def draws(explanation: Explanation) -> bool:
    """Columns, words and segments; pixels have no names."""
    return explanation.players.kind != "pixels"


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The bars; `scale` makes compared plots share their axis."""
    top, rest = strongest(credits(explanation), SHOWN)
    kind = {"columns": "columns", "segments": "segments"}.get(explanation.players.kind, "words")
    says = _style.direction(explanation)
    if any(one.error is not None for one in top):
        says += " Whiskers are one standard error."
    return (Picture("bars", f"Strongest {kind}", "plotly", figure(explanation, top, rest, scale), says),)


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
            width=0.62,
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
    reach = [abs(value) + error for value, error in zip(values, errors, strict=True)]
    lines(found, [label(one) for one in rows], [_value(one.value, with_sign) for one in rows], explanation.unit)
    found.update_xaxes(range=_range(values, max(reach, default=0.0), scale))
    return found


def lines(found: go.Figure, names: list[str], values: list[str], unit: str) -> None:
    """Lay a figure out as a table of rows: names at the left, values at the right, marks between them."""
    import plotly.graph_objects as go

    places = list(range(len(names)))
    tall = any("<br>" in name for name in names)
    side: dict[str, Any] = {
        "tickvals": places,
        "range": [len(names) - 0.5, -0.5],
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
        "fixedrange": True,
        "ticks": "",
        "ticklabelstandoff": 6,
    }
    found.add_trace(go.Scatter(x=[None], y=[None], yaxis="y2", hoverinfo="skip"))
    found.update_layout(
        **_style.layout(
            max(2, len(names)) * (TALL_ROW if tall else ROW) + 50, margin={"l": 4, "r": 4, "t": 6, "b": 44}
        ),
        dragmode=False,
        bargap=0.3,
        yaxis=side | {"ticktext": names},
        yaxis2=side | {"ticktext": values, "overlaying": "y", "side": "right"},
        xaxis={
            "fixedrange": True,
            "showgrid": True,
            "gridcolor": "rgba(128,132,142,0.18)",
            "zeroline": True,
            "zerolinecolor": "rgba(128,132,142,0.7)",
            "zerolinewidth": 1,
            "nticks": 4,
            "tickfont": {"size": 10},
            "title": {"text": _style.escape(unit), "font": {"size": 11}, "standoff": 6},
        },
    )


def label(one: Credit) -> str:
    """The name with the person's own value: 'age = 39 years', on two lines when it is long."""
    name = _style.short(one.name)
    if not one.shown:
        return _style.escape(name)
    shown = _style.short(one.shown)
    if len(name) + len(shown) + 3 <= ONE_LINE:
        return f"{_style.escape(name)} = {_style.escape(shown)}"
    return f"{_style.escape(name)}<br>= {_style.escape(shown)}"


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


def _range(values: list[float], reach: float, scale: float | None) -> list[float]:
    """From zero to where the bars go, with a little air; both sides alike when both are used or plots are compared."""
    reach = 1.05 * (max(reach, scale or 0.0) or 1.0)
    if min(values, default=0.0) >= 0:
        return [0.0, reach]
    if max(values, default=0.0) <= 0:
        return [-reach, 0.0]
    return [-reach, reach]
