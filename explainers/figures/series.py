"""A series or a waveform as lines over time, with each step's value as colour behind them.

One panel a channel, those with the most credit where there are many. Players that reach over all channels, such as
spans of time, colour every panel alike; those of one channel colour theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.credits import signed
from explainers.figures import Picture, Scale, _curves, _style
from explainers.figures._curves import Grid
from explainers.types import Explanation
from explainers.words import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORDER = 10
PANELS = 8
ALONE, EACH = 190, 92  # pixels: the height of one panel alone, and of each of several
BELOW = 84  # pixels under the panels: the axis, the colour bar and its ends
GAP = 0.22  # of a panel, for its name above it
AIR = 0.08  # of a line's range, above and below it
BAR = 252  # pixels


def draws(explanation: Explanation) -> bool:
    """Every series, and sounds that are not spectrograms."""
    sample = explanation.sample
    return sample.modality == "series" or (sample.modality == "audio" and not sample.view.spectrogram)


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The lines; `scale` fixes the value of full colour."""
    full = scale or _style.limit(explanation)
    grid = _curves.grid(explanation)
    says = caption(explanation, grid, full)
    shown = _shown(explanation, grid)
    if len(shown) < len(grid.values):
        says += f" The {len(shown)} of {len(grid.values):,} channels with the most credit."
    if isinstance(scale, Scale):
        says = f"{says} {scale.others(explanation)}".rstrip()
    title = "In the sound" if explanation.sample.modality == "audio" else "In the series"
    return (Picture("series", title, "plotly", figure(explanation, grid, full), says),)


def figure(explanation: Explanation, grid: Grid, full: float) -> go.Figure:
    """Panels from top to bottom over one axis of time, with colours full at ±`full`."""
    import plotly.graph_objects as go

    sample, with_sign = explanation.sample, signed(explanation)
    rows, shown = _curves.lines(sample), _shown(explanation, grid)
    places = _curves.clock(sample, grid.edges - 0.5)
    found, height = go.Figure(), ALONE if len(shown) == 1 else EACH * len(shown)
    axes: dict[str, Any] = {}
    titles: list[dict[str, Any]] = []
    for panel, row in enumerate(shown):
        name = f"y{panel + 1 if panel else ''}"
        low, high = _range(rows[row])
        found.add_trace(
            go.Heatmap(
                z=grid.values[row : row + 1].astype(np.float32),
                x=places,
                y=[low, high],
                yaxis=name,
                text=[_hovers(explanation, grid, rows[row], row)],
                hovertemplate="%{text}<extra></extra>",
                **colours(full, with_sign),
            )
        )
        steps, heights = _curves.line(rows[row])
        found.add_trace(
            go.Scatter(
                x=_curves.clock(sample, steps),
                y=heights.astype(np.float32),
                yaxis=name,
                mode="lines+markers" if len(steps) == 1 else "lines",
                line={"color": _style.INK, "width": 1.2},
                hoverinfo="skip",
            )
        )
        bottom = 1 - (panel + 1) / len(shown)
        top = bottom + (1 - GAP * bool(_title(explanation, row))) / len(shown)
        axes[f"yaxis{panel + 1 if panel else ''}"] = {
            "domain": [bottom, top],
            "range": [low, high],
            "fixedrange": True,
            "visible": False,
        }
        titles.append(_over(_title(explanation, row), top))
    if np.any(grid.values):
        found.add_trace(legend(explanation, full, with_sign, height))
    found.update_layout(
        **_style.layout(height + BELOW, margin={"l": 4, "r": 4, "t": 6, "b": BELOW}),
        xaxis=time_axis(explanation, places, f"y{len(shown) if len(shown) > 1 else ''}"),
        annotations=titles,
        **axes,
    )
    return found


def colours(full: float, with_sign: bool) -> dict[str, Any]:
    """How a heatmap of values is coloured: zero is in the middle and transparent."""
    return {
        "zmin": -full if with_sign else 0.0,
        "zmax": full,
        "colorscale": _style.overlay(with_sign),
        "showscale": False,
    }


