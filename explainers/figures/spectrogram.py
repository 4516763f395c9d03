"""A sound's spectrogram in grey, as the network takes it, with the values as colour over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.credits import signed
from explainers.figures import Picture, Scale, _curves, _style, series
from explainers.figures._curves import Grid
from explainers.types import Explanation

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORDER = 10
HEIGHT = 240  # pixels of the map
GREYS = [(0.0, "rgb(110,113,120)"), (1.0, "rgb(246,247,249)")]  # hues can be told apart on all of it


def draws(explanation: Explanation) -> bool:
    """Sounds of which the network takes a spectrogram."""
    return explanation.sample.modality == "audio" and explanation.sample.view.spectrogram


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The map; `scale` fixes the value of full colour."""
    full, grid = scale or _style.limit(explanation), _curves.grid(explanation)
    says = series.caption(explanation, grid, full)
    if isinstance(scale, Scale):
        says = f"{says} {scale.others(explanation)}".rstrip()
    return (Picture("spectrogram", "In the spectrogram", "plotly", figure(explanation, grid, full), says),)


def figure(explanation: Explanation, grid: Grid, full: float) -> go.Figure:
    """The spectrogram under the values, low bands at the bottom."""
    import plotly.graph_objects as go

    sample, with_sign = explanation.sample, signed(explanation)
    starts = grid.edges[:-1]
    heard = np.maximum.reduceat(_curves.lines(sample), starts, axis=1)
    places = _curves.clock(sample, grid.edges - 0.5)
    bands = np.arange(len(heard))
    found = go.Figure(
        go.Heatmap(z=heard.astype(np.float32), x=places, y=bands, colorscale=GREYS, showscale=False, hoverinfo="skip")
    )
    found.add_trace(
        go.Heatmap(
            z=grid.values.astype(np.float32),
            x=places,
            y=bands,
            hovertemplate="band %{y}<br>%{z:+.3~g}<extra></extra>",
            **series.colours(full, with_sign),
        )
    )
    if np.any(grid.values):
        found.add_trace(series.legend(explanation, full, with_sign, HEIGHT))
    found.update_layout(
        **_style.layout(HEIGHT + series.BELOW, margin={"l": 4, "r": 4, "t": 6, "b": series.BELOW}),
        xaxis=series.time_axis(explanation, places, "y"),
        yaxis={"title": {"text": "band", "font": {"size": 11}}, "showgrid": False, "zeroline": False, "nticks": 5},
    )
    return found
