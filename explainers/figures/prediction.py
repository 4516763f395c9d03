"""What the model says: its most probable classes, or the values of a regression. Not a picture of an explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.figures import _style
from explainers.words import number, percent
from model_zoo.types import Prediction

if TYPE_CHECKING:
    import plotly.graph_objects as go


def classes(prediction: Prediction, count: int = 5) -> tuple[tuple[str, float], ...]:
    """The `count` most probable classes with their probabilities, or the outputs of a regression with their values."""
    if prediction.probabilities is None:
        return tuple((label, float(value)) for label, value in zip(prediction.labels, prediction.raw, strict=True))
    order = np.argsort(-prediction.probabilities, kind="stable")[:count]
    return tuple((prediction.labels[index], float(prediction.probabilities[index])) for index in order)


def top(prediction: Prediction, count: int = 5) -> go.Figure:
    """Horizontal bars of the most probable classes, the predicted one in full colour."""
    import plotly.graph_objects as go

    from explainers.figures.bars import lines

    found = classes(prediction, count)
    values = [value for _, value in found]
    sure = prediction.probabilities is not None
    shown = [percent(value) if sure else number(value) for value in values]
    names = [_style.escape(_style.short(label)) for label, _ in found]
    bold = [f"<b>{name}</b>" if place == 0 else name for place, name in enumerate(names)]
    figure = go.Figure(
        go.Bar(
            orientation="h",
            x=values,
            y=list(range(len(found))),
            width=0.5,
            marker={
                "color": [_style.rgba(_style.GREY, 0.95 if place == 0 else 0.45) for place in range(len(found))],
                "line": {"width": 0},
            },
            hovertext=[f"{_style.escape(label)}<br>{text}" for (label, _), text in zip(found, shown, strict=True)],
            hoverinfo="text",
        )
    )
    lines(figure, bold, shown, "")
    figure.update_layout(height=28 * len(found) + 12, margin={"l": 4, "r": 4, "t": 4, "b": 4})
    figure.update_xaxes(visible=False)
    if sure:
        figure.update_xaxes(range=[0, 1])
    return figure
