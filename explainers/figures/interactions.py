"""Which parts interact: a matrix of pairs, red where two together raise the target beyond what each does, blue where
they lower it.

Pairs are extras["pairs"], rows (i, j, value). The matrix is symmetric; its diagonal is left out, since what parts do by
themselves is in the bars. Parts with the strongest pairs are shown, in the order of the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.figures import Picture, _style
from explainers.types import Explanation
from explainers.words import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORDER = 25
SHOWN = 16  # parts
SIDE = 300  # pixels
BELOW = 40  # pixels under the matrix: its colour bar


def draws(explanation: Explanation) -> bool:
    """Explanations that hold values of pairs of named parts; a record from elsewhere may call anything pairs."""
    pairs, count = explanation.extras.get("pairs"), explanation.players.count
    if explanation.players.kind == "pixels" or pairs is None or pairs.ndim != 2 or pairs.shape[1] != 3:
        return False
    members = pairs[:, :2]
    return len(pairs) > 0 and bool(np.isfinite(pairs).all() and (members >= 0).all() and (members < count).all())


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The matrix; pairs have their own scale."""
    left = explanation.players.count - len(_chosen(explanation))
    says = f"Red: two together raise {explanation.target.label} beyond what each does; blue: they lower it."
    if left:
        says += f" {left} parts with weaker pairs are left out."
    return (Picture("interactions", "Interactions", "plotly", figure(explanation), says),)


def figure(explanation: Explanation) -> go.Figure:
    """A heatmap with zero in the middle of its colours."""
    import plotly.graph_objects as go

    chosen = _chosen(explanation)
    values = _matrix(explanation)[np.ix_(chosen, chosen)]
    full = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    players = [_style.escape(explanation.players.name(int(player))) for player in chosen]
    names = [f"{place + 1}. {name}" for place, name in enumerate(players)]  # categories must be unique
    found = go.Figure(
        go.Heatmap(
            z=values,
            x=names,
            y=names,
            zmin=-full,
            zmax=full,
            colorscale=_style.overlay(True),
            hovertext=[
                [
                    ""
                    if np.isnan(value)
                    else f"{one} and {other}<br>{_style.signed_number(float(value))} {_style.escape(explanation.unit)}"
                    for other, value in zip(players, row, strict=True)
                ]
                for one, row in zip(players, values, strict=True)
            ],
            hoverinfo="text",
            xgap=1,
            ygap=1,
            colorbar={
                "orientation": "h",
                "thickness": 6,
                "len": 0.6,
                "y": 0,
                "yanchor": "top",
                "ypad": 8,
                "outlinewidth": 0,
                "ticks": "",
                "tickvals": [-full, 0, full],
                "ticktext": [number(-full), "0", f"+{number(full)}"],
                "tickfont": {"size": 10},
            },
        )
    )
    axis = {
        "type": "category",
        "tickvals": names,
        "ticktext": [_style.short(name, 14) for name in players],
        "ticks": "",
        "showgrid": False,
        "automargin": True,
        "fixedrange": True,
        "constrain": "domain",
        "tickfont": {"size": float(np.clip(SIDE / max(1, len(chosen)), 6, 11))},
    }
    found.update_layout(
        **_style.layout(SIDE + 110, meta={"aspect": 1.0, "around": BELOW}),
        dragmode=False,
        xaxis=axis | {"side": "top", "tickangle": -90},
        yaxis=axis | {"autorange": "reversed", "scaleanchor": "x"},
    )
    return found


def _matrix(explanation: Explanation) -> np.ndarray:
    """Values of pairs as (players, players), not a number on the diagonal."""
    count = explanation.players.count
    found = np.zeros((count, count))
    pairs = explanation.extras["pairs"]
    one, other = pairs[:, 0].astype(int), pairs[:, 1].astype(int)
    found[one, other] = found[other, one] = pairs[:, 2]
    np.fill_diagonal(found, np.nan)
    return found


def _chosen(explanation: Explanation) -> np.ndarray:
    """The parts with the strongest pairs, in the order of the input."""
    strength = np.nansum(np.abs(_matrix(explanation)), axis=1)
    return np.sort(np.argsort(-strength, kind="stable")[:SHOWN])
