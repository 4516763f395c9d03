"""The results of one click, side by side: progress while they run, partial pictures, then pictures with evidence.

One small fragment polls while something runs and draws progress only; pictures stand outside of it, so that a zoomed
plot stays as it is. A job that tests an explanation takes the place of the job that made it, and until it is done the
explanation stays in view as it was.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, fields, replace
from typing import Any

import streamlit as st

from app import state
from app.backend import shared
from app.components import export, panel, trust
from app.components.guard import answering, guarded
from app.components.markup import escape, notice
from app.components.standing import ACTIVE, active, back, finished, jobs, key, pace
from explainers import figures, registry
from explainers.credits import method_of
from explainers.runtime.types import Job, Request
from explainers.types import Explanation, Verdict
from explainers.words import duration
from model_zoo.types import UserError

ACROSS = 3  # columns at 1,280 pixels
POLL = 0.5  # seconds between looks at progress
REDRAW = 1.0  # seconds between partial pictures
LONGER = 4  # times the budget, where the values did not settle

__all__ = ["ACTIVE", "active", "draw", "draw_records", "duration", "finished", "jobs", "method_title", "title"]


@dataclass(frozen=True)
class Waiting:
    """A running job's panel: where its progress goes, the partial result that is drawn, and since when."""

    room: Any
    partial: Explanation | None
    drawn: float


def draw(found: list[Job]) -> None:
    """Every job in a column of its own, at most three to a row; one fragment follows all that still run."""
    done = finished(found)
    scales = dict(zip(done, figures.scales(tuple(done.values())), strict=True))
    models = {card.id for card in shared().runtime.cards(state.owner())}
    waiting, across, each = {}, min(len(found), ACROSS), pace(found, done)
    for start in range(0, len(found), ACROSS):
        row = found[start : start + ACROSS]
        for column, job in zip(_columns(across), row, strict=False):
            with column, st.container(border=True, key=f"panel-{key(job)}", gap="xsmall"):
                title(method_title(job.request.method))
                if job.id in done:
                    asks = _asks(job, each) if job.request.model in models else None
                    room = panel.draw(done[job.id], key(job), scales[job.id], across=across, asks=asks)
                    if asks is not None and not asks.busy:
                        _longer(job, done[job.id])
                    if room is not None:
                        waiting[job.id] = Waiting(room, None, time.monotonic())
                elif job.status in ACTIVE:
                    waiting[job.id] = _running(job, across)
                else:
                    _ended(job, across)
    if waiting:
        st.fragment(guarded(_follow), run_every=POLL)(waiting)


def draw_records(explanations: tuple[Explanation, ...], key: str) -> None:
    """Explanations that were read from a file, drawn like the results of a run."""
    scales, across = figures.scales(explanations), min(len(explanations), ACROSS)
    for start in range(0, len(explanations), ACROSS):
        row = explanations[start : start + ACROSS]
        for place, (column, one) in enumerate(zip(_columns(across), row, strict=False), start):
            with column, st.container(border=True, gap="xsmall"):
                title(one.title)
                panel.draw(one, f"{key}/{place}", scales[place], across=across)
    export.buttons(explanations, key)


def title(text: str) -> None:
    """The heading of a panel."""
    st.html(f'<h3 class="as-title">{escape(text)}</h3>')


def _columns(across: int) -> list[Any]:
    """Columns of equal width; a panel alone does not take the whole of a wide screen."""
    return list(st.columns([3, 2] if across == 1 else across, gap="medium"))


def method_title(method: str) -> str:
    """The title of a method, or its id where it is no longer installed."""
    try:
        return registry.method(method).title
    except UserError:
        return method


def _running(job: Job, across: int) -> Waiting:
    """A panel whose job still runs: room for its progress, and what is known so far."""
    room = st.container()
    room.empty()  # a fragment may write only into a container that the whole screen has written into
    partial = shared().runtime.partial(job.id, state.owner())
    if partial is None:
        st.html('<div class="as-waiting" aria-hidden="true"></div>')
    else:
        panel.draw(partial, job.id, across=across, partial=True)
    return Waiting(room, partial, time.monotonic())


