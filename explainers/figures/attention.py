"""Attention: all heads on one contact sheet, and any one head word by word.

Weights are extras["attention"] of shape (layers, heads, L, L): row i says where token i looks, and sums to one. On the
sheet each head is pooled by its maximum to a small tile with its own brightness, so patterns show; transparent markers
over the tiles carry (layer, head) in customdata, since a screen can select markers but not heatmap cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.figures import Picture, _style
from explainers.types import Explanation

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORDER = 15
BELOW = 40  # pixels under a head: its colour bar
TILE = 24  # cells a side of a head on the sheet
LABELS = 72  # tokens named along an axis of a head; of a longer text every second or third
SIDE = 230  # pixels of a head in a narrow panel, for the size of its letters
GAPS = 32  # tokens up to which cells stand apart
OPEN = 2  # heads that a report opens


def draws(explanation: Explanation) -> bool:
    """Attention itself; methods that are made from the same maps keep them, but one sheet is enough."""
    return explanation.method == "attention" and "attention" in explanation.extras


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The sheet of all heads; attention has its own scale."""
    says = "One tile a head, rows look at columns, each with its own brightness. Point at one for its concentration."
    return (Picture("attention", "Heads", "plotly", sheet(explanation), says),)


def sharpest(explanation: Explanation) -> tuple[Picture, ...]:
    """The heads that concentrate most, for paper, on which no head can be picked."""
    if not draws(explanation):
        return ()
    sharp = concentration(explanation.extras["attention"])
    order = np.argsort(-sharp, axis=None, kind="stable")[:OPEN]
    found = []
    for place in order:
        layer, which = (int(index) for index in np.unravel_index(place, sharp.shape))
        says = f"Concentration {sharp[layer, which]:.2f} of 1, among the highest. Each row is a token: where it looks."
        found.append(
            Picture(
                f"attention-{layer}-{which}",
                f"Layer {layer + 1}, head {which + 1}",
                "plotly",
                head(explanation, layer, which),
                says,
            )
        )
    return tuple(found)


def concentration(weights: np.ndarray) -> np.ndarray:
    """1 - entropy / log L, averaged over rows: (layers, heads, L, L) -> (layers, heads), from 0 (even) to 1 (sharp)."""
    length = weights.shape[-1]
    if length < 2:
        return np.ones(weights.shape[:2])
    shares = np.clip(np.asarray(weights, dtype=np.float64), 1e-12, None)
    entropy = -(shares * np.log(shares)).sum(-1).mean(-1)
    return np.clip(1 - entropy / np.log(length), 0.0, 1.0)


