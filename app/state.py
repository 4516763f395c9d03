"""What one person has chosen: a frozen selection kept in the session and in the address, so that a refresh finds it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

COOKIE = "assay_owner"
UPLOAD, EXAMINED = "adding", "examined"  # ids: of the upload whose form is open, of the model that is checked up
_KEY, _PAGES, _COMPARED = "selection", "pages", "compared"


@dataclass(frozen=True)
class Selection:
    """A model, an input (its digest in the store) and the jobs that are shown."""

    model: str
    input: str  # empty: none yet
    name: str = ""
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """What stands side by side on the screen Compare, for one model and one input; what is empty is still to choose."""

    methods: tuple[str, ...] = ()
    targets: tuple[int, ...] = ()
    margin: bool = False  # also why the first target rather than the second
    output: str = ""
    group: str = ""  # the jobs of methods and targets
    view: str = ""  # "baselines", else methods and targets
    under: str = ""  # the method that is shown under every baseline
    varied: str = ""  # the jobs of that
    told: int = 0  # the target whose agreement is shown, by its place


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


def compared(selection: Selection) -> Compared:
    """What is compared of this model and input, from the session or else from the address."""
    known: dict[tuple[str, str], Compared] = st.session_state.setdefault(_COMPARED, {})
    key = (selection.model, selection.input)
    if key not in known:
        here = (st.query_params.get("model"), st.query_params.get("input", ""))
        known[key] = _read() if here == key else Compared()
    return known[key]


def compare(selection: Selection, found: Compared) -> None:
    """Make this what is compared of this model and input."""
    st.session_state.setdefault(_COMPARED, {})[selection.model, selection.input] = found


def _read() -> Compared:
    """What the address says of it; anything may stand there."""
    given = st.query_params.to_dict()
    targets = [one for one in given.get("targets", "").split(",") if one.isdigit() and len(one) < 7]
    told = given.get("told", "")
    return Compared(
        methods=tuple(one for one in given.get("methods", "").split(",") if one),
        targets=tuple(int(one) for one in targets),
        margin=given.get("margin") == "1",
        told=int(told) if told.isdigit() and len(told) < 3 else 0,
        **{one: given.get(one, "") for one in ("output", "group", "view", "under", "varied")},
    )


def spelled(found: Compared) -> dict[str, str]:
    """What is compared, as it stands in the address."""
    parts = {name: getattr(found, name) for name in ("output", "group", "view", "under", "varied")}
    parts |= {"methods": ",".join(found.methods), "targets": ",".join(map(str, found.targets))}
    parts |= {"margin": "1" if found.margin else "", "told": str(found.told or "")}
    return {name: value for name, value in parts.items() if value}


def write_address(selection: Selection, more: dict[str, str] | None = None) -> None:
    """Put the selection, and what a screen adds to it, into the address, touching it only when it differs."""
    wanted = {"model": selection.model}
    if selection.input:
        wanted["input"] = selection.input
    if selection.name:
        wanted["name"] = selection.name
    if selection.jobs:
        wanted["runs"] = ",".join(selection.jobs)
    wanted |= more or {}
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
