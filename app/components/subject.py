"""What an explanation is about, from the explanation alone: the input as the model saw it, and what the model said."""

from __future__ import annotations

import streamlit as st

from app.components import prediction, seen
from explainers.types import Explanation


def draw(found: Explanation) -> None:
    """The input beside the most probable classes, as on the screen where it was asked for; needs no model."""
    left, right, _ = st.columns([4, 4, 3], gap="medium")
    with left:
        seen.draw(found.sample)
    with right:
        prediction.bars(found.prediction)
