"""Work that takes its time: a moment's patience, then a placeholder that comes back by itself."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from typing import Any

import streamlit as st

from app.components.guard import guarded
from app.components.markup import caption

PATIENCE = 0.3  # seconds to wait before a placeholder is drawn
POLL = 0.4


def ready(future: Future[Any]) -> bool:
    """Whether it is done, after a moment."""
    wait([future], timeout=PATIENCE)
    return future.done()


def follow(future: Future[Any], timed: bool = False) -> None:
    """Draw the whole screen again once this is done; timed: say until then how many seconds have passed."""
    began = time.monotonic()

    @guarded
    def look() -> None:
        if future.done():
            st.rerun()
        if timed:
            caption(f"{time.monotonic() - began:.0f} s so far")

    st.fragment(look, run_every=POLL)()
