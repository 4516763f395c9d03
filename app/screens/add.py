"""Your own model: a file comes in, what it is is found, one form asks the rest, and it stands among the models."""

from __future__ import annotations

import os
from concurrent.futures import Future
from typing import Any

import streamlit as st

from app import config, state
from app.backend import shared
from app.components import host, inputs, receiving
from app.components.facts import form
from app.components.facts.fields import Fields
from app.components.markup import caption, escape, notice, plain
from app.components.sizes import size
from app.components.waiting import follow, ready
from app.screens import Page
from explainers.runtime.types import Upload
from model_zoo import opening
from model_zoo.files import Reading, Trust
from model_zoo.types import ModelCard, UserError

PAGE = Page(title="Your own model", icon=":material/upload:", url_path="add", order=2)
_UPLOAD = "adding"  # the id of the upload whose form is open
OPENING = "Opening it with these facts …"
AGAIN = "Reading it again …"


def render() -> None:
    """The screen: the drop zone, or the form of an upload."""
    id = _showing()
    if not id:
        _invite()
        return
    try:
        upload = shared().runtime.upload(id, state.owner())
    except UserError as error:
        st.html('<h1 class="as-headline">Your own model</h1>')
        notice(str(error), "info")
        st.button("Add a model", key="add-another", on_click=edit, args=(None,), type="primary")
        return
    _form(upload)


def edit(id: str | None) -> None:
    """Open the form of this upload on the next visit of the screen; None shows the drop zone."""
    st.session_state[_UPLOAD] = id


def _showing() -> str | None:
    """The upload that is open: as the session has it, else the address, so that a refresh finds it."""
    if _UPLOAD not in st.session_state:
        st.session_state[_UPLOAD] = st.query_params.get("upload")
    found: str | None = st.session_state[_UPLOAD]
    wanted = {"upload": found} if found else {}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
    return found


# -- a file comes in ---------------------------------------------------------------------------------------------------


def _invite() -> None:
    st.html(
        '<h1 class="as-headline">Your own model</h1><div class="as-quiet">Bring the file that you have: weights alone '
        "will do. What it is is found from the file itself, and you are asked only for what it does not say.</div>"
    )
    host.banner()
    left, right = st.columns([3, 2], gap="large")
    with left:
        file = receiving.drop(f"Drop a model file here, up to {config.UPLOAD_MB >> 10} GB", "model")
        if file is not None:
            _receive(file)
        _told("model")
        if server_files():
            _server_file()
        if shared().runtime.shared:
            caption("This workspace is shared: everybody who can open this page sees the models in it.")
        _unfinished()
    with right:
        _formats()


def server_files() -> bool:
    """Whether the operator named folders of which files may be opened where they lie."""
    return bool(os.environ.get(config.MODELS))


def _receive(file: Any) -> None:
    """Copy it into the store at once, and let the browser's copy go."""
    with st.spinner(f"Copying {plain(file.name)}, {size(file.size)} …"):
        try:
            _open(shared().runtime.receive(file, file.name, state.owner()))
        except UserError as error:
            st.session_state["told/model"] = str(error)
        finally:
            receiving.done("model", file)
    st.rerun()


def _server_file() -> None:
    with st.form("server-file", border=False):
        st.text_input(
            "Or a file or folder on this server",
            key="server-path",
            placeholder=os.environ[config.MODELS].split(os.pathsep)[0] + "/…",
            help="It is read where it lies, and not copied. A folder is one of Hugging Face's.",
        )
        if st.form_submit_button("Open it", icon=":material/folder_open:"):
            try:
                _open(shared().runtime.attach(st.session_state["server-path"].strip(), state.owner()))
            except UserError as error:
                notice(str(error))
            else:
                st.rerun()


def _open(upload: Upload) -> None:
    st.session_state.pop("told/model", None)
    edit(upload.id)


def _told(key: str) -> None:
    """What the last try had against it; it stays until the next one."""
    if st.session_state.get(f"told/{key}"):
        notice(st.session_state[f"told/{key}"])


