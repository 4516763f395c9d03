"""Attention: all heads on one contact sheet, and any one head token by token.

Weights are extras["attention"], (layers, heads, L, L), or extras["cross_attention"], (layers, heads, targets, L): row i
says where token i looks, and sums to one. "attention_tokens" says which token of the text or patch of the picture
each is, where that is not plain, and "attention_layers" which layers were kept, where these are not all. On the sheet
each head is pooled by its maximum to a small tile with its own brightness, so patterns show; transparent markers over
the tiles carry (layer, head) in customdata, since a screen can select markers but not heatmap cells.
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
CELLS = 1024  # a side of a head that is drawn; of longer texts neighbours are pooled
KINDS = {"attention": "attention", "cross_attention": "cross_attention"}  # the extra that a method's sheet shows


def draws(explanation: Explanation) -> bool:
    """Attention itself; methods that are made from the same maps keep them, but one sheet is enough."""
    return KINDS.get(explanation.method, "") in explanation.extras


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The sheet of all heads; attention has its own scale."""
    says = "One tile a head, rows look at columns, each with its own brightness. Point at one for its concentration."
    if explanation.method != "attention":
        says = f"{says} Rows are positions of the decoder, columns tokens of the input."
    if len(layers := _layers(explanation)) and layers[0] > 0:
        says = f"{says} The first {layers[0]} layers were left out, since the maps of all are too large to keep."
    if explanation.sample.modality == "image":
        says = f"{says} To see one on the picture, run the method with its layer and head, counted from 0."
    return (Picture("attention", "Heads", "plotly", sheet(explanation), says),)


def sharpest(explanation: Explanation) -> tuple[Picture, ...]:
    """The heads that concentrate most, for paper, on which no head can be picked."""
    if not draws(explanation):
        return ()
    sharp, layers = concentration(_weights(explanation)), _layers(explanation)
    order = np.argsort(-sharp, axis=None, kind="stable")[:OPEN]
    found = []
    for place in order:
        row, which = (int(index) for index in np.unravel_index(place, sharp.shape))
        layer = layers[row]
        says = f"Concentration {sharp[row, which]:.2f} of 1, among the highest. Each row is a token: where it looks."
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
    entropy = np.zeros(weights.shape[:2])
    for layer, heads in enumerate(weights):  # one layer at a time: in double precision all may be a gigabyte
        shares = np.clip(np.asarray(heads, dtype=np.float64), 1e-12, None)
        entropy[layer] = -(shares * np.log(shares)).sum(-1).mean(-1)
    return np.clip(1 - entropy / np.log(length), 0.0, 1.0)


def sheet(explanation: Explanation) -> go.Figure:
    """Layers down, heads across; a marker's customdata is [layer, head], counted from 0."""
    import plotly.graph_objects as go

    weights, numbers = _weights(explanation), _layers(explanation)
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
                customdata=[[numbers[layer], which] for layer, which in spots],
                hovertext=[
                    f"layer {numbers[layer] + 1}, head {which + 1}<br>concentration {sharp[layer, which]:.2f}"
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
            "ticktext": [str(number + 1) for number in numbers],
            "title": {"text": "layer", "font": {"size": 11}, "standoff": 4},
        },
    )
    return found


