"""Series: the names of the channels, and which axis of an input is time."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import saying
from app.components.facts.fields import Fields, box
from model_zoo.facts import Facts

TOLD = ""  # by the names, the layers or the lengths
AXES = {
    TOLD: "as its layers suggest",
    "-1": "along the last axis: (channels, steps)",
    "0": "along the first axis: (steps, channels)",
}


def start(facts: Facts) -> dict[str, Any]:
    """What the fields begin with; "axis" is kept where the form has no choice for it."""
    axis = TOLD if facts.time_axis is None else str(facts.time_axis)
    return {
        "channels": "\n".join(one.name for one in facts.columns),
        "time": axis if axis in AXES else TOLD,
        "axis": facts.time_axis,
    }


def draw(at: Fields) -> None:
    """Names, which may be left out."""
    st.text_area(
        "Names of the channels, in the order that the model takes them",
        key=at.key("channels"),
        height=box(0),
        placeholder="ecg, resp … or nothing: those of the file that is explained",
    )


def more(at: Fields) -> None:
    """Where time lies."""
    st.selectbox("Time runs", list(AXES), format_func=lambda one: AXES[one], key=at.key("time"))


def said(at: Fields) -> Facts:
    """What the fields hold."""
    text, time = at.get("channels") or "", at.get("time") or TOLD
    axis = at.get("axis")
    if time != (TOLD if axis is None or str(axis) not in AXES else str(axis)):
        axis = int(time) if time else None
    return Facts(columns=saying.columns(text) if text.strip() else (), time_axis=axis)