def _follow(waiting: dict[str, Waiting]) -> None:
    """Progress of every running job; the whole screen is drawn again when one ends or has something new to show."""
    runtime = shared().runtime
    for id, one in waiting.items():
        try:
            job = runtime.job(id, state.owner())
        except UserError:  # deleted meanwhile
            st.rerun()
        fresh = runtime.partial(id, state.owner()) is not one.partial and time.monotonic() - one.drawn > REDRAW
        if job.status not in ACTIVE or fresh:
            st.rerun()
        share = min(1.0, job.done / job.total) if job.total else 0.0
        with one.room, st.container(horizontal=True, vertical_alignment="bottom"):
            st.progress(share, text=_words(job))
            st.button("Stop", key=f"stop/{id}", on_click=answering(runtime.cancel), args=(id, state.owner()))


def _words(job: Job) -> str:
    if job.status == "queued":
        return "Waiting for its turn"
    if not job.total:
        return "Starting"
    doing = "Testing: " if job.request.of else ""
    return f"{doing}{job.done:,} of {job.total:,} evaluations"


def _asks(job: Job, each: float) -> trust.Asks:
    """What can be tested further, or how the test that runs or ended stands; each: seconds of an evaluation."""
    told = ""
    if job.status not in (*ACTIVE, "done"):
        stopped = "Testing was stopped; what was known before stays."
        told = stopped if job.status == "cancelled" else job.message or "The test failed; try it again."
    ask = functools.partial(_test, job)
    return trust.Asks(key(job), ask, each, job.status in ACTIVE, job.request.evidence, told, job.status == "failed")


def _ended(job: Job, across: int) -> None:
    if job.status == "cancelled":
        notice("Stopped before it was finished.", "info")
        partial = shared().runtime.partial(job.id, state.owner())
        if partial is not None:
            panel.draw(partial, job.id, across=across, partial=True)
    else:
        notice(job.message or "It failed without saying why; run it again.")
    st.button("Run again", key=f"again/{job.id}", icon=":material/refresh:", on_click=_resubmit, args=(job,))


def _longer(job: Job, found: Explanation) -> None:
    """Where the values did not settle: the same once more with a larger budget, and what that will take."""
    settled = any(one.id == "settled" and one.verdict in (Verdict.DOUBTFUL, Verdict.BAD) for one in found.evidence)
    method = method_of(found)
    if not settled or method is None or not method.effort:
        return
    knob = next(one for one in fields(method.params) if one.name == method.effort)
    default: Any = knob.default
    spent = found.provenance.parameters.get(method.effort) or default
    more = min(LONGER * spent, knob.metadata.get("high") or LONGER * spent) if spent else 0
    if not spent or more <= spent:
        return
    st.button(
        f"Run {more / spent:.2g}× longer, {duration(found.cost.seconds * more / spent)}",
        key=f"longer/{job.id}",
        icon=":material/more_time:",
        on_click=_resubmit,
        args=(job, {method.effort: type(default)(more)}),
    )


@answering
def _resubmit(job: Job, parameters: dict[str, Any] | None = None) -> None:
    """The same request again, with other parameters where they are given; it takes the old one's place."""
    given = {**job.request.parameters, **(parameters or {})}
    _instead(job, replace(job.request, parameters=given, of="", evidence=()))


@answering
def _test(job: Job, lines: tuple[str, ...]) -> None:
    """Run more tests on an explanation; the job takes the place of the one that it tests."""
    tested = next(one for one in back(job) if one.status == "done")
    group = tested.request.group or key(job)
    _instead(job, replace(tested.request, of=tested.id, evidence=lines, group=group))


def _instead(job: Job, request: Request) -> None:
    """Submit a request; its job stands where the other stood."""
    fresh = shared().runtime.submit(request, state.owner())
    chosen = state.current()
    if chosen is not None:
        state.change(jobs=tuple(fresh if one == job.id else one for one in chosen.jobs))
