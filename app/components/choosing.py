"""The sidebar: which model, and which input of its modality. Whatever is chosen goes into the one selection."""

from __future__ import annotations

import re

import streamlit as st

from app import state
from app.backend import shared
from app.components import inputs
from app.components.guard import answering
from app.components.markup import caption, notice, plain
from app.state import Selection
from explainers.runtime.types import Upload
from model_zoo import catalogue
from model_zoo.types import ModelCard, UserError

KINDS = {"image": "Image", "text": "Text", "tabular": "Table", "series": "Series", "audio": "Sound"}
ICONS = {
    "image": ":material/image:",
    "text": ":material/notes:",
    "tabular": ":material/table_rows:",
    "series": ":material/show_chart:",
    "audio": ":material/graphic_eq:",
}
KEPT = "kept"  # the last selection of each modality
GONE = "gone"  # what is shown in place of a model that is not there any more


def cards() -> dict[str, ModelCard]:
    """The card of every model that this person may use, by id: their own first."""
    own = mine()
    found = shared().runtime.cards(state.owner())
    return {card.id: card for card in sorted(found, key=lambda card: card.id not in own)}


def mine() -> dict[str, Upload]:
    """The models that this person brought, by id."""
    return {one.id: one for one in shared().runtime.uploads(state.owner())}


def selection(known: dict[str, ModelCard]) -> Selection:
    """What is chosen; on a first visit the first model with its best example, so that the screen is never empty."""
    found = state.current()
    gone = found is not None and found.model not in known
    if found is None or gone:
        found = first(known)
    elif not _stored(found.input):
        found = inputs.best(known[found.model])
    if gone:
        st.session_state[GONE] = found.model
    state.choose(found)
    st.session_state.setdefault(KEPT, {})[known[found.model].modality] = found
    return found


def say_gone(shown: str) -> None:
    """Where the model that was asked for is not to be had: a sentence, until another one is chosen."""
    if st.session_state.get(GONE) == shown:
        notice(
            "This model was removed, or somebody else brought it in: it is not among yours. A bundled one is shown"
            " instead; bring your own with “Your own model”.",
            "info",
        )
    else:
        st.session_state.pop(GONE, None)


def first(known: dict[str, ModelCard], modality: str = "") -> Selection:
    """A model of this modality (or of any) with its best example."""
    bundled = {one.id for one in catalogue.cards()}
    fitting = [one for one in known.values() if not modality or one.modality == modality]
    return inputs.best(next((one for one in fitting if one.id in bundled), fitting[0]))


def draw(known: dict[str, ModelCard]) -> Selection:
    """The whole sidebar; returns what is chosen."""
    chosen = selection(known)
    card = known[chosen.model]
    kinds = sorted({one.modality for one in known.values()}, key=list(KINDS).index)
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
    own = mine()
    st.session_state["model"] = card.id
    st.radio(
        "Model",
        models,
        format_func=lambda one: plain(known[one].title),
        captions=[plain(_about(known[one], own)) for one in models],
        key="model",
        on_change=_to_model,
        args=(known,),
    )
    if st.button("Your own model", key="own-model", icon=":material/upload:", width="stretch"):
        state.go("add")
    inputs.draw(card, chosen)
    device = shared().runtime.device()
    caption(f"Runs on {device.name}" if device is not None else "Starting …")
    return chosen


def brief(metric: str) -> str:
    """The first clause of a metric: '75.1 % top-1 on 50,000 photographs'."""
    return re.split(r"[,;.] | \(", metric, maxsplit=1)[0].rstrip(".")


def _about(card: ModelCard, own: dict[str, Upload]) -> str:
    """What stands below a model: what it reaches, or what it was found to be."""
    if card.id not in own:
        return brief(card.metric)
    reading = own[card.id].reading
    return " · ".join(filter(None, ["Yours", brief(reading.what) if reading is not None else card.description]))


def _stored(digest: str) -> bool:
    if not digest:
        return False
    try:
        shared().runtime.name(digest, state.owner())
    except UserError:
        return False
    return True


@answering
def _to_modality(known: dict[str, ModelCard]) -> None:
    wanted = st.session_state["modality"]
    before = st.session_state[KEPT].get(wanted)
    state.choose(before if before is not None and before.model in known else first(known, wanted))


@answering
def _to_model(known: dict[str, ModelCard]) -> None:
    """Another model of the same modality looks at the same input, unless its table has other columns.

    An example is not what every model was made for.
    """
    before, card = state.current(), known[st.session_state["model"]]
    strange = before is not None and inputs.bundled(before) and not inputs.familiar(card)
    if before is None or strange or known[before.model].columns != card.columns:
        state.choose(inputs.best(card))
    else:
        state.change(model=card.id, jobs=())
