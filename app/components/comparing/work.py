"""The jobs behind the cells of a grid: which there are, which are still to run, and one line of progress for all.

A cell is a question; the newest job of its group that asks it answers it. So a method that is added runs alone, and one
that is taken away and comes back is there at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import state
from app.backend import shared
from app.components import results
from app.components.guard import answering, guarded
from app.components.markup import caption
from app.state import Selection
from explainers.runtime.types import Job, Request
from explainers.types import Explanation
from model_zoo.types import UserError

POLL = 0.5  # seconds
ACTIVE = ("queued", "running")


@dataclass(frozen=True)
class Cell:
    """One question: a method, and the number that it explains."""

    method: str
    target: int
    against: int | None = None
    output: str | None = None
    baseline: str | None = None


def known(group: str) -> dict[Cell, Job]:
    """The newest job of each question that was asked in this group."""
    found: dict[Cell, Job] = {}
    for job in shared().runtime.jobs(state.owner(), group=group) if group else ():
        asked = job.request
        if asked.target is not None:
            cell = Cell(asked.method, asked.target, asked.against, asked.output, asked.baseline)
            found.setdefault(cell, job)
    return found


def answers(jobs: Mapping[Cell, Job]) -> dict[Cell, Explanation]:
    """The explanations of those that are done."""
    done = results.finished(list(jobs.values()))
    return {cell: done[job.id] for cell, job in jobs.items() if job.id in done}


def missing(cells: Iterable[Cell], jobs: Mapping[Cell, Job]) -> tuple[Cell, ...]:
    """The cells that nobody asked yet, or whose job failed or was stopped."""
    return tuple(one for one in cells if one not in jobs or jobs[one].status in ("failed", "cancelled"))


def fresh() -> str:
    """A new group."""
    return secrets.token_hex(8)


def submit(
    chosen: Selection,
    cells: Iterable[Cell],
    group: str,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Queue one job a cell; parameters are by method, by default those that it had before in this group."""
    shared().forget_failures()
    before: dict[str, dict[str, Any]] = {}
    for cell, job in known(group).items():
        before.setdefault(cell.method, job.request.parameters)
    for cell in cells:
        given = before.get(cell.method, {}) if parameters is None else parameters.get(cell.method, {})
        request = Request(
            model=chosen.model,
            input=chosen.input,
            method=cell.method,
            parameters=dict(given),
            target=cell.target,
            output=cell.output,
            baseline=cell.baseline,
            group=group,
            against=cell.against,
        )
        shared().runtime.submit(request, state.owner())


@answering
def cancel(jobs: Iterable[Job]) -> None:
    """Stop all that still run; the last refusal is said once every one was asked."""
    refused: UserError | None = None
    for job in jobs:
        if job.status in ACTIVE:
            try:
                shared().runtime.cancel(job.id, state.owner())
            except UserError as error:
                refused = error
    if refused is not None:
        raise refused


def follow(jobs: Iterable[Job]) -> None:
    """One line of progress that polls; the whole screen is drawn again when one of them ends."""
    watched = tuple(jobs)
    if any(job.status in ACTIVE for job in watched):
        st.fragment(guarded(_follow), run_every=POLL)(watched)


def _follow(watched: tuple[Job, ...]) -> None:
    now = results.jobs(tuple(job.id for job in watched))
    if [job.status for job in now if job.status not in ACTIVE] != [
        job.status for job in watched if job.status not in ACTIVE
    ] or len(now) != len(watched):
        st.rerun()
    shares = [1.0 if job.status not in ACTIVE else min(1.0, job.done / job.total) if job.total else 0.0 for job in now]
    running = [job for job in now if job.status == "running"]
    done = sum(job.status not in ACTIVE for job in now)
    text = f"{done} of {len(now)} done"
    if running:
        job = running[0]
        text += f" · {results.method_title(job.request.method)}"
        text += f", {job.done:,} of {job.total:,} evaluations" if job.total else ", starting"
    st.progress(sum(shares) / len(shares), text=text)


def forecast(count: int, seconds: float, evaluations: int) -> None:
    """What is ahead, in a quiet line."""
    text = f"{count} to run, about {evaluations:,} evaluation{'' if evaluations == 1 else 's'}"
    caption(text if seconds != seconds else f"{text}, {results.duration(seconds)}")
