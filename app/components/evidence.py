"""Evidence as small marks, a sign and a word each; a click opens the sentence."""

from __future__ import annotations

import re

import streamlit as st

from app.components.markup import escape
from explainers.types import Check, Verdict
from explainers.verdicts import MARKS

SILENT = (Verdict.NOT_APPLICABLE, Verdict.NOT_RUN)


def marks(checks: tuple[Check, ...]) -> None:
    """The checks that say something, in one line; those that came out badly are open from the start."""
    shown = [one for one in checks if one.verdict not in SILENT]
    if shown:
        st.html(f'<div class="as-marks">{"".join(mark(one) for one in shown)}</div>')


def silent(checks: tuple[Check, ...]) -> str:
    """The checks that do not apply, for the details: 'Adds up, Settled'."""
    return ", ".join(one.label for one in checks if one.verdict in SILENT)


def mark(check: Check, opened: bool = False) -> str:
    """One check as escaped HTML that opens without the server; a bad one is open from the start."""
    opens, shown = " open" if opened or check.verdict is Verdict.BAD else "", MARKS[check.verdict]
    return (
        f'<details class="as-mark as-{check.verdict.value}"{opens}><summary>'
        f'<span class="as-sign" aria-hidden="true">{shown.sign}</span>{escape(check.label)}: '
        f"{shown.word}</summary><p>{stressed(check.sentence)}</p></details>"
    )


def stressed(sentence: str) -> str:
    """A sentence as escaped HTML; its **stern words** are bold."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(sentence))
