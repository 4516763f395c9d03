"""From what the model says without the input to what it says with it, one step a part.

base_value + sum of values = the prediction, for methods that promise it; what is missing is shown as a step of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from explainers.credits import Credit, credits, strongest
from explainers.figures import Picture, _style
from explainers.figures._curves import fine
from explainers.figures.bars import THICK, label, lines
from explainers.types import Explanation
from explainers.words import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORDER = 30
SHOWN = 10
MISSING = 0.005  # a gap of this share of the way is worth a step


def draws(explanation: Explanation) -> bool:
    """Columns, words and spans of time, where there is a value to start from."""
    return explanation.base_value is not None and explanation.sample.modality != "image" and not fine(explanation)


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The waterfall; its axis is the model's own output, so no common scale applies."""
    says = "Read from top to bottom: each step adds its value, until the model's own output is reached."
    return (Picture("waterfall", "Waterfall", "plotly", figure(explanation), says),)


def figure(explanation: Explanation) -> go.Figure:
    """Floating bars from the base value to the explained number."""
    import plotly.graph_objects as go

    assert explanation.base_value is not None
    steps = _steps(explanation)
    starts, at = [], explanation.base_value
    for one in steps:
        starts.append(at)
        at += one.value
    stops = [start + one.value for start, one in zip(starts, steps, strict=True)]
    rows = range(1, len(steps) + 1)
    grey = _style.rgba(_style.GREY, 0.6)
    found = go.Figure(
        go.Bar(
            orientation="h",
            base=starts,
            x=[one.value for one in steps],
            y=list(rows),
            width=THICK,
            marker={
                "color": [grey if one.summary else _style.solid(one.value, True) for one in steps],
                "line": {"width": 0},
            },
            hovertext=[
                f"{label(one)}<br>{_style.signed_number(one.value)}<br>{number(start)} → {number(stop)}"
                for one, start, stop in zip(steps, starts, stops, strict=True)
            ],
            hoverinfo="text",
        )
    )
    _connect(found, [explanation.base_value, *stops])
    found.add_trace(
        go.Scatter(
            x=[explanation.base_value, explanation.explained],
            y=[0, len(steps) + 1],
            mode="markers",
            marker={"symbol": "diamond", "size": 10, "color": _style.INK},
            hovertext=[f"start<br>{number(explanation.base_value)}", f"prediction<br>{number(explanation.explained)}"],
            hoverinfo="text",
        )
    )
    names = ["<b>start</b>", *(label(one) for one in steps), "<b>prediction</b>"]
    values = [
        number(explanation.base_value),
        *(_style.signed_number(one.value) for one in steps),
        number(explanation.explained),
    ]
    lines(
        found,
        names,
        [f"<b>{v}</b>" if i in (0, len(values) - 1) else v for i, v in enumerate(values)],
        explanation.unit,
    )
    low, high = min(*starts, *stops, explanation.explained), max(*starts, *stops, explanation.explained)
    air = 0.06 * ((high - low) or 1.0)
    found.update_xaxes(range=[low - air, high + air], zeroline=False)
    return found


def _steps(explanation: Explanation) -> list[Credit]:
    """The strongest parts, the others as one, and what the method leaves unexplained."""
    found = credits(explanation)
    top, rest = strongest(found, SHOWN)
    steps = [*top, *([rest] if rest else [])]
    gap = explanation.explained - (explanation.base_value or 0.0) - sum(one.value for one in found)
    way = max(
        abs(explanation.explained - (explanation.base_value or 0.0)),
        max((abs(one.value) for one in found), default=0.0),
    )
    if abs(gap) > MISSING * way:
        steps.append(Credit("not accounted for", gap, summary=True))
    return steps


def _connect(found: go.Figure, levels: list[float]) -> None:
    """Thin vertical lines that carry each level to the next row."""
    import plotly.graph_objects as go

    x: list[float | None] = []
    y: list[float | None] = []
    for row, level in enumerate(levels):
        x += [level, level, None]
        y += [row, row + 1, None]
    line = {"color": _style.LINE, "width": 1}
    found.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip"))
