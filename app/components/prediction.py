"""What the model said: the top classes with their probabilities, or the value of a regression."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.components.markup import escape
from explainers import words
from explainers.sentence import headline
from model_zoo.types import Prediction

__all__ = ["bars", "headline"]

TOP, ALL = 5, 10  # bars that are shown; classes of which all are


def bars(found: Prediction) -> None:
    """The most probable classes, each with a bar and its probability."""
    if found.probabilities is None:
        return
    shown = len(found.labels) if len(found.labels) <= ALL else TOP
    order = np.argsort(-found.probabilities, kind="stable")[:shown]
    lines = "".join(
        f'<div class="as-bar"><span class="as-label" title="{escape(found.labels[i])}">{escape(found.labels[i])}</span>'
        f'<span class="as-track"><i style="width:{100 * float(found.probabilities[i]):.2f}%"></i></span>'
        f"<b>{escape(words.percent(float(found.probabilities[i])))}</b></div>"
        for i in order
    )
    rest = len(found.labels) - len(order)
    more = f'<div class="as-quiet">{rest:,} further classes share the rest.</div>' if rest > 0 else ""
    st.html(f'<div class="as-bars" aria-label="Most probable classes">{lines}{more}</div>')
