"""Deletion and insertion curves beside those of shuffled copies: what the check "beats chance" counted, as a picture.

Left, f(x without the share q that the map ranks first); right, f(only that share); q rises from 0 to 1. One line for
each way of removing, and shaded what lies between the 5th and the 95th percentile of the copies.
Reference: Petsiuk and others (2018), arXiv:1806.07421.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.credits import method_of
from explainers.evidence.beats_chance import ways
from explainers.figures import Picture, _style
from explainers.sentence import capital
from explainers.types import Check, Explanation
from explainers.words import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

CHECK = "beats_chance"
SIDES = (("deletion", "Taken away"), ("insertion", "Put back"))
HUES = ((139, 92, 246), (202, 101, 2))  # told apart by the colour-blind, and one line is dashed besides
DASHES = ("solid", "dash")
HEIGHT = 190  # pixels
BAND = 0.16  # opacity
AXIS = {
    "automargin": True,
    "showgrid": False,
    "zeroline": False,
    "fixedrange": True,
    "tickfont": {"size": 10},
}  # what all three have in common


def picture(explanation: Explanation) -> Picture | None:
    """The curves; None where the check was not run or found nothing to draw."""
    check = next((one for one in explanation.evidence if one.id == CHECK and one.curves), None)
    if check is None:
        return None
    drawn = figure(explanation, check)
    return Picture("curves", "Parts taken away and put back", "plotly", drawn, _caption(explanation, check))


def figure(explanation: Explanation, check: Check) -> go.Figure:
    """Two panels on one scale: shares of the parts across, the explained number up."""
    import plotly.graph_objects as go

    found = go.Figure()
    for side, (name, _) in enumerate(SIDES):
        axes = {"xaxis": f"x{side + 1}", "yaxis": "y"}
        lines, low, high = (np.atleast_2d(check.curves[f"{name}{end}"]) for end in ("", "_low", "_high"))
        for way in range(len(lines)):
            found.add_trace(go.Scatter(**_band(check, way, low[way], high[way]), **axes))
        for way, line in enumerate(lines):
            hovers = _hovers(explanation, check, name, line, low[way], high[way])
            found.add_trace(go.Scatter(**_line(check, way, line), hovertext=hovers, hoverinfo="text", **axes))
    found.update_layout(
        **_style.layout(HEIGHT, margin={"l": 4, "r": 10, "t": 22, "b": 4}),
        dragmode=False,
        hovermode="closest",
        annotations=[_over(side, title) for side, (_, title) in enumerate(SIDES)],
        xaxis=_across([0.0, 0.46], explanation),
        xaxis2=_across([0.54, 1.0], explanation) | {"anchor": "y"},
        yaxis=AXIS
        | {
            "title": _title(_style.escape(_style.short(explanation.target.unit))),
            "nticks": 5,
            "showgrid": True,
            "gridcolor": _style.LINE,
        },
    )
    return found


def _line(check: Check, way: int, heights: np.ndarray) -> dict[str, Any]:
    line = {"color": _style.rgba(HUES[way % len(HUES)], 1.0), "dash": DASHES[way % len(DASHES)], "width": 2}
    return {"x": 100 * check.curves["share"], "y": heights, "mode": "lines", "line": line}


def _band(check: Check, way: int, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """What lies between the copies' percentiles, as one closed outline."""
    shares, hue = 100 * check.curves["share"], _style.rgba(HUES[way % len(HUES)], BAND)
    around = {"x": np.concatenate([shares, shares[::-1]]), "y": np.concatenate([high, low[::-1]])}
    return around | {"fill": "toself", "fillcolor": hue, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}


def _hovers(
    explanation: Explanation, check: Check, name: str, line: np.ndarray, low: np.ndarray, high: np.ndarray
) -> list[str]:
    done, unit = "taken away" if name == "deletion" else "put back", _style.escape(explanation.target.unit)
    return [
        f"{100 * share:.0f} % {done}<br>{number(float(height))} {unit}<br>"
        f"copies: {number(float(bottom))} to {number(float(top))}"
        for share, height, bottom, top in zip(check.curves["share"], line, low, high, strict=True)
    ]


def _across(domain: list[float], explanation: Explanation) -> dict[str, Any]:
    marks = {"domain": domain, "range": [0, 100], "tickvals": [0, 50, 100], "ticktext": ["0", "50", "100"]}
    return AXIS | marks | {"title": _title(f"% of the {explanation.players.kind}")}


def _title(text: str) -> dict[str, Any]:
    return {"text": text, "font": {"size": 11}, "standoff": 3}


def _over(side: int, title: str) -> dict[str, Any]:
    place = {"xref": "paper", "x": (0.0, 0.54)[side], "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "bottom"}
    return place | {"text": f"<b>{title}</b>", "showarrow": False, "font": {"size": 11}}


def _caption(explanation: Explanation, check: Check) -> str:
    """How to read it, and which line is which way of removing."""
    method, kind = method_of(explanation), explanation.players.kind
    moves = "leave their start" if method is not None and method.reading == "matters" else "fall and rise"
    says = [
        f"{capital(explanation.target.unit)} of {explanation.target.label} while the {kind} that are ranked first are"
        f" taken away, or put back alone. The shade holds nine of ten shuffled copies; lines of a good ranking {moves}"
        " sooner."
    ]
    names = ways(check)
    if len(names) > 1:
        says.append(f"Absence means: solid, {names[0]}; dashed, {names[1]}.")
    elif names:
        says.append(f"Absence means {names[0]}.")
    return " ".join(says)