def head(explanation: Explanation, layer: int, head: int) -> go.Figure:
    """Where each token looks in one head, both counted from 0: token × token."""
    import plotly.graph_objects as go

    kept = _weights(explanation)[_layers(explanation).index(layer), head]
    columns = _names(explanation, kept.shape[1])
    rows = columns
    if explanation.method == "cross_attention":
        rows = [f"position {place + 1}" for place in range(kept.shape[0])]
    weights, (down, across) = _pooled(np.asarray(kept, dtype=np.float32), CELLS)
    rows, columns = [rows[place] for place in down], [columns[place] for place in across]
    (left, left_shown), (top, top_shown) = _axis(rows), _axis(columns)
    gap = 0 if max(len(rows), len(columns)) > GAPS else 1
    found = go.Figure(
        go.Heatmap(
            z=weights,
            x=top,
            y=left,
            zmin=0,
            zmax=float(weights.max(initial=0.0)) or 1.0,
            colorscale=_paper_scale(),
            hovertemplate="%{y} looks at %{x}<br>%{z:.3~g}<extra></extra>",
            xgap=gap,
            ygap=gap,
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
    square = len(rows) == len(columns)
    found.update_layout(
        **_style.layout(SIDE + 160, meta={"aspect": 1.0, "around": BELOW}),
        dragmode=False,
        xaxis=_ticks(top, columns, top_shown) | {"side": "top", "tickangle": -90},
        yaxis=_ticks(left, rows, left_shown) | {"autorange": "reversed"} | ({"scaleanchor": "x"} if square else {}),
    )
    return found


def _axis(tokens: list[str]) -> tuple[list[str], list[int]]:
    """Categories, which must be unique, and the places that are labelled."""
    names = [f"{place + 1}. {_style.escape(token)}" for place, token in enumerate(tokens)]
    return names, list(range(0, len(tokens), -(-len(tokens) // LABELS)))


def _ticks(names: list[str], tokens: list[str], shown: list[int]) -> dict[str, Any]:
    return {
        "type": "category",
        "tickvals": [names[place] for place in shown],
        "ticktext": [_style.escape(_style.short(tokens[place], 12)) for place in shown],
        "ticks": "",
        "showgrid": False,
        "automargin": True,
        "fixedrange": True,
        "constrain": "domain",
        "tickfont": {"size": float(np.clip(SIDE / max(1, len(shown)), 5, 11))},
    }


def _weights(explanation: Explanation) -> np.ndarray:
    return explanation.extras[KINDS[explanation.method]]


def _layers(explanation: Explanation) -> list[int]:
    """The layers of the sheet, counted from 0."""
    kept = explanation.extras.get(f"{KINDS[explanation.method]}_layers")
    return list(range(len(_weights(explanation)))) if kept is None else [int(one) for one in kept]


def _names(explanation: Explanation, length: int) -> list[str]:
    """What each token is called: by its text, a patch by its row and column, or the network's own."""
    given = explanation.extras.get(f"{KINDS[explanation.method]}_tokens")
    places = np.arange(length) if given is None else np.asarray(given)[:length]
    small = explanation.extras.get("map")
    if explanation.sample.modality == "image" and small is not None and small.ndim == 2 and small.size:
        known = [f"{place // small.shape[1] + 1}, {place % small.shape[1] + 1}" for place in range(small.size)]
    else:
        known = list(getattr(explanation.sample.view, "tokens", ()))
    own = "[own]" if (places < 0).sum() == 1 else "[own {}]"
    found, more = [], 0
    for place in places:
        more += int(place < 0)
        if place < 0:
            found.append(own.format(more))
        else:
            found.append(known[place] if place < len(known) else f"token {place + 1}")
    return found


def _pooled(maps: np.ndarray, most: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Maps pooled by maximum to at most `most` cells a side, and the first row and column of each cell."""
    edges = tuple(np.linspace(0, length, min(length, most), endpoint=False).astype(int) for length in maps.shape[-2:])
    if max(maps.shape[-2:]) > most:
        maps = np.maximum.reduceat(np.maximum.reduceat(maps, edges[0], axis=-2), edges[1], axis=-1)
    return maps, (edges[0], edges[1])


def _tiles(weights: np.ndarray) -> np.ndarray:
    """Each head pooled by maximum to a square of at most TILE cells a side and scaled to its own peak."""
    maps = np.stack([_pooled(np.asarray(layer, dtype=np.float32), TILE)[0] for layer in weights])
    side = max(maps.shape[-2:])
    rows, columns = (np.arange(side) * length // side for length in maps.shape[-2:])
    maps = maps[..., rows[:, None], columns]  # few positions of a decoder are as high as many tokens are wide
    peak = maps.max((-2, -1), keepdims=True)
    return maps / np.where(peak > 0, peak, 1)


def _paper_scale() -> list[tuple[float, Any]]:
    """From the faintest grey, so that a tile's extent shows, to violet."""
    steps = ((0.0, 0.05), (0.1, 0.25), (0.3, 0.5), (0.6, 0.78), (1.0, 1.0))
    return [(share, _style.rgba(_style.PLAIN, alpha)) for share, alpha in steps]
