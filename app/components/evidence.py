"""Evidence as small marks, a sign and a word each; a click opens the sentence."""

from __future__ import annotations

import re

import streamlit as st

from app.components.markup import escape
from explainers.types import Check, Verdict

SIGNS = {
    Verdict.GOOD: "✓",
    Verdict.EXACT: "✓",
    Verdict.BY_CONSTRUCTION: "=",
    Verdict.DOUBTFUL: "?",
    Verdict.BAD: "✕",
    Verdict.NOT_APPLICABLE: "–",
    Verdict.UNTESTABLE: "–",
    Verdict.NOT_RUN: "–",
}
WORDS = {
    Verdict.GOOD: "good",
    Verdict.EXACT: "exact",
    Verdict.BY_CONSTRUCTION: "by construction",
    Verdict.DOUBTFUL: "doubtful",
    Verdict.BAD: "bad",
    Verdict.NOT_APPLICABLE: "does not apply",
    Verdict.UNTESTABLE: "cannot be tested",
    Verdict.NOT_RUN: "not run",
}


def marks(checks: tuple[Check, ...]) -> None:
    """All checks in one line; those that came out badly are open from the start."""
    if checks:
        st.html(f'<div class="as-marks">{"".join(mark(one) for one in checks)}</div>')


def mark(check: Check) -> str:
    """One check as escaped HTML that opens without the server."""
    opened = " open" if check.verdict is Verdict.BAD else ""
    return (
        f'<details class="as-mark as-{check.verdict.value}"{opened}><summary>'
        f'<span class="as-sign" aria-hidden="true">{SIGNS[check.verdict]}</span>{escape(check.label)}: '
        f"{WORDS[check.verdict]}</summary><p>{stressed(check.sentence)}</p></details>"
    )


def stressed(sentence: str) -> str:
    """A sentence as escaped HTML; its **stern words** are bold."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(sentence))
