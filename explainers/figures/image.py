"""The person's own photograph with a heatmap over the part that the model saw.

The map keeps the model's resolution and is placed in the photograph's pixels; the photo is a data URI beneath it. One
slider fades the map in while the photo under it turns grey, so that red and blue are the explanation's alone; it needs
no server, and so works in a saved report.
"""

from __future__ import annotations

import base64
import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers import places
from explainers.credits import method_of, signed
from explainers.figures import Picture, Scale, _style
from explainers.figures._maps import visible
from explainers.sentence import numeral
from explainers.types import Explanation
from explainers.words import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORDER = 10
WIDTH, SHORTEST, TALLEST = 400, 150, 540  # pixels: the photo's width that is planned for, bounds of its height
BELOW = 66  # pixels under the photo: colour bar, its ends, slider
STEPS = 11
CLIPPED = 1.25  # a strongest value this far beyond full colour is worth saying
COARSE = 4  # map pixels a side of a cell that is named on hover
OPENS_AT = 9  # step of the slider at which the picture opens
GREYED = 1.0  # how grey the photo is under a map in full
FLOOR, CEILING = 132, 250  # darkest and brightest grey under a map, so that hues can be told apart on all of it
NUMBERED = 5  # strongest segments that carry their number
BAR, SLIDER = 252, 130  # pixels: lengths of the colour bar and the slider, which fit a third of a screen
UNIT = 12  # characters of a unit that fit between the ends; a longer one goes into the caption
HAIR = 1e-4  # plotly tells images apart by place and size alone, so the grey one is this share wider


