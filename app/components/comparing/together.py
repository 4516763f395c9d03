"""What the methods say together: how far they agree, where they do, and where they do not."""

from __future__ import annotations

import streamlit as st

from app.components.comparing.grid import WIDTHS, fit, plot
from app.components.markup import caption, escape
from explainers import figures
from explainers.comparing import Comparison

READ = (
    "Rank correlation compares the order of all parts: 1 is the same order, 0 none in common, −1 the reverse."
    " The overlap counts the strongest parts that both name, above what chance gives: 1 is all of them, 0 chance."
    " Methods may share an error: agreement is no proof."
)
MAPS = {
    "consensus": (
        "Consensus",
        "What they give a part on average, those of the other sign counted as nothing; each method has one vote. Values"
        " are shares of its credit.",
    ),
    "disagreement": (
        "Disagreement",
        "How far apart they are about a part: the standard deviation of their shares of the credit.",
    ),
}


def draw(found: Comparison, key: str) -> None:
    """The matrices, and the maps of consensus and disagreement."""
    plot(found.figure(), f"agreement/{key}", "How far they agree")
    caption(f"{_parts(found)} {READ}")
    for column, which in zip(st.columns(2, gap="medium"), ("consensus", "disagreement"), strict=True):
        with column, st.container(border=True, gap="xsmall", height="stretch"):
            _map(found, which, key)


def _map(found: Comparison, which: str, key: str) -> None:
    title, says = MAPS[which]
    st.html(f'<h3 class="as-title">{escape(title)}</h3>')
    values = found.consensus if which == "consensus" else found.disagreement
    if not values.any():
        nothing = "No part has the same sign in two of them." if which == "consensus" else "They say the same."
        caption(nothing)
        return
    picture = figures.pictures(found.shown("consensus" if which == "consensus" else "disagreement"))[0]
    if picture.kind == "html":
        st.html(f'<div class="as-figure">{picture.content}</div>')
    else:
        fit(picture.content, WIDTHS[2])
        plot(picture.content, f"{which}/{key}", title)
    caption(says)


def _parts(found: Comparison) -> str:
    """On what they are compared."""
    kind = found.players.kind
    if kind == "regions":
        return f"Compared over {found.players.count} regions, since what they credit is divided in different ways."
    return f"Compared over {found.players.count:,} {kind}."
