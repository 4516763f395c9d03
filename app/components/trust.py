"""The trust panel under an explanation: one mark for all evidence, then a line for each test.

A line opens on what the test asks and what it found. One that was not run has a button with its cost ahead; one button
runs all that are missing. Colour never stands alone: each line has a sign and a word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.components.evidence import stressed
from app.components.markup import caption, escape
from explainers import figures, registry
from explainers.figures import curves
from explainers.types import Check, Evidence, Explanation, Verdict
from explainers.verdicts import MARKS
from explainers.words import duration


@dataclass(frozen=True)
class Asks:
    """What can be asked about an explanation whose model is at hand."""

    key: str  # of the widgets
    ask: Callable[[tuple[str, ...]], None]  # runs the tests of these ids
    each: float  # seconds of one evaluation
    busy: bool = False  # tests are running,
    running: tuple[str, ...] = ()  # these
    told: str = ""  # how the last one ended, if it did not come to its end
    failed: bool = False


def draw(found: Explanation, key: str, asks: Asks | None = None) -> Any:
    """The panel; where a test is running, the container for its progress."""
    with st.container(gap=None, key=f"trust/{key}"):
        overall(found)
        for check in lines(found, asks is not None):
            _line(found, check, asks)
        room = None
        if asks is not None and asks.busy:
            room = st.container(key=f"testing/{key}")
            room.empty()  # a fragment may write only into a container that the whole screen has written into
        elif asks is not None:
            _all(found, asks)
        _curves(found, key)
    return room


def overall(found: Explanation) -> None:
    """The mark for all evidence, with its sentence."""
    check = found.overall
    shown = MARKS[check.verdict]
    st.html(
        f'<div class="as-overall as-{shown.tone}"><span class="as-sign" aria-hidden="true">{shown.sign}</span>'
        f"<div>{stressed(check.sentence)}</div></div>"
    )


def lines(found: Explanation, whole: bool = True) -> tuple[Check, ...]:
    """Every line of the panel in order; whole: also those of which the record says nothing, as not run."""
    kept = {one.id: one for one in found.evidence}
    for one in registry.checks() if whole else ():
        if one.on_demand and one.id not in kept:
            kept[one.id] = Check(one.id, one.label, Verdict.NOT_RUN, "Not run.")
    order = {one.id: one.order for one in registry.checks()}
    return tuple(sorted(kept.values(), key=lambda one: order.get(one.id, len(order) + 1)))


def missing(found: Explanation) -> tuple[Evidence, ...]:
    """The tests on demand that were not run."""
    known = {one.id: one for one in registry.checks()}
    listed = (known.get(one.id) for one in lines(found) if one.verdict is Verdict.NOT_RUN)
    return tuple(one for one in listed if one is not None and one.on_demand)


def ahead(found: Explanation, tests: tuple[Evidence, ...], each: float) -> str:
    """How long these tests will take, as a forecast in words."""
    return duration(each * sum(one.cost(found) for one in tests))


def _line(found: Explanation, check: Check, asks: Asks | None) -> None:
    """One test; a button beside it where it can be run."""
    known = next((one for one in registry.checks() if one.id == check.id), None)
    question = known.question if known is not None else ""
    runs = asks is not None and not asks.busy and check.verdict is Verdict.NOT_RUN and known is not None
    if asks is None or known is None or not (runs and known.on_demand):
        waits = asks is not None and asks.busy and check.id in asks.running
        st.html(mark(check, question, "under way" if waits else None))
        return
    takes = ahead(found, (known,), asks.each)
    with st.container(horizontal=True, gap=None, vertical_alignment="center", key=f"line/{asks.key}/{check.id}"):
        st.html(mark(check, question, ""))
        st.button(
            f"Test, {takes}",
            key=f"test/{asks.key}/{check.id}",
            type="tertiary",
            help=f"{question} Takes {takes}.",
            on_click=asks.ask,
            args=((check.id,),),
        )


def mark(check: Check, question: str = "", word: str | None = None) -> str:
    """One line as escaped HTML that opens without the server; a bad one is open from the start."""
    shown = MARKS[check.verdict]
    opens = " open" if check.verdict is Verdict.BAD else ""
    asks = f'<p class="as-asks">{escape(question)}</p>' if question else ""
    return (
        f'<details class="as-line as-{shown.tone}"{opens}><summary><span class="as-sign" aria-hidden="true">'
        f'{shown.sign}</span><span class="as-name">{escape(check.label)}</span>'
        f'<span class="as-word">{escape(shown.word if word is None else word)}</span></summary>'
        f"<div>{asks}<p>{stressed(check.sentence)}</p></div></details>"
    )


def _all(found: Explanation, asks: Asks) -> None:
    """How the last tests ended, and the button that runs all that are missing."""
    if asks.told:
        caption(asks.told, wrong=asks.failed)
    left = missing(found)
    if len(left) > 1:
        st.button(
            f"Test it fully, {ahead(found, left, asks.each)}",
            key=f"test/{asks.key}/all",
            icon=":material/fact_check:",
            width="stretch",
            on_click=asks.ask,
            args=(tuple(one.id for one in left),),
        )


def _curves(found: Explanation, key: str) -> None:
    """The deletion and insertion curves, folded until somebody wants to see them."""
    picture = curves.picture(found)
    if picture is None:
        return
    with st.expander("Deletion and insertion curves", key=f"curves/{key}"):
        bare = figures.CONFIG | {"displayModeBar": False}  # it would lie over the titles of panels that are so narrow
        st.plotly_chart(picture.content, key=f"plot/{key}/curves", config=bare, alt=picture.title)
        caption(picture.caption)