def _unfinished() -> None:
    """Uploads that are not described yet."""
    for one in shared().runtime.uploads(state.owner()):
        if one.card is None:
            with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"unfinished-{one.id}"):
                st.html(f'<div class="as-run"><div><b>{escape(one.title)}</b><br><span class="as-quiet">'
                        f"{escape(one.name)} · {size(one.size)} · not described yet</span></div></div>")  # fmt: skip
                st.button("Go on", key=f"act/go-on/{one.id}", on_click=edit, args=(one.id,))


def _formats() -> None:
    """What opens, and what does not and why."""
    contained = shared().host().contained
    allowed = (Trust.DATA, Trust.SANDBOX) if contained else (Trust.DATA,)
    if os.environ.get(config.ALLOW_CODE) == "1" and contained:
        allowed = (*allowed, Trust.CODE)
    lines = {True: "", False: ""}
    for one in opening.formats():
        endings = f' <span class="as-quiet">{escape(" ".join(one.endings))}</span>' if one.endings else ""
        lines[one.trust in allowed] += (
            f"<details><summary><b>{escape(one.title)}</b>{endings}</summary><p>{escape(one.summary)}</p></details>"
        )
    st.html(
        f'<div class="as-card"><h2 class="as-title">What opens</h2><div class="as-formats">{lines[True]}</div>'
        + (
            '<details class="as-details"><summary>What is not opened here</summary><div class="as-formats">'
            f"{lines[False]}</div></details>"
            if lines[False]
            else ""
        )
        + '<div class="as-quiet">The bytes decide, not the name. A model runs in a process of its own'
        + (", which can reach neither your files nor the network." if contained else ".")
        + "</div></div>"
    )


# -- what it is, and what it does not say ------------------------------------------------------------------------------


def _form(upload: Upload) -> None:
    backend, key = shared(), f"reading/{upload.id}"
    reading_now = backend.inspect(state.owner(), upload.id, form.asked(upload))
    last: Reading | None = st.session_state.get(key)
    problem = ""
    if ready(reading_now):
        try:
            last = st.session_state[key] = reading_now.result()
        except UserError as error:
            problem = str(error)
    head, body = (st.container(key=f"add-{one}") for one in ("head", "body"))
    with head:
        _head(upload, last)
    if problem:
        with head:
            notice(problem)
    if last is None:
        with body:
            if problem:
                st.button("Try again", key="act/retry", icon=":material/refresh:", on_click=backend.forget_failures)
            else:
                st.skeleton(height=320)
                follow(reading_now)
            _leave(upload)
        return
    with body:
        asking, found = st.columns([3, 2], gap="large")
        with asking:
            at = form.begin(upload, last)
            form.draw(at, last)
            _use(upload, at, last)
        with found:
            _found(last, reading_now, problem)
            form.choices(at, last)


def _head(upload: Upload, reading: Reading | None) -> None:
    what = reading.what if reading is not None else f"Reading {upload.name} …"
    about = [upload.name, reading.title if reading is not None else "", size(upload.size)]
    st.html(
        f'<h1 class="as-headline">{escape(what or upload.title)}</h1>'
        f'<div class="as-quiet">{" · ".join(escape(one) for one in about if one)}</div>'
    )


def _found(reading: Reading, now: Future[Reading], problem: str) -> None:
    """Notes of how it was read, and what the first run had against it."""
    if not now.done():
        caption(AGAIN)
        follow(now)
    if reading.problem and not problem:
        notice(f"A first run did not work yet; the form may mend it. {reading.problem}", "warning")
    for note in reading.notes:
        st.html(f'<div class="as-note">{escape(note)}</div>')
    if not reading.notes and not reading.problem and not reading.choices:
        st.html('<div class="as-note">Please check what was guessed here: the file does not say it.</div>')


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
            st.session_state[_UPLOAD] = None
            state.choose(inputs.best(card))
            state.go("explain")
    _told(upload.id)
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
            f"{upload.id}.card.json",
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
        on_click=edit,
        args=(None,),
    )
