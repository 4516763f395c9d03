"""How far explanations agree: two matrices side by side, annotated. Not a picture of one explanation.

Rows are named and numbered, columns bear the numbers, so that long names fit. Colours diverge around 0 on a scale from
-1 to 1, teal for agreement and amber for its opposite, since red and blue speak for and against a target; cells are
opaque, so that their figures can be read on a light and on a dark page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.comparing_words import two
from explainers.figures import _style

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from explainers.comparing import Comparison

TOGETHER, OPPOSED, NEUTRAL = (15, 118, 110), (168, 98, 8), (229, 233, 237)
CELL, ABOVE, BELOW = 40, 46, 6  # pixels of a row, over and under the matrices
NAME = 24  # characters of a name beside a row
DARK = 0.75  # from this magnitude on a cell is dark enough for white figures
LIGHT, DEEP = "#ffffff", "#1b2430"
LEFT = 175  # pixels for the names


def figure(comparison: Comparison) -> go.Figure:
    """Rank correlation at the left, overlap of the strongest at the right."""
    import plotly.graph_objects as go

    count = len(comparison.names)
    names = [f"{_style.escape(_style.short(name, NAME))}  <b>{i}</b>" for i, name in enumerate(comparison.names, 1)]
    found = go.Figure()
    whole = (
        ("Rank correlation", comparison.matrix, "x", "y"),
        (
            f"Overlap of the {comparison.k} strongest" if comparison.k > 1 else "Same strongest",
            comparison.overlap,
            "x2",
            "y2",
        ),
    )
    for title, matrix, x, y in whole:
        found.add_trace(_cells(comparison.names, title, matrix, x, y))
    found.update_layout(
        **_style.layout(ABOVE + count * CELL + BELOW, margin={"l": LEFT, "r": 6, "t": ABOVE, "b": BELOW}),
        dragmode=False,
        annotations=[
            *(_title(title, place) for (title, *_), place in zip(whole, (0.0, 0.53), strict=True)),
            *(note for _, matrix, x, y in whole for note in _numbers(matrix, x, y)),
        ],
        xaxis=_across(count, [0.0, 0.47]),
        xaxis2=_across(count, [0.53, 1.0]) | {"anchor": "y2"},
        yaxis=_down(count) | {"tickvals": list(range(count)), "ticktext": names},
        yaxis2=_down(count) | {"anchor": "x2", "showticklabels": False},
    )
    return found


def colour(value: float) -> str:
    """The paper of a cell: neutral at 0."""
    share, full = min(abs(value), 1.0) ** 0.85, TOGETHER if value >= 0 else OPPOSED
    mixed = [round(share * one + (1 - share) * other) for one, other in zip(full, NEUTRAL, strict=True)]
    return f"rgb({mixed[0]},{mixed[1]},{mixed[2]})"


def _cells(names: tuple[str, ...], title: str, matrix: np.ndarray, x: str, y: str) -> Any:
    import plotly.graph_objects as go

    says = [
        [f"{_style.escape(one)}<br>{_style.escape(other)}<br>{two(matrix[i, j])}" for j, other in enumerate(names)]
        for i, one in enumerate(names)
    ]
    steps = np.linspace(-1, 1, 21)
    return go.Heatmap(
        z=np.nan_to_num(matrix),
        zmin=-1,
        zmax=1,
        colorscale=[((step + 1) / 2, colour(float(step))) for step in steps],
        showscale=False,
        xgap=2,
        ygap=2,
        text=says,
        hovertemplate=f"{title}<br>%{{text}}<extra></extra>",
        xaxis=x,
        yaxis=y,
    )


def _numbers(matrix: np.ndarray, x: str, y: str) -> list[dict[str, Any]]:
    found = []
    for (row, column), value in np.ndenumerate(matrix):
        ink = LIGHT if np.isfinite(value) and abs(value) >= DARK else DEEP
        told = f'<span style="color:{ink}">{two(value)}</span>'  # a page may set the ink of all text, but not of a span
        found.append({"x": column, "y": row, "xref": x, "yref": y, "text": told, "showarrow": False})
    return found


def _title(text: str, x: float) -> dict[str, Any]:
    place = {"xref": "paper", "x": x, "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "bottom", "yshift": 20}
    return place | {"text": text, "showarrow": False, "font": {"size": 12}}


def _across(count: int, domain: list[float]) -> dict[str, Any]:
    numbers = [f"<b>{place}</b>" for place in range(1, count + 1)]
    return {
        "domain": domain,
        "side": "top",
        "tickvals": list(range(count)),
        "ticktext": numbers,
        "tickfont": {"size": 11},
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "range": [-0.5, count - 0.5],
    }


def _down(count: int) -> dict[str, Any]:
    return {
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "tickfont": {"size": 12},
        "range": [count - 0.5, -0.5],
    }
