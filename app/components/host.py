"""What this machine can hold a stranger's model with, where it is less than all: a calm banner."""

from __future__ import annotations

import streamlit as st

from app.backend import shared
from app.components.markup import escape
from explainers.runtime.types import Host


def banner() -> None:
    """Where the sandbox lacks a layer: what is not opened because of that, and every layer in the details."""
    found = shared().host()
    if not found.contained:
        st.html(f'<div class="as-notice as-info" role="status">{escape(found.sentence)}{details(found)}</div>')


def details(found: Host) -> str:
    """The layers as escaped HTML."""
    lines = "".join(
        f'<li><span class="as-sign" aria-hidden="true">{"✓" if one.holds else "✕"}</span><b>{escape(one.label)}</b>: '
        f"{'holds' if one.holds else 'missing'}. {escape(one.sentence)}</li>"
        for one in found.barriers
    )
    return (
        f'<details class="as-details"><summary>What holds on {escape(found.system)}</summary>'
        f'<ul class="as-barriers">{lines}</ul></details>'
    )
