"""The sidebar: which model, and which input of its modality. Whatever is chosen goes into the one selection."""

from __future__ import annotations

import re

import streamlit as st

from app import state
from app.backend import shared
from app.components import inputs
from app.components.guard import answering
from app.components.markup import caption, plain
from app.state import Selection
from model_zoo.types import ModelCard, UserError

KINDS = {"image": "Image", "text": "Text", "tabular": "Table"}
ICONS = {"image": ":material/image:", "text": ":material/notes:", "tabular": ":material/table_rows:"}
KEPT = "kept"  # the last selection of each modality


def cards() -> dict[str, ModelCard]:
    """Every model's card by id."""
    return {card.id: card for card in shared().runtime.cards()}


def selection(known: dict[str, ModelCard]) -> Selection:
    """What is chosen; on a first visit the first model with its best example, so that the screen is never empty."""
    found = state.current()
    if found is None or found.model not in known or not _stored(found.input):
        found = first(known)
    state.choose(found)
    st.session_state.setdefault(KEPT, {})[known[found.model].modality] = found
    return found


def first(known: dict[str, ModelCard], modality: str = "") -> Selection:
    """A model of this modality (or of any) with its best example."""
    return inputs.best(next(one for one in known.values() if not modality or one.modality == modality))


def draw(known: dict[str, ModelCard]) -> Selection:
    """The whole sidebar; returns what is chosen."""
    chosen = selection(known)
    card = known[chosen.model]
    kinds = list(dict.fromkeys(one.modality for one in known.values()))
    st.session_state["modality"] = card.modality
    st.segmented_control(
        "Kind of input",
        kinds,
        format_func=lambda one: f"{ICONS.get(one, '')} {KINDS.get(one, one)}",
        key="modality",
        required=True,
        on_change=_to_modality,
        args=(known,),
        label_visibility="collapsed",
        width="stretch",
    )
    models = [one.id for one in known.values() if one.modality == card.modality]
    st.session_state["model"] = card.id
    st.radio(
        "Model",
        models,
        format_func=lambda one: plain(known[one].title),
        captions=[plain(brief(known[one].metric)) for one in models],
        key="model",
        on_change=_to_model,
        args=(known,),
    )
    inputs.draw(card, chosen)
    device = shared().runtime.device()
    caption(f"Runs on {device.name}" if device is not None else "Starting …")
    return chosen


def brief(metric: str) -> str:
    """The first clause of a metric: '75.1 % top-1 on 50,000 photographs'."""
    return re.split(r"[,;.] | \(", metric, maxsplit=1)[0].rstrip(".")


def _stored(digest: str) -> bool:
    try:
        shared().runtime.read(digest)
    except UserError:
        return False
    return True


@answering
def _to_modality(known: dict[str, ModelCard]) -> None:
    wanted = st.session_state["modality"]
    state.choose(st.session_state[KEPT].get(wanted) or first(known, wanted))


@answering
def _to_model(known: dict[str, ModelCard]) -> None:
    """Another model of the same modality looks at the same input, unless its table has other columns."""
    before, card = state.current(), known[st.session_state["model"]]
    if before is None or known[before.model].columns != card.columns:
        state.choose(inputs.best(card))
    else:
        state.change(model=card.id, jobs=())
