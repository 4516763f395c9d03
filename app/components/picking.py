"""The dialog in which methods are picked: by family, with a line on what each does, and those that do not apply apart.

The screen itself shows the picked ones alone, so that forty methods are not a wall.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

import streamlit as st

from app import state
from app.backend import shared
from app.components.guard import guarded
from app.components.markup import caption, escape, plain
from explainers import registry
from explainers.types import Family, Method
from model_zoo.types import ModelCard

FAMILIES: dict[Family, tuple[str, str]] = {
    "gradient": ("Gradients", "follow the model's own slopes back to the input; quick"),
    "activation": ("Class activation maps", "show which places of a feature map raised the output"),
    "attention": ("Attention", "shows what a transformer looked at"),
    "perturbation": ("Perturbation", "takes parts away, and watches the output"),
    "shapley": ("Shapley values", "share the output fairly among the parts"),
    "surrogate": ("Surrogates", "fit a simple model to the answers nearby"),
}
OPEN = "picking"  # in the session while the dialog is open, so that a finished run does not close it
SEARCH = "picking/search"

Picked = Callable[[], Container[str]]  # the ids of those that are in
Toggle = Callable[[str], None]  # takes a method in or out, by its id


def button(card: ModelCard, picked: Picked, toggle: Toggle) -> None:
    """The button that opens the dialog, and the dialog while it is open."""
    st.button("Add methods", key="add-methods", icon=":material/add:", type="tertiary", on_click=_open)
    if st.session_state.get(OPEN):
        _dialog(card, picked, toggle)


def matching(methods: Iterable[Method], text: str) -> list[Method]:
    """Those in whose names, summary, family, source or library every word of the text occurs."""
    words = text.casefold().split()
    found = []
    for one in methods:
        names = (one.id, one.title, *one.aliases, one.library, one.family, FAMILIES[one.family][0])
        about = (*names, one.summary, one.source)
        if all(any(word in part.casefold() for part in about) for word in words):
            found.append(one)
    return found


def reasons(card: ModelCard) -> dict[str, str]:
    """Why methods do not apply to this model, by their ids: what its card says, and its check-up where one was made."""
    known = shared().examined(state.owner(), card.id)
    found = {one.method: one.reason for one in (known.methods if known is not None else ()) if one.reason}
    told = {one.id: one.why_not(card) for one in registry.methods()}
    return found | {id: reason for id, reason in told.items() if reason is not None}


def _open() -> None:
    st.session_state[OPEN] = True
    st.session_state[SEARCH] = ""


def _close() -> None:
    st.session_state.pop(OPEN, None)


def _dialog(card: ModelCard, picked: Picked, toggle: Toggle) -> None:
    @st.dialog("Methods", width="large", on_dismiss=_close)
    @guarded
    def dialog() -> None:
        with st.container(horizontal=True, vertical_alignment="center", key="picking-top"):
            text = st.text_input(
                "Search",
                key=SEARCH,
                placeholder="Search by name or by what it does, such as SHAP, word, region",
                icon=":material/search:",
                label_visibility="collapsed",
                live=True,
            )
            st.button("Done", key="picked", type="primary", on_click=_close)
        listed, wrong = matching(registry.methods(), text or ""), reasons(card)
        fitting = [one for one in listed if one.id not in wrong]
        families = [[one for one in fitting if one.family == family] for family in FAMILIES]
        _families([one for one in families if one], picked(), toggle)
        if not fitting:
            caption("No method that explains this model is called so." if text else "No method explains this model.")
        _others(card, [(one.title, wrong[one.id]) for one in listed if one.id in wrong])
        if st.session_state.get(OPEN) is None:
            st.rerun()

    dialog()


def _families(families: list[list[Method]], picked: Container[str], toggle: Toggle) -> None:
    """The families in two columns, each below the shorter one so far."""
    heights = [0, 0]
    sides = st.columns(2, gap="medium")
    for methods in families:
        title, about = FAMILIES[methods[0].family]
        side = heights.index(min(heights))
        heights[side] += len(methods) + 1
        with sides[side], st.container(gap="xsmall"):
            st.html(f'<h3 class="as-family">{escape(title)}<span class="as-quiet">{escape(about)}</span></h3>')
            for one in methods:
                _method(one, one.id in picked, toggle)


def _method(one: Method, picked: bool, toggle: Toggle) -> None:
    st.session_state[f"pick/{one.id}"] = picked
    with st.container(gap=None, key=f"pick-{one.id}"):
        st.checkbox(plain(one.title), key=f"pick/{one.id}", on_change=toggle, args=(one.id,))
        st.html(f'<div class="as-quiet">{escape(one.summary)}</div>')


def _others(card: ModelCard, left: list[tuple[str, str]]) -> None:
    """Those that do not apply, each with the sentence why, and those that did not load."""
    left += [(one.name, f"It did not load: {one.reason}") for one in registry.broken()]
    if left:
        does = "do" if len(left) > 1 else "does"
        with st.expander(f"{len(left)} that {does} not apply to {plain(card.title)}", key="others"):
            told = "".join(f"<dt>{escape(title)}</dt><dd>{escape(reason)}</dd>" for title, reason in left)
            st.html(f'<dl class="as-others">{told}</dl>')
