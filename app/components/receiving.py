"""Files from a browser: read once, then let go, since Streamlit would hold them in memory until the visit ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.components.guard import answering
from app.components.markup import notice
from model_zoo.types import UserError

SMALL = 64  # MiB


def drop(label: str, key: str, help: str | None = None) -> Any:
    """A drop zone for a large file of any kind: the file that just came, to be given to `done`, or None."""
    return st.file_uploader(label, key=_numbered(key), help=help)


def done(key: str, file: Any) -> None:
    """Forget a file of `drop`: the zone is empty again, and its memory is free."""
    _release(file)
    st.session_state[f"drops/{key}"] = st.session_state.get(f"drops/{key}", 0) + 1


def small(label: str, key: str, act: Callable[[bytes, str], None], kinds: str | None = None) -> None:
    """A drop zone for a small file: act(bytes, name) once; what it has against the file is said below the zone."""
    st.file_uploader(label, key=_numbered(key), on_change=_act, args=(key, act), max_upload_size=SMALL, help=kinds)
    told = st.session_state.get(f"drops/{key}/told")
    if told:
        notice(told)


@answering
def _act(key: str, act: Callable[[bytes, str], None]) -> None:
    file = st.session_state.get(_numbered(key))
    if file is None:  # taken away again, or dropped just as the form went away
        return
    st.session_state.pop(f"drops/{key}/told", None)
    try:
        act(file.getvalue(), file.name)
    except UserError as error:
        st.session_state[f"drops/{key}/told"] = str(error)
    finally:
        done(key, file)


def _numbered(key: str) -> str:
    return f"drop/{key}/{st.session_state.get(f'drops/{key}', 0)}"


def _release(file: Any) -> None:
    context = get_script_run_ctx()
    manager = getattr(context, "uploaded_file_mgr", None)
    if context is not None and isinstance(manager, MemoryUploadedFileManager):
        manager.remove_file(context.session_id, file.file_id)
    file.close()
