"""What one person has chosen: a frozen selection kept in the session and in the address, so that a refresh finds it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

COOKIE = "assay_owner"
UPLOAD, EXAMINED = "adding", "examined"  # ids: of the upload whose form is open, of the model that is checked up
_KEY, _PAGES = "selection", "pages"


@dataclass(frozen=True)
class Selection:
    """A model, an input (its digest in the store) and the jobs that are shown."""

    model: str
    input: str  # empty: none yet
    name: str = ""
    jobs: tuple[str, ...] = ()


def current() -> Selection | None:
    """What is chosen, from the session or else from the address; None on a first visit."""
    found = st.session_state.get(_KEY)
    if found is None and "model" in st.query_params:
        jobs = tuple(one for one in st.query_params.get("runs", "").split(",") if one)
        input, name = (st.query_params.get(one, "") for one in ("input", "name"))
        found = Selection(st.query_params["model"], input, name, jobs)
        st.session_state[_KEY] = found
    return found


def choose(selection: Selection) -> None:
    """Make this the selection."""
    st.session_state[_KEY] = selection


def change(**changes: Any) -> None:
    """Replace parts of the selection."""
    found = current()
    if found is not None:
        choose(replace(found, **changes))


def write_address(selection: Selection) -> None:
    """Put the selection into the address, touching it only when it differs."""
    wanted = {"model": selection.model}
    if selection.input:
        wanted["input"] = selection.input
    if selection.name:
        wanted["name"] = selection.name
    if selection.jobs:
        wanted["runs"] = ",".join(selection.jobs)
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def know_pages(pages: dict[str, Any]) -> None:
    """Remember the pages of the menu, so that a screen can send to another."""
    st.session_state[_PAGES] = pages


def go(page: str) -> None:
    """Show another screen, by its url_path."""
    known = st.session_state.get(_PAGES, {})
    if page in known:
        st.switch_page(known[page])


def edit(id: str | None) -> None:
    """Let the screen for one's own model show the form of this upload; None: the drop zone."""
    st.session_state[UPLOAD] = id


def owner() -> str:
    """Who this browser is: a random number in a cookie, so that people find their own runs again."""
    if "owner" not in st.session_state:
        known = st.context.cookies.get(COOKIE, "")
        st.session_state["owner"] = known if known.isalnum() and len(known) == 32 else secrets.token_hex(16)
    return st.session_state["owner"]


def keep_owner() -> None:
    """Write the cookie where the browser has none yet; the script carries nothing that a person typed."""
    if st.context.cookies.get(COOKIE) != owner():
        st.container(key="as-cookie").html(
            f"<script>document.cookie = '{COOKIE}={owner()}; path=/; max-age=31536000; samesite=strict'</script>",
            unsafe_allow_javascript=True,
        )
