"""A series or a sound as a small drawing, one line a channel: an SVG that a page shows beside the prediction."""

from __future__ import annotations

import base64

import numpy as np

from explainers.figures import _curves
from model_zoo.types import Sample

WIDE, HIGH = 360, 44  # pixels of a line
LINES = 8
INK = "#767b85"
POINTS = 400


def uri(sample: Sample) -> str:
    """The drawing as a data URI."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(sample).encode()).decode()}"


def svg(sample: Sample) -> str:
    """The drawing: the first LINES channels, or the envelope of a sound; numbers alone, so nothing needs escaping."""
    view = sample.view
    if len(getattr(view, "low", ())):  # the sound itself, also where the network takes a spectrogram
        pairs = np.stack([view.low, view.high], 1)[:: max(1, 2 * len(view.low) // POINTS)].astype(np.float64)
        rows = [(np.repeat(np.arange(len(pairs)), 2), pairs.reshape(-1))]
    else:
        rows = [_curves.line(row, POINTS) for row in _curves.lines(sample)[:LINES]]
    drawn = [_line(steps, heights, place) for place, (steps, heights) in enumerate(rows)]
    high = HIGH * len(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high}" width="{WIDE}" height="{high}">'
        + "".join(drawn)
        + "</svg>"
    )


def _line(steps: np.ndarray, heights: np.ndarray, place: int) -> str:
    low, high = float(heights.min()), float(heights.max())
    x = steps * ((WIDE - 2) / max(float(steps[-1]), 1.0)) + 1
    y = (place + 0.5) * HIGH - ((heights - (low + high) / 2) / ((high - low) or 1.0)) * (HIGH - 8)
    points = " ".join(f"{one:.1f},{two:.1f}" for one, two in zip(x, y, strict=True))
    return f'<polyline fill="none" stroke="{INK}" stroke-width="1" points="{points}"/>'


def said(sample: Sample) -> str:
    """What was given, in words: '3 channels, 400 steps', '1.50 s at 8,000 samples a second'."""
    view = sample.view
    if sample.modality == "series":
        count = len(view.channels)
        return f"{count:,} channel{'s' * (count != 1)}, {view.steps:,} step{'s' * (view.steps != 1)}"
    if view.seconds:
        return f"{view.seconds:.2f} s at {view.rate:,g} samples a second"
    steps = sample.x.shape[view.axis]
    return f"{steps:,} {'frames' if view.spectrogram else 'samples'}"