def draws(explanation: Explanation) -> bool:
    """Every explanation of an image."""
    return explanation.sample.modality == "image"


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The overlay; `scale` fixes the value of full colour."""
    full = scale or _style.limit(explanation)
    says = _caption(explanation, full)
    if isinstance(scale, Scale):
        says = f"{says} {scale.others(explanation)}".rstrip()
    return (Picture("overlay", "On the picture", "plotly", figure(explanation, full), says),)


def figure(explanation: Explanation, full: float) -> go.Figure:
    """The photo under the map, with colours full at ±`full`."""
    import plotly.graph_objects as go

    view, with_sign = explanation.sample.view, signed(explanation)
    shown, smoothed = visible(explanation)
    named = explanation.players.kind != "pixels"
    found = go.Figure(
        go.Heatmap(
            z=shown.astype(np.float32),
            **_grid(view.box, explanation.players.owner.shape),
            zmin=-full if with_sign else 0.0,
            zmax=full,
            colorscale=_style.overlay(with_sign),
            opacity=OPENS_AT / (STEPS - 1),
            **_hover(explanation, smoothed),
            showscale=False,
        )
    )
    if named:
        found.add_trace(_names(explanation))
    some = bool(np.any(shown))
    if some:
        found.add_trace(_legend(full, with_sign))
    left, top, right, bottom = places.window(view)
    aspect = (bottom - top) / (right - left)
    shape = min(max(WIDTH * aspect, SHORTEST), TALLEST)
    axis = {"visible": False, "constrain": "domain", "fixedrange": False}
    found.update_layout(
        **_style.layout(
            round(shape) + BELOW + 4,
            margin={"l": 4, "r": 4, "t": 4, "b": BELOW},
            meta={"aspect": aspect, "around": BELOW + 4},
        ),
        xaxis=axis | {"range": [left, right]},
        yaxis=axis | {"range": [bottom, top], "scaleanchor": "x", "constraintoward": "bottom"},
        images=[photo(view.photo, view), _greyed(view)],
        shapes=_outline(view),
        annotations=[*_ends(explanation, full, with_sign, some), *_numbers(explanation)],
        sliders=[_slider()],
    )
    return found


def _legend(full: float, with_sign: bool) -> go.Scatter:
    """The colour bar: opaque, on the grey of the muted photo, so that it looks the same on a light and a dark page."""
    import plotly.graph_objects as go

    bar = {
        "orientation": "h",
        "thickness": 8,
        "lenmode": "pixels",
        "len": BAR,
        "x": 0.5,
        "xanchor": "center",
        "y": 0,
        "yanchor": "top",
        "ypad": 6,
        "xpad": 0,
        "outlinewidth": 0,
        "showticklabels": False,
        "ticks": "",
    }
    marker = {
        "color": [0.0],
        "cmin": -full if with_sign else 0.0,
        "cmax": full,
        "colorscale": _style.legend(with_sign, OPENS_AT / (STEPS - 1)),
        "showscale": True,
        "colorbar": bar,
    }
    return go.Scatter(x=[None], y=[None], mode="markers", marker=marker, hoverinfo="skip")


def _numbers(explanation: Explanation) -> list[dict[str, Any]]:
    """The strongest segments' numbers, each at the pixel of its segment that is nearest to the segment's middle."""
    players, values = explanation.players, np.abs(explanation.values)
    if players.kind != "segments":
        return []
    left, top, right, bottom = explanation.sample.view.box
    rows, columns = players.owner.shape
    found = []
    for player in np.argsort(-values, kind="stable")[:NUMBERED]:
        told, pixels = numeral(players.name(int(player))), np.argwhere(players.owner == player)
        if not told or not values[player] or not len(pixels):
            continue
        row, column = pixels[np.argmin(((pixels - pixels.mean(0)) ** 2).sum(1))] + 0.5
        found.append(
            {
                "x": left + column * (right - left) / columns,
                "y": top + row * (bottom - top) / rows,
                "text": f'<span style="color:#ffffff">{told}</span>',
                "showarrow": False,
                "font": {"size": 10, "color": "#ffffff"},
                "bgcolor": "rgba(20,24,32,0.72)",
                "borderpad": 1,
            }
        )
    return found


def photo(encoded: bytes, view: Any) -> dict[str, Any]:
    """An encoded photograph as a plotly layout image in its own pixels, beneath everything."""
    return {
        "source": uri(encoded),
        "xref": "x",
        "yref": "y",
        "x": 0,
        "y": 0,
        "sizex": view.width,
        "sizey": view.height,
        "sizing": "stretch",
        "layer": "below",
    }


def uri(photo: bytes) -> str:
    """The photograph as a data URI."""
    kind = "png" if photo.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(photo).decode('ascii')}"


def _greyed(view: Any) -> dict[str, Any]:
    share = GREYED * OPENS_AT / (STEPS - 1)
    return photo(grey(view.photo), view) | {"opacity": share, "sizex": view.width * (1 + HAIR)}


@functools.lru_cache(maxsize=16)
def grey(encoded: bytes) -> bytes:
    """The photograph without its colours and its darkness; JPEG."""
    from PIL import Image

    held = io.BytesIO()
    ramp = [FLOOR + (CEILING - FLOOR) * level / 255 for level in range(256)]
    Image.open(io.BytesIO(encoded)).convert("L").point(ramp).save(held, "JPEG", quality=80)
    return held.getvalue()


def _grid(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> dict[str, float]:
    """Where the map's cells lie in the photograph: plotly wants the first cell's centre and the step."""
    left, top, right, bottom = box
    rows, columns = shape
    dx, dy = (right - left) / columns, (bottom - top) / rows
    return {"x0": left + dx / 2, "dx": dx, "y0": top + dy / 2, "dy": dy}


def _hover(explanation: Explanation, smoothed: bool) -> dict[str, Any]:
    """A pixel's own value and its place in the photo; segments are named by a map of their own."""
    if explanation.players.kind != "pixels":
        return {"hoverinfo": "skip"}
    place = "<br>x %{x:.0f}, y %{y:.0f}<extra></extra>"
    if not smoothed:
        return {"hovertemplate": "%{z:+.3~g}" + place}
    return {"customdata": explanation.dense().astype(np.float32), "hovertemplate": "%{customdata:+.3~g}" + place}


