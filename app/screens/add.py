"""Your own model: a file comes in, what it is is found, one form asks the rest, and it stands among the models."""

from __future__ import annotations

from concurrent.futures import Future

import streamlit as st

from app import state
from app.backend import shared
from app.components import bringing, export, inputs
from app.components.facts import form
from app.components.facts.fields import Fields
from app.components.guard import answering
from app.components.markup import caption, escape, notice
from app.components.sizes import size
from app.components.waiting import follow, ready
from app.screens import Page
from explainers.runtime.types import Upload
from model_zoo.files import Reading
from model_zoo.types import ModelCard, UserError

PAGE = Page(title="Your own model", icon=":material/upload:", url_path="add", order=3)
OPENING = "Opening it with these facts …"
AGAIN = "Reading it again …"


def render() -> None:
    """The screen: the drop zone, or the form of an upload."""
    id = _showing()
    if not id:
        bringing.draw()
        return
    try:
        upload = shared().runtime.upload(id, state.owner())
    except UserError as error:
        st.html('<h1 class="as-headline">Your own model</h1>')
        notice(str(error), "info")
        st.button("Add a model", key="add-another", on_click=state.edit, args=(None,), type="primary")
        return
    _form(upload)


def _showing() -> str | None:
    """The upload that is open: as the session has it, else the address, so that a refresh finds it."""
    if state.UPLOAD not in st.session_state:
        st.session_state[state.UPLOAD] = st.query_params.get("upload")
    found: str | None = st.session_state[state.UPLOAD]
    wanted = {"upload": found} if found else {}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
    return found


# -- what it is, and what it does not say ------------------------------------------------------------------------------


def _form(upload: Upload) -> None:
    backend, key = shared(), f"reading/{upload.id}"
    form.resume(upload, backend.draft(state.owner(), upload.id))
    reading_now = backend.inspect(state.owner(), upload.id, form.asked(upload))
    last: Reading | None = st.session_state.get(key)
    problem, passing = "", False
    if ready(reading_now):
        try:
            last = st.session_state[key] = reading_now.result()
        except UserError as error:
            problem, passing = str(error), error.__cause__ is not None  # a worker that died may be back
    head, body = (st.container(key=f"add-{one}") for one in ("head", "body"))
    with head:
        _head(upload, last, problem)
        if f"told/known/{upload.id}" in st.session_state:
            notice(st.session_state[f"told/known/{upload.id}"], "info")
    if problem:
        with head:
            notice(problem)
    if last is None:
        with body:
            if not problem:
                st.skeleton(height=320)
                follow(reading_now)
            with st.container(horizontal=True):
                if passing:
                    st.button("Try again", key="act/retry", icon=":material/refresh:", on_click=backend.forget_failures)
                if problem:
                    st.button(
                        "Remove it", key="act/discard", icon=":material/delete:", on_click=_discard, args=(upload,)
                    )
                _leave(upload)
        return
    with body:
        asking, found = st.columns([3, 2], gap="large")
        opening = f"describing/{upload.id}" in st.session_state
        with asking, st.container(key="add-opening" if opening else "add-answers"):
            at = form.begin(upload, last)
            form.draw(at, last)
            _use(upload, at, last)
        with found:
            _found(at, last, reading_now, problem)
            form.choices(at, last)
        if st.session_state[state.UPLOAD] == upload.id and not opening:
            backend.keep_draft(state.owner(), upload.id, at.all())


@answering
def _discard(upload: Upload) -> None:
    shared().runtime.remove(upload.id, state.owner())
    shared().forget(upload.id)
    state.edit(None)


def _head(upload: Upload, reading: Reading | None, problem: str) -> None:
    missing = f"{upload.name} was not opened" if problem else f"Reading {upload.name} …"
    what = reading.what if reading is not None else missing
    about = [upload.name, reading.title if reading is not None else "", size(upload.size)]
    st.html(
        f'<h1 class="as-headline">{escape(what or upload.title)}</h1>'
        f'<div class="as-quiet">{" · ".join(escape(one) for one in about if one)}</div>'
    )


def _found(at: Fields, reading: Reading, now: Future[Reading], problem: str) -> None:
    """Notes of how it was read, and what the first run had against it."""
    if not now.done():
        caption(AGAIN)
        follow(now)
    if reading.problem and not problem:
        notice(f"A first run did not work yet; the form may mend it. {reading.problem}", "warning")
    for note in reading.notes:
        st.html(f'<div class="as-note">{escape(note)}</div>')
    if form.guessed(at):
        check = f"Please check what was guessed, since the file does not say it: {form.guessed(at)}."
        st.html(f'<div class="as-note">{escape(check)}</div>')


def _use(upload: Upload, at: Fields, reading: Reading) -> None:
    """The button; while the model opens, and where it does not, the form stays as it is."""
    key, told = f"describing/{upload.id}", f"told/{upload.id}"
    future: Future[ModelCard] | None = st.session_state.get(key)
    if future is not None and ready(future):
        del st.session_state[key]
        try:
            card = future.result()
        except UserError as error:
            st.session_state[told] = str(error)
        else:
            state.edit(None)
            state.choose(inputs.best(card))
            state.go("explain")
    bringing.told(upload.id)
    with st.container(horizontal=True, vertical_alignment="center", key="use"):
        st.button(
            "Use this model",
            key="act/use",
            type="primary",
            icon=":material/check:",
            disabled=key in st.session_state,
            on_click=_describe,
            args=(upload, at, reading),
        )
        st.download_button(
            "Save this card",
            form.card(at, reading),
            f"{export.safe(upload.title, 'model')}.card.json",
            "application/json",
            key="act/card",
            icon=":material/download:",
            on_click="ignore",
            help="What you said here, as a file: for the same model elsewhere, or for `assay explain --card`.",
        )
        _leave(upload)
    if key in st.session_state:
        caption(OPENING)
        follow(st.session_state[key])


@answering
def _describe(upload: Upload, at: Fields, reading: Reading) -> None:
    st.session_state.pop(f"told/{upload.id}", None)
    try:
        facts = form.said(at, reading)
    except UserError as error:
        st.session_state[f"told/{upload.id}"] = str(error)
        return
    st.session_state[f"describing/{upload.id}"] = shared().describe(state.owner(), upload.id, facts)


def _leave(upload: Upload) -> None:
    st.button(
        "Another file" if upload.card is None else "Back",
        key="act/another",
        type="tertiary",
        icon=":material/arrow_back:",
        on_click=state.edit,
        args=(None,),
    )