def time_axis(explanation: Explanation, places: np.ndarray, below: str) -> dict[str, Any]:
    """The axis of time under the panel `below`."""
    return {
        "range": [float(places[0]), float(places[-1])],
        "anchor": below,
        "showgrid": False,
        "zeroline": False,
        "nticks": 8,
        "tickfont": {"size": 10},
        "title": {"text": _curves.unit_of_time(explanation.sample), "font": {"size": 11}, "standoff": 4},
    }


def legend(explanation: Explanation, full: float, with_sign: bool, height: int) -> go.Scatter:
    """The colour bar under the axis, with what its ends mean."""
    import plotly.graph_objects as go

    ends = [-full, full] if with_sign else [0.0, full]
    says = [f"against {number(-full)}", f"for +{number(full)}"] if with_sign else ["0", number(full)]
    bar = {
        "orientation": "h",
        "thickness": 8,
        "lenmode": "pixels",
        "len": BAR,
        "x": 0.5,
        "xanchor": "center",
        "y": -44 / height,
        "yanchor": "top",
        "ypad": 0,
        "outlinewidth": 0,
        "tickvals": ends,
        "ticktext": says,
        "ticks": "",
        "tickfont": {"size": 10},
    }
    marker = {
        "color": [0.0],
        "cmin": ends[0],
        "cmax": full,
        "colorscale": _style.overlay(with_sign),
        "showscale": True,
        "colorbar": bar,
    }
    return go.Scatter(x=[None], y=[None], mode="markers", marker=marker, hoverinfo="skip")


def caption(explanation: Explanation, grid: Grid, full: float) -> str:
    """One sentence or two on how to read the colours."""
    if not np.any(grid.values):
        return "Nothing is coloured: every value is 0."
    says = [_style.direction(explanation), f"Values are in {explanation.unit}."]
    if grid.summed:
        says.append(f"Colours are sums over {round(grid.edges[-1] / (len(grid.edges) - 1)):,} neighbouring steps.")
    peak = float(np.abs(grid.values).max())
    if peak > 1.25 * full:
        says.append(f"Colours are full at {number(full)}; the strongest reach {number(peak)}.")
    return " ".join(says)


def _shown(explanation: Explanation, grid: Grid) -> list[int]:
    """The channels that get a panel, in their own order."""
    weight = np.abs(grid.values).sum(1)
    return sorted(int(row) for row in np.argsort(-weight, kind="stable")[:PANELS])


def _title(explanation: Explanation, row: int) -> str:
    view = explanation.sample.view
    return view.channels[row] if getattr(view, "named", False) or len(getattr(view, "channels", ())) > 1 else ""


def _over(name: str, top: float) -> dict[str, Any]:
    """A channel's name over its panel, whose upper edge is at `top`."""
    place = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": top, "yanchor": "bottom"}
    return place | {"text": _style.escape(_style.short(name)), "showarrow": False, "font": {"size": 11}}


def _range(row: np.ndarray) -> tuple[float, float]:
    low, high = float(row.min()), float(row.max())
    air = AIR * (high - low) or 0.5
    return low - air, high + air


def _hovers(explanation: Explanation, grid: Grid, heights: np.ndarray, row: int) -> list[str]:
    """What is said of each column: its time, its number and its value."""
    sample = explanation.sample
    said = []
    for first, past, value in zip(grid.edges[:-1], grid.edges[1:], grid.values[row], strict=True):
        if sample.modality == "audio":
            place = sample.view.when(int(first), int(past) - 1, len(heights))
        elif past == first + 1:
            place = f"step {first:,}: {number(float(heights[first]))}"
        else:
            place = f"steps {first:,} to {past - 1:,}"
        said.append(f"{place}<br>{_style.signed_number(float(value))}")
    return said
