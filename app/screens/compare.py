"""Compare: methods and targets side by side, how far they agree, and what another baseline would change."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

import streamlit as st

from app import state
from app.backend import shared
from app.components import asking, choosing, export, headline, host, inputs, prediction
from app.components.comparing import aims, baselines, good, grid, together, work
from app.components.comparing.aims import Aim
from app.components.comparing.work import Cell
from app.components.guard import answering
from app.components.markup import caption, escape, notice, plain
from app.components.waiting import follow, ready
from app.screens import Page
from app.state import Compared, Selection
from explainers import registry
from explainers.comparing import Comparison, compare
from explainers.runtime.types import Job, Look
from explainers.types import Explanation
from model_zoo.types import ModelCard, UserError

PAGE = Page(title="Compare", icon=":material/compare:", url_path="compare", order=2)
VIEWS = {"methods": "Methods and classes", "baselines": "Baselines"}


def render() -> None:
    """The screen."""
    known = choosing.cards()
    with st.sidebar:
        chosen = choosing.draw(known)
    choosing.say_gone(chosen.model)
    if chosen.model in choosing.mine():
        host.banner()
    card = known[chosen.model]
    if not chosen.input:
        state.write_address(chosen)
        headline.draw(f"Give {card.title} an input", "Its explanations are compared here")
        inputs.invite(card)
        return
    head, body = (st.container(key=f"compare-{part}") for part in ("head", "body"))
    look = _look(card, chosen, head)
    if look is None:
        state.compared(chosen)  # read from the address before it is written
        state.write_address(chosen, state.spelled(state.compared(chosen)))
        return
    now = aims.completed(card, chosen, look)
    with body:
        inputs.picker(card)
        now = _view(now)
        now = good.settle(card, chosen, look, aims.aims(look, now), now)
        now = aims.draw_targets(card, chosen, look, now)
        if now.view == "baselines":
            _keep(chosen, now)
            done = baselines.draw(card, chosen, look, now)
            _title(head, card, chosen, look, None)
            export.buttons(done, "baselines")
        else:
            now = aims.draw_methods(card, now)
            _keep(chosen, now)
            _methods(head, card, chosen, look, now)


def _keep(chosen: Selection, now: Compared) -> None:
    """In the session and in the address, so that a refresh loses nothing."""
    state.compare(chosen, now)
    state.write_address(chosen, state.spelled(now))


def _look(card: ModelCard, chosen: Selection, head: st.delta_generator.DeltaGenerator) -> Look | None:
    """What the model sees in the input; while it is on its way, or where it failed, that is said."""
    asked: Future[Look] = shared().look(state.owner(), card.id, chosen.input)
    with head:
        if not ready(asked):
            headline.draw(f"Loading {card.title} …", f"{card.title} on {chosen.name or 'your input'}")
            st.skeleton(height=240)
            follow(asked)
            return None
        try:
            return asked.result()
        except UserError as error:
            headline.draw("This input cannot be read", f"{card.title} on {chosen.name or 'your input'}")
            notice(str(error))
            if error.__cause__ is not None:
                st.button("Try again", key="retry", icon=":material/refresh:", on_click=shared().forget_failures)
            return None


def _view(now: Compared) -> Compared:
    """Methods and targets, or baselines."""
    st.session_state.setdefault("compare/view", now.view or "methods")
    st.segmented_control(
        "Compare",
        list(VIEWS),
        format_func=lambda one: VIEWS[one],
        key="compare/view",
        required=True,
        label_visibility="collapsed",
    )
    view = st.session_state["compare/view"]
    return replace(now, view="" if view == "methods" else view)


def _title(
    head: st.delta_generator.DeltaGenerator,
    card: ModelCard,
    chosen: Selection,
    look: Look,
    comparison: Comparison | None,
) -> None:
    """What the methods say together; before two have answered, what the model says."""
    about = f"{card.title} on {chosen.name or 'your input'}"
    with head:
        if comparison is None:
            headline.draw(prediction.headline(card, look.prediction), about)
            return
        first, *more = comparison.sentences
        headline.draw(first.rstrip("."), f"About {comparison.explanations[0].target.label}", about)
        if more:
            st.html(f'<p class="as-sentence">{escape(" ".join(more))}</p>')


# -- methods and targets -------------------------------------------------------------------------------------------


def _methods(
    head: st.delta_generator.DeltaGenerator, card: ModelCard, chosen: Selection, look: Look, now: Compared
) -> None:
    rows = aims.aims(look, now)
    cells = tuple(aim.cell(method, now.output) for aim in rows for method in now.methods)
    jobs = {cell: job for cell, job in work.known(now.group).items() if cell in cells}
    _ask(card, chosen, look, cells, jobs)
    work.follow(jobs.values())
    good.reasons(chosen)
    found = work.answers(jobs)
    if cells:
        grid.draw(grid.rows_of(rows, now.methods, now.output), jobs, found)
    comparisons = _compared(rows, now, found)
    told = now.told if now.told in comparisons else min(comparisons, default=0)
    _title(head, card, chosen, look, comparisons.get(told))
    if comparisons:
        _agreement(chosen, rows, comparisons, told)
    elif cells:
        caption("Once two methods have answered, what they agree on stands here.")
    done = tuple(found[cell] for cell in cells if cell in found)
    if done:
        with st.container(horizontal=True, vertical_alignment="center", key="compare-take"):
            export.buttons(done, "compare", tuple(comparisons.values()))
            if st.button("Open them in Explain", key="compare-open", icon=":material/search_insights:"):
                _open(card, chosen, [jobs[rows[told].cell(one, now.output)] for one in now.methods
                                     if rows[told].cell(one, now.output) in found])  # fmt: skip


def _ask(card: ModelCard, chosen: Selection, look: Look, cells: tuple[Cell, ...], jobs: dict[Cell, Job]) -> None:
    """The buttons, and the cost ahead."""
    quick = {one: aims.evaluations(card, look, registry.method(one)) for one in dict.fromkeys(c.method for c in cells)}
    left = tuple(sorted(work.missing(cells, jobs), key=lambda cell: quick[cell.method]))  # cells fill early
    running = [job for job in jobs.values() if job.status in work.ACTIVE]
    with st.container(horizontal=True, vertical_alignment="center", key="compare-ask"):
        if running:
            st.button(
                "Cancel", key="compare-cancel", icon=":material/stop_circle:", on_click=work.cancel, args=(running,)
            )
        else:
            st.button(
                "Compare",
                key="compare-run",
                type="primary",
                icon=":material/play_arrow:",
                disabled=not left,
                on_click=_submit,
                args=(chosen, left),
            )
        good.button(chosen, disabled=bool(running) or not cells)
        if not cells:
            caption("Choose at least one method and one class.")
        elif left and not running:
            seconds, evaluations = aims.ahead(card, look, left)
            work.forecast(len(left), seconds, evaluations)


@answering
def _submit(chosen: Selection, cells: tuple[Cell, ...]) -> None:
    now = state.compared(chosen)
    now = replace(now, group=now.group or work.fresh())
    state.compare(chosen, now)  # before: if one is refused, those before it run and must be seen
    work.submit(chosen, cells, now.group)


def _compared(rows: tuple[Aim, ...], now: Compared, found: dict[Cell, Explanation]) -> dict[int, Comparison]:
    """The comparison of the methods about each target that two have answered, by the target's place."""
    comparisons = {}
    for place, aim in enumerate(rows):
        done = [found[cell] for cell in (aim.cell(one, now.output) for one in now.methods) if cell in found]
        if len(done) > 1:
            comparisons[place] = compare(done)
    return comparisons


def _agreement(chosen: Selection, rows: tuple[Aim, ...], comparisons: dict[int, Comparison], told: int) -> None:
    st.html('<h2 class="as-title as-rowhead">How far they agree</h2>')
    if len(comparisons) > 1:
        key = f"compare/told/{chosen.model}/{chosen.input}"
        if st.session_state.get(key) not in comparisons:
            st.session_state[key] = told
        st.segmented_control(
            "About",
            list(comparisons),
            format_func=lambda place: plain(rows[place].label),
            key=key,
            required=True,
            label_visibility="collapsed",
            on_change=_tell,
            args=(chosen, key),
        )
    together.draw(comparisons[told], f"{chosen.model}/{told}")


def _tell(chosen: Selection, key: str) -> None:
    state.compare(chosen, replace(state.compared(chosen), told=int(st.session_state[key])))


def _open(card: ModelCard, chosen: Selection, jobs: list[Job]) -> None:
    """Show these in full on the screen Explain, with its form set to them."""
    again = replace(chosen, jobs=tuple(job.id for job in jobs))
    state.choose(again)
    asking.adopt(card, again, jobs)
    state.go("explain")
