"""Run a good set: a time budget, methods of different families that fit it, and why these and not the others."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import state
from app.backend import shared
from app.components.comparing import work
from app.components.comparing.aims import Aim, methods_key
from app.components.markup import escape, notice
from app.components.waiting import follow, ready
from app.state import Compared, Selection
from explainers.good_set import GoodSet, counted, good_set, paced
from explainers.runtime.types import Look
from model_zoo.types import ModelCard, UserError

BUDGETS = {5: "5 s", 30: "30 s", 120: "2 min"}
USUAL = 30
_WANTED = "compare-good/wanted"  # (model, input, budget) that is still to be planned


def button(chosen: Selection, disabled: bool) -> None:
    """The button, and the time that it may take."""
    st.session_state.setdefault("compare-good/budget", USUAL)
    st.button(
        "Run a good set",
        key="compare-good",
        icon=":material/auto_awesome:",
        disabled=disabled,
        on_click=_want,
        args=(chosen,),
        help="Methods of different families, which look at the model in different ways: the best founded ones that fit"
        " the time.",
    )
    st.segmented_control(
        "Time for a good set",
        list(BUDGETS),
        format_func=lambda one: BUDGETS[one],
        required=True,
        key="compare-good/budget",
        label_visibility="collapsed",
        width="content",
    )


def _want(chosen: Selection) -> None:
    st.session_state[_WANTED] = (chosen.model, chosen.input, st.session_state["compare-good/budget"])


def settle(card: ModelCard, chosen: Selection, look: Look, aims: tuple[Aim, ...], now: Compared) -> Compared:
    """Where a set was asked for: time the model, pick, tick the methods and run them. Comes before their widgets."""
    wanted = st.session_state.get(_WANTED)
    if wanted is None or wanted[:2] != (chosen.model, chosen.input):
        return now
    timed = shared().doctor(state.owner(), card.id, chosen.input)
    if not ready(timed):
        notice(f"Timing {card.title} and asking which methods would be wrong for it …", "info")
        follow(timed, timed=True)
        return now
    del st.session_state[_WANTED]
    try:
        examined = timed.result()
    except UserError as error:
        notice(str(error))
        return now
    pace, refused = paced(examined, lambda method: shared().runtime.past(card.id, method))
    found = good_set(
        card, lambda method: counted(card, look.sample, method), wanted[2] / max(1, len(aims)), pace, refused
    )
    shared().keep_draft(state.owner(), _draft(chosen), {"found": found, "targets": len(aims), "budget": wanted[2]})
    if not found.picks:
        return now
    return _run(card, chosen, aims, now, found)


def reasons(chosen: Selection) -> None:
    """Why these, and why the others were left out; for as long as the server remembers."""
    kept = shared().draft(state.owner(), _draft(chosen))
    if not kept:
        return
    found: GoodSet = kept["found"]
    picked = "".join(f"<li><b>{escape(one.method.title)}</b> {escape(one.reason)}</li>" for one in found.picks)
    others = "".join(f"<li><b>{escape(one.method.title)}</b> {escape(one.reason)}</li>" for one in found.left)
    each = f" Times are for one of the {kept['targets']} rows of the grid." if kept["targets"] > 1 else ""
    summary = f"{found.sentence}{each}"
    with st.container(border=True, key="compare-reasons", gap="xsmall"):
        st.html(
            f'<h3 class="as-title">A good set for {escape(BUDGETS.get(kept["budget"], ""))}</h3>'
            f'<div class="as-quiet">{escape(summary)}</div><ul class="as-suited">{picked}</ul>'
            f'<details class="as-details"><summary>Why not the other {len(found.left)}</summary>'
            f'<ul class="as-reasons">{others}</ul></details>'
        )


def _run(card: ModelCard, chosen: Selection, aims: tuple[Aim, ...], now: Compared, found: GoodSet) -> Compared:
    given = {one.method.id: one.parameters for one in found.picks}
    st.session_state[methods_key(card)] = list(given)
    now = replace(now, methods=tuple(given), group=now.group or work.fresh())
    state.compare(chosen, now)
    jobs = work.known(now.group)
    cells = [aim.cell(method, now.output) for aim in aims for method in given]
    wanted = [
        cell for cell in cells
        if cell in work.missing(cells, jobs) or jobs[cell].request.parameters != given[cell.method]
    ]  # fmt: skip
    try:
        work.submit(chosen, wanted, now.group, given)
    except UserError as error:
        notice(str(error))
    return now


def _draft(chosen: Selection) -> str:
    return f"good set/{chosen.model}/{chosen.input}"
