"""Runs: what was asked before, opened again without the model; and records that somebody sent."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass

import streamlit as st

from app import state
from app.backend import shared
from app.components import asking, choosing, export, headline, prediction, results, seen, standing, subject
from app.components.guard import answering
from app.components.markup import escape, notice
from app.components.sizes import when
from app.screens import Page
from app.state import Selection
from explainers.record import open_record
from explainers.runtime.types import Job
from explainers.types import Explanation
from model_zoo.modalities.image import ImageView
from model_zoo.types import UserError

PAGE = Page(title="Runs", icon=":material/history:", url_path="runs", order=6)
SHOWN = 10  # runs to a page
_OPEN = "runs-open"
_UPLOAD = "upload-record"
_PAGE = "runs-page"
LARGEST = 64  # MiB of a record
BEGINNING = 60  # characters of a text that tell it from others
THUMBNAIL = 88  # pixels, for 44 on a dense screen


@dataclass(frozen=True)
class Run:
    """The jobs of one click."""

    group: str
    jobs: tuple[Job, ...]  # one an explanation: the newest test of it, where it was tested
    all: tuple[Job, ...]

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
    return [Run(group, tuple(standing.latest(some[::-1])), tuple(some)) for group, some in found.items()]


def _list() -> None:
    st.html('<h1 class="as-headline">Runs</h1>')
    st.file_uploader(
        "Open a record that somebody sent (.assay)", "assay", key=_UPLOAD, on_change=_receive, max_upload_size=LARGEST
    )
    found = runs(shared().runtime.jobs(state.owner()))
    if not found:
        notice("Nothing was run in this browser yet. Explain something first; every run is kept here.", "info")
        return
    pages = -(-len(found) // SHOWN)
    page = min(int(st.session_state.get(_PAGE) or 1), pages)
    for run in found[(page - 1) * SHOWN : page * SHOWN]:
        _line(run)
    if pages > 1:
        st.pagination(pages, key=_PAGE)


def _line(run: Run) -> None:
    job = run.jobs[0]
    methods = ", ".join(results.method_title(one.request.method) for one in run.jobs)
    found = next(iter(results.finished(list(run.jobs)).values()), None)
    says = "" if found is None else f"{prediction.headline(found.card, found.prediction)} · "
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"run-{run.group}"):
        st.html(
            f'<div class="as-run">{_thumbnail(found)}<div><b>{escape(says)}{escape(_about(job))}</b><br>'
            f'<span class="as-quiet">{escape(methods)} · {escape(_model(job))} · {escape(when(job.created))} · '
            f"{escape(run.status)}</span></div></div>"
        )
        st.button("Open", key=f"open/{run.group}", on_click=_go, args=(("open", run.group),))
        st.button(
            "", key=f"delete/{run.group}", icon=":material/delete:", help="Delete", type="tertiary",
            on_click=_delete, args=(run,),
        )  # fmt: skip


def _model(job: Job) -> str:
    found = choosing.cards().get(job.request.model)
    return "a model that is gone" if found is None else found.title


def _input(job: Job) -> str:
    try:
        return shared().runtime.name(job.request.input, state.owner()) or "an input"
    except UserError:
        return "an input that is gone"


def _about(job: Job) -> str:
    """What was explained, so that it can be told from others: a file's name, or how a typed text begins."""
    name = _input(job)
    if name != "typed text":
        return name
    text = " ".join(shared().runtime.read(job.request.input, state.owner())[0].decode("utf-8", "replace").split())
    return f"“{text[:BEGINNING].rstrip()}…”" if len(text) > BEGINNING else f"“{text}”"


def _thumbnail(found: Explanation | None) -> str:
    """The photo of a run that is done, small: from the record, where only the worker's own encoding stands."""
    if found is None or not isinstance(found.sample.view, ImageView):
        return ""
    return f'<img alt="" src="{_small(found.sample.view.photo)}">'


@functools.lru_cache(maxsize=128)
def _small(photo: bytes) -> str:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(photo)) as one:
        square = ImageOps.fit(one.convert("RGB"), (THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    square.save(file, "JPEG", quality=75)
    return seen.uri(file.getvalue())


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
    for job in run.all:
        if job.status in results.ACTIVE:
            shared().runtime.cancel(job.id, state.owner())
        shared().runtime.delete(job.id, state.owner())


def _back() -> None:
    st.button("All runs", icon=":material/arrow_back:", type="tertiary", on_click=_go, args=(None,))


def _opened(group: str) -> None:
    _back()
    jobs = standing.latest(list(reversed(shared().runtime.jobs(state.owner(), group=group))))
    if not jobs:
        notice("This run is not here any more; it was deleted, or it was made in another browser.", "info")
        return
    done = tuple(results.finished(jobs).values())
    job = jobs[0]
    text = headline.leading(done).sentence() if done else job.title
    headline.draw(text, headline.source(done), f"{_model(job)} on {_input(job)}", when(job.created))
    again = "Explain this input again"
    if job.request.model in choosing.cards() and st.button(again, icon=":material/replay:", key="revisit"):
        _revisit(jobs)  # not a callback, which could not go to another screen
        state.go("explain")
    if done:
        subject.draw(done[0])
    results.draw(jobs)
    export.buttons(done, "opened")


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
        _go(("record", shared().runtime.put(file.getvalue(), file.name, state.owner())))


def _record(digest: str) -> None:
    _back()
    data, name = shared().runtime.read(digest, state.owner())
    found = open_record(data).explanations
    first = found[0]
    headline.draw(
        headline.leading(found).sentence(), headline.source(found), name, f"{first.card.title} on {first.sample.name}"
    )
    subject.draw(first)
    results.draw_records(found, f"record/{digest[-12:]}")
