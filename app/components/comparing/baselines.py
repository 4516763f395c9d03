"""One method under every baseline that the input knows: how far the answer depends on what absence means."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import state
from app.components.aiming import baseline_title
from app.components.comparing import grid, work
from app.components.comparing.aims import Aim, aims, applying
from app.components.comparing.work import Cell
from app.components.guard import answering
from app.components.markup import caption, escape, notice, plain
from app.state import Compared, Selection
from explainers import comparing_words, registry
from explainers.comparing import compare
from explainers.runtime.types import Look
from explainers.types import Explanation, Method
from model_zoo.types import ModelCard


def able(card: ModelCard) -> tuple[Method, ...]:
    """The methods that compare with a baseline."""
    return tuple(one for one in applying(card) if one.absence == "baseline")


def draw(card: ModelCard, chosen: Selection, look: Look, now: Compared) -> tuple[Explanation, ...]:
    """Choose a method, see it under every baseline; another method is asked as soon as it is chosen."""
    methods = able(card)
    if not methods:
        notice(f"None of the methods that apply to {card.title} compares with a single baseline.", "info")
        return ()
    if len(look.baselines) < 2:
        notice("This input knows one baseline only, so there is nothing to compare it with.", "info")
        return ()
    ids = [one.id for one in methods]
    method = now.under if now.under in ids else "integrated_gradients" if "integrated_gradients" in ids else ids[0]
    rows = aims(look, now)
    if not rows:
        caption("Choose at least one class.")
        return ()
    cells = _cells(rows[0], method, now.output, look)
    jobs = work.known(now.varied)
    key = f"compare/under/{card.id}"
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare-under"):
        st.session_state.setdefault(key, method)
        st.selectbox(
            "Method",
            ids,
            format_func=lambda one: plain(registry.method(one).title),
            key=key,
            on_change=_choose,
            args=(card, chosen, look, rows[0], key),
            width=300,
        )
        left = work.missing([cell for _, cell in cells], jobs)
        running = [jobs[cell] for _, cell in cells if cell in jobs and jobs[cell].status in work.ACTIVE]
        if running:
            st.button(
                "Cancel", key="compare-cancel", icon=":material/stop_circle:", on_click=work.cancel, args=(running,)
            )
        elif left:
            st.button(
                "Show it under every baseline",
                key="compare-vary",
                type="primary",
                icon=":material/play_arrow:",
                on_click=_vary,
                args=(chosen, left, method),
            )
    work.follow([jobs[cell] for _, cell in cells if cell in jobs])
    found = {cell: one for cell, one in work.answers(jobs).items() if cell in dict.fromkeys(c for _, c in cells)}
    done = [(name, cell) for name, cell in cells if cell in found]
    if len(done) > 1:
        names = [_said(found[cell], card, str(cell.baseline)) for _, cell in done]
        st.html(
            '<p class="as-sentence">'
            f"{escape(comparing_words.baselines(compare(found[cell] for _, cell in done), names))}</p>"
        )
    grid.draw([(rows[0].label, cells)], jobs, found)
    if len(rows) > 1:
        caption("Shown for the first of the classes above.")
    return tuple(found[cell] for _, cell in done)


def _said(found: Explanation, card: ModelCard, name: str) -> str:
    """A baseline in a sentence: as the run itself says it."""
    return found.reference.sentence if found.reference is not None else baseline_title(card, name).lower()


def _cells(aim: Aim, method: str, output: str, look: Look) -> list[tuple[str, Cell]]:
    """One a baseline, the default first."""
    names = {one: baseline_title(look.card, one) for one in look.baselines}
    first = look.baselines[0]
    return [
        (names[one] + (" (default)" if one == first else ""), aim.cell(method, output, one)) for one in look.baselines
    ]


@answering
def _choose(card: ModelCard, chosen: Selection, look: Look, aim: Aim, key: str) -> None:
    """Another method, which is asked at once."""
    method, now = st.session_state[key], state.compared(chosen)
    state.compare(chosen, replace(now, under=method))
    cells = [cell for _, cell in _cells(aim, method, now.output or card.outputs[0], look)]
    _run(chosen, work.missing(cells, work.known(now.varied)))


@answering
def _vary(chosen: Selection, cells: tuple[Cell, ...], method: str) -> None:
    state.compare(chosen, replace(state.compared(chosen), under=method))
    _run(chosen, cells)


def _run(chosen: Selection, cells: tuple[Cell, ...]) -> None:
    now = state.compared(chosen)
    group = now.varied or work.fresh()
    state.compare(chosen, replace(now, varied=group))  # before: if one is refused, those before it must be seen
    work.submit(chosen, cells, group)