def sheet(explanation: Explanation) -> go.Figure:
    """Layers down, heads across; a marker's customdata is [layer, head], counted from 0."""
    import plotly.graph_objects as go

    weights = explanation.extras["attention"]
    layers, heads = weights.shape[:2]
    tiles = _tiles(weights)
    side = tiles.shape[-1]
    pitch = side + max(1, side // 8)
    canvas = np.full((layers * pitch, heads * pitch), np.nan, dtype=np.float32)
    for layer in range(layers):
        for which in range(heads):
            canvas[layer * pitch : layer * pitch + side, which * pitch : which * pitch + side] = tiles[layer, which]
    centre = (side - 1) / 2
    spots = [(layer, which) for layer in range(layers) for which in range(heads)]
    sharp = concentration(weights)
    found = go.Figure(
        [
            go.Heatmap(z=canvas, zmin=0, zmax=1, colorscale=_paper_scale(), showscale=False, hoverinfo="skip"),
            go.Scatter(
                x=[which * pitch + centre for _, which in spots],
                y=[layer * pitch + centre for layer, _ in spots],
                mode="markers",
                customdata=[[layer, which] for layer, which in spots],
                hovertext=[
                    f"layer {layer + 1}, head {which + 1}<br>concentration {sharp[layer, which]:.2f}"
                    for layer, which in spots
                ],
                hoverinfo="text",
                marker={
                    "symbol": "square",
                    "size": float(np.clip(330 / heads, 10, 56)),
                    "color": _style.CLEAR,
                    "opacity": 1,
                    "line": {"width": 0},
                },
                selected={"marker": {"color": _style.rgba(_style.PLAIN, 0.35)}},
                unselected={"marker": {"opacity": 0}},
            ),
        ]
    )
    axis = {
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "fixedrange": True,
        "automargin": True,
        "tickfont": {"size": 10},
    }
    across, down = heads * pitch, layers * pitch
    found.update_layout(
        **_style.layout(round(max(220, min(620, 420 * down / across))) + 40, margin={"l": 4, "r": 4, "t": 4, "b": 4}),
        clickmode="event+select",
        dragmode=False,
        hovermode="closest",
        hoverdistance=40,
        xaxis=axis
        | {
            "side": "top",
            "range": [-1, across - pitch + side],
            "tickvals": [which * pitch + centre for which in range(heads)],
            "ticktext": [str(which + 1) for which in range(heads)],
            "title": {"text": "head", "font": {"size": 11}, "standoff": 4},
        },
        yaxis=axis
        | {
            "range": [down - pitch + side, -1],
            "tickvals": [layer * pitch + centre for layer in range(layers)],
            "ticktext": [str(layer + 1) for layer in range(layers)],
            "title": {"text": "layer", "font": {"size": 11}, "standoff": 4},
        },
    )
    return found


def head(explanation: Explanation, layer: int, head: int) -> go.Figure:
    """Where each token of the text looks in one head, both counted from 0: token × token."""
    import plotly.graph_objects as go

    weights = np.asarray(explanation.extras["attention"][layer, head], dtype=np.float32)
    tokens = _tokens(explanation, len(weights))
    names = [f"{place + 1}. {_style.escape(token)}" for place, token in enumerate(tokens)]  # categories must be unique
    every = -(-len(tokens) // LABELS)
    chosen = list(range(0, len(tokens), every))
    found = go.Figure(
        go.Heatmap(
            z=weights,
            x=names,
            y=names,
            zmin=0,
            zmax=float(weights.max(initial=0.0)) or 1.0,
            colorscale=_paper_scale(),
            hovertemplate="%{y} looks at %{x}<br>%{z:.3~g}<extra></extra>",
            xgap=0 if len(tokens) > GAPS else 1,
            ygap=0 if len(tokens) > GAPS else 1,
            colorbar={
                "orientation": "h",
                "thickness": 6,
                "len": 0.6,
                "y": 0,
                "yanchor": "top",
                "ypad": 8,
                "outlinewidth": 0,
                "ticks": "",
                "nticks": 4,
                "tickfont": {"size": 10},
            },
        )
    )
    labels = [_style.escape(_style.short(tokens[place], 12)) for place in chosen]
    axis = {
        "type": "category",
        "tickvals": [names[place] for place in chosen],
        "ticktext": labels,
        "ticks": "",
        "showgrid": False,
        "automargin": True,
        "fixedrange": True,
        "constrain": "domain",
        "tickfont": {"size": float(np.clip(SIDE / max(1, len(chosen)), 5, 11))},
    }
    found.update_layout(
        **_style.layout(SIDE + 160, meta={"aspect": 1.0, "around": BELOW}),
        dragmode=False,
        xaxis=axis | {"side": "top", "tickangle": -90},
        yaxis=axis | {"autorange": "reversed", "scaleanchor": "x"},
    )
    return found


def _tokens(explanation: Explanation, length: int) -> list[str]:
    tokens = list(getattr(explanation.sample.view, "tokens", ()))[:length]
    return tokens + [f"token {place + 1}" for place in range(len(tokens), length)]


def _tiles(weights: np.ndarray) -> np.ndarray:
    """Each head pooled by maximum to at most TILE × TILE and scaled to its own peak."""
    maps = np.asarray(weights, dtype=np.float32)
    length = maps.shape[-1]
    if length > TILE:
        edges = np.linspace(0, length, TILE, endpoint=False).astype(int)
        maps = np.maximum.reduceat(np.maximum.reduceat(maps, edges, axis=-2), edges, axis=-1)
    peak = maps.max((-2, -1), keepdims=True)
    return maps / np.where(peak > 0, peak, 1)


def _paper_scale() -> list[tuple[float, Any]]:
    """From the faintest grey, so that a tile's extent shows, to violet."""
    steps = ((0.0, 0.05), (0.1, 0.25), (0.3, 0.5), (0.6, 0.78), (1.0, 1.0))
    return [(share, _style.rgba(_style.PLAIN, alpha)) for share, alpha in steps]
