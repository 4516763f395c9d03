"""Runs: what was asked before, opened again without the model; and records that somebody sent."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import streamlit as st

from app import state
from app.backend import shared
from app.components import asking, choosing, export, results
from app.components.guard import answering
from app.components.markup import escape, notice
from app.screens import Page
from app.state import Selection
from explainers.record import open_record
from explainers.runtime.types import Job
from model_zoo.types import UserError

PAGE = Page(title="Runs", icon=":material/history:", url_path="runs", order=3)
SHOWN = 10  # runs to a page
_OPEN = "runs-open"
_UPLOAD = "upload-record"


@dataclass(frozen=True)
class Run:
    """The jobs of one click."""

    group: str
    jobs: tuple[Job, ...]

    @property
    def status(self) -> str:
        """All of their states in a few words."""
        counts = {
            one: sum(job.status == one for job in self.jobs) for one in ("running", "queued", "failed", "cancelled")
        }
        words = [one if len(self.jobs) == 1 else f"{count} {one}" for one, count in counts.items() if count]
        return ", ".join(words) or "done"


def render() -> None:
    """The list, or the one that is open."""
    match _showing():
        case ("open", group):
            _opened(group)
        case ("record", digest):
            _record(digest)
        case _:
            _list()


def runs(jobs: tuple[Job, ...]) -> list[Run]:
    """Jobs by click, in the order given."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.request.group or job.id, []).append(job)
    return [Run(group, tuple(reversed(some))) for group, some in found.items()]


def _list() -> None:
    st.html('<h1 class="as-headline">Runs</h1>')
    st.file_uploader("Open a record that somebody sent (.assay)", "assay", key=_UPLOAD, on_change=_receive)
    found = runs(shared().runtime.jobs(state.owner()))
    if not found:
        notice("Nothing was run in this browser yet. Explain something first; every run is kept here.", "info")
        return
    pages = -(-len(found) // SHOWN)
    page = st.pagination(pages, key="runs-page") if pages > 1 else 1
    for run in found[(page - 1) * SHOWN : page * SHOWN]:
        _line(run)


def _line(run: Run) -> None:
    job = run.jobs[0]
    methods = ", ".join(results.method_title(one.request.method) for one in run.jobs)
    model = next((one.title for one in shared().runtime.cards() if one.id == job.request.model), job.request.model)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"run-{run.group}"):
        st.html(
            f'<div class="as-run"><b>{escape(methods)}</b><br><span class="as-quiet">{escape(when(job.created))} · '
            f"{escape(model)} on {escape(_input(job))} · {escape(run.status)}</span></div>"
        )
        st.button("Open", key=f"open/{run.group}", on_click=_go, args=(("open", run.group),))
        st.button(
            "", key=f"delete/{run.group}", icon=":material/delete:", help="Delete", type="tertiary",
            on_click=_delete, args=(run,),
        )  # fmt: skip


def when(created: str) -> str:
    """An ISO time as people write it, in the server's time zone."""
    try:
        return datetime.datetime.fromisoformat(created).astimezone().strftime("%d %b %Y, %H:%M")
    except ValueError:
        return created


def _input(job: Job) -> str:
    try:
        return shared().runtime.name(job.request.input) or "an input"
    except UserError:
        return "an input that is gone"


def _showing() -> tuple[str, str] | None:
    """What is open: as the session has it, since an address may lose its end while pages change; else the address."""
    if _OPEN not in st.session_state:
        kinds = [kind for kind in ("open", "record") if kind in st.query_params]
        st.session_state[_OPEN] = (kinds[0], st.query_params[kinds[0]]) if kinds else None
    found = st.session_state[_OPEN]
    wanted = {found[0]: found[1]} if found else {}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
    return found


def _go(found: tuple[str, str] | None) -> None:
    """Open this, or the list."""
    st.session_state[_OPEN] = found


@answering
def _delete(run: Run) -> None:
    for job in run.jobs:
        if job.status in results.ACTIVE:
            shared().runtime.cancel(job.id)
        shared().runtime.delete(job.id)


def _back() -> None:
    st.button("All runs", icon=":material/arrow_back:", type="tertiary", on_click=_go, args=(None,))


def _opened(group: str) -> None:
    _back()
    mine = shared().runtime.jobs(state.owner())
    jobs = [job for run in runs(mine) if run.group == group for job in run.jobs]
    if not jobs:
        notice("This run is not here any more; it was deleted, or it was made in another browser.", "info")
        return
    done = tuple(results.finished(jobs).values())
    job = jobs[0]
    _headline(done[0].sentence() if done else job.title, f"{when(job.created)} · {_input(job)}")
    if job.request.model in choosing.cards():
        st.button("Explain this input again", icon=":material/replay:", on_click=_revisit, args=(jobs,), key="revisit")
    results.draw(jobs)
    export.buttons(done, "opened")


@answering
def _revisit(jobs: list[Job]) -> None:
    request = jobs[0].request
    again = Selection(request.model, request.input, _input(jobs[0]), tuple(one.id for one in jobs))
    state.choose(again)
    asking.adopt(choosing.cards()[request.model], again, jobs)


@answering
def _receive() -> None:
    file = st.session_state[_UPLOAD]
    if file is not None:
        open_record(file.getvalue())  # says what is wrong with it
        _go(("record", shared().runtime.put(file.getvalue(), file.name)))


def _record(digest: str) -> None:
    _back()
    data, name = shared().runtime.read(digest)
    found = open_record(data).explanations
    _headline(found[0].sentence(), f"{name} · {found[0].card.title} on {found[0].sample.name}")
    results.draw_records(found, f"record/{digest[-12:]}")


def _headline(text: str, more: str) -> None:
    st.html(f'<h1 class="as-headline">{escape(text)}</h1><div class="as-quiet">{escape(more)}</div>')
