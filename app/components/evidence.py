"""Evidence as small marks, a sign and a word each; a click opens the sentence."""

from __future__ import annotations

import re

import streamlit as st

from app.components.markup import escape
from explainers.types import Check, Verdict
from explainers.verdicts import MARKS


def marks(checks: tuple[Check, ...]) -> None:
    """All checks in one line; those that came out badly are open from the start."""
    if checks:
        st.html(f'<div class="as-marks">{"".join(mark(one) for one in checks)}</div>')


def mark(check: Check) -> str:
    """One check as escaped HTML that opens without the server."""
    opened, shown = " open" if check.verdict is Verdict.BAD else "", MARKS[check.verdict]
    return (
        f'<details class="as-mark as-{check.verdict.value}"{opened}><summary>'
        f'<span class="as-sign" aria-hidden="true">{shown.sign}</span>{escape(check.label)}: '
        f"{shown.word}</summary><p>{stressed(check.sentence)}</p></details>"
    )


def stressed(sentence: str) -> str:
    """A sentence as escaped HTML; its **stern words** are bold."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(sentence))
