"""Sounds: how many samples a second the model takes."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.components.facts.fields import Fields
from model_zoo.facts import Facts


def start(facts: Facts) -> dict[str, Any]:
    """What the fields begin with."""
    return {"rate": facts.rate, "axis": facts.time_axis}


def draw(at: Fields) -> None:
    """The rate."""
    st.number_input(
        "Samples a second",
        100.0,
        1_000_000.0,
        key=at.key("rate"),
        step=1000.0,
        format="%g",
        placeholder="as the recording has them",
        help="Recordings at another rate are resampled to this one; most models of speech take 16,000.",
    )


def more(at: Fields) -> None:
    """Nothing."""


def said(at: Fields) -> Facts:
    """What the field holds."""
    return Facts(rate=at.get("rate"), time_axis=at.get("axis"))