def _names(explanation: Explanation) -> go.Heatmap:
    """An invisible coarse map that names the segment under the pointer; names for every pixel would be a megabyte."""
    import plotly.graph_objects as go

    owner = explanation.players.owner
    coarse = owner[COARSE // 2 :: COARSE, COARSE // 2 :: COARSE] if min(owner.shape) > COARSE else owner
    says = [
        f"{_style.escape(explanation.players.name(player))}<br>{_style.signed_number(float(explanation.values[player]))}"
        for player in range(explanation.players.count)
    ]
    return go.Heatmap(
        z=np.zeros(coarse.shape, dtype=np.float32),
        **_grid(explanation.sample.view.box, coarse.shape),
        text=[[says[player] if player >= 0 else "" for player in row] for row in coarse],
        hovertemplate="%{text}<extra></extra>",
        opacity=0,
        showscale=False,
    )


def _outline(view: Any) -> list[dict[str, Any]]:
    """A fine double line around what the model saw, visible on bright and dark photos; nothing if that is all of it."""
    left, top, right, bottom = view.box
    slack = 0.005 * max(view.width, view.height)
    if max(left, top, view.width - right, view.height - bottom) <= slack:
        return []
    frame = {"type": "rect", "xref": "x", "yref": "y", "x0": left, "y0": top, "x1": right, "y1": bottom}
    white = {"line": {"color": "rgba(255,255,255,0.95)", "width": 1.5}}
    return [frame | {"line": {"color": "rgba(0,0,0,0.55)", "width": 3}}, frame | white]


def _ends(explanation: Explanation, full: float, with_sign: bool, some: bool) -> list[dict[str, Any]]:
    """What the colour bar's ends mean, and the unit between them."""
    left, right = f"against {_style.signed_number(-full)}", f"for {_style.signed_number(full)}"
    if not with_sign:
        left, right = "0", number(full)
    unit = _unit(explanation)
    ends = [
        _style.note(left, -BAR / 2, 20, "left"),
        _style.note(_style.escape(unit) if len(unit) <= UNIT else "", 0, 20, "center"),
        _style.note(right, BAR / 2, 20, "right"),
    ]
    if not some:
        ends = [_style.note("no evidence for or against" if with_sign else "no positive evidence", 0, 14, "center")]
    return [
        *ends,
        _style.note("photo", -SLIDER / 2 - 8, 41, "right") | {"name": "slider"},
        _style.note("heatmap", SLIDER / 2 + 8, 41, "left") | {"name": "slider"},
    ]


def _unit(explanation: Explanation) -> str:
    """A pixel's share of the prediction is small since there are many: the unit says so."""
    method = method_of(explanation)
    divided = method is not None and method.completeness != "no" and explanation.players.kind == "pixels"
    return f"{explanation.unit} per pixel" if divided else explanation.unit


def _slider() -> dict[str, Any]:
    steps = []
    for step in range(STEPS):
        share = step / (STEPS - 1)
        changes = [{"opacity": share}, {"images[1].opacity": GREYED * share}, [0]]
        steps.append({"label": " ", "method": "update", "args": changes})
    return {
        "active": OPENS_AT,
        "steps": steps,
        "currentvalue": {"visible": False},
        "x": 0.5,
        "xanchor": "center",
        "lenmode": "pixels",
        "len": SLIDER,
        "y": 0,
        "yanchor": "top",
        "pad": {"l": 0, "r": 0, "t": 40, "b": 0},
        "ticklen": 0,
        "minorticklen": 0,
        "tickwidth": 0,
        "borderwidth": 0,
        "bgcolor": _style.LINE,
        "activebgcolor": _style.INK,
        "font": {"size": 1},
    }


def _caption(explanation: Explanation, full: float) -> str:
    shown, smoothed = visible(explanation)
    if not np.any(shown):
        return "Nothing is coloured: every value is 0."
    says, unit = [_style.direction(explanation)], _unit(explanation)
    if len(unit) > UNIT:
        says.append(f"Values are in {unit}.")
    if smoothed:
        says.append(
            "Colours are smoothed over a few pixels, since neighbours cancel; pointing gives a pixel's own value."
        )
    peak = float(np.abs(shown).max(initial=0.0))
    if peak > CLIPPED * full:
        says.append(
            f"Colours are full at {number(full)}; the strongest {explanation.players.kind} reach {number(peak)}."
        )
    if _numbers(explanation):
        says.append("Numbers are those of the strongest segments.")
    if places.zoomed(explanation.sample.view):
        says.append("Zoomed to what the model saw, inside the outline; the rest of the photo it did not see.")
    elif _outline(explanation.sample.view):
        says.append("The outline is what the model saw.")
    return " ".join(says)
