"""Where a model's file comes in: a drop zone, a path of the server, and what opens at all."""

from __future__ import annotations

import os
from typing import Any

import streamlit as st

from app import config, state
from app.backend import shared
from app.components import host, receiving
from app.components.markup import caption, escape, notice, plain
from app.components.sizes import size
from explainers.runtime.types import Upload
from model_zoo import opening
from model_zoo.files import Trust
from model_zoo.types import UserError


def draw() -> None:
    """The drop zone, a path of the server, what is unfinished, and what opens."""
    st.html(
        '<h1 class="as-headline">Your own model</h1><div class="as-quiet">Bring the file that you have: weights alone '
        "will do. What it is is found from the file itself, and you are asked only for what it does not say.</div>"
    )
    host.banner()
    left, right = st.columns([3, 2], gap="large")
    with left:
        file = receiving.drop(f"Drop a model file here, up to {config.UPLOAD_MB >> 10} GiB", "model")
        if file is not None:
            _receive(file)
        told("model")
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
            upload = shared().runtime.receive(file, file.name, state.owner())
            _open(upload)
            if upload.name != file.name:
                st.session_state[f"told/known/{upload.id}"] = f"You already have this file, as {upload.title}."
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
    state.edit(upload.id)


def told(key: str) -> None:
    """What the last try had against it; it stays until the next one."""
    if st.session_state.get(f"told/{key}"):
        notice(st.session_state[f"told/{key}"])


def _unfinished() -> None:
    """Uploads that are not described yet."""
    for one in shared().runtime.uploads(state.owner()):
        if one.card is None and not one.problem:
            with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"unfinished-{one.id}"):
                st.html(f'<div class="as-run"><div><b>{escape(one.title)}</b><br><span class="as-quiet">'
                        f"{escape(one.name)} · {size(one.size)} · not described yet</span></div></div>")  # fmt: skip
                st.button("Go on", key=f"act/go-on/{one.id}", on_click=state.edit, args=(one.id,))


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
