"""What a person keeps in the workspace: models and inputs of their own, to rename, to take away, to remove."""

from __future__ import annotations

import streamlit as st

from app import state
from app.backend import shared
from app.components import choosing, export
from app.components.guard import answering
from app.components.inputs import IMAGES, RECORDED, best
from app.components.markup import caption, escape, notice, plain, sentence
from app.components.sizes import size, when
from app.state import Selection
from explainers.runtime.types import Kept, Upload
from model_zoo.types import ModelCard, UserError

SHOWN = 20  # inputs at once

SOUNDS = ("wav", "flac", "ogg")


def edit(id: str | None) -> None:
    """Go to the form of an upload; to the drop zone for None."""
    state.edit(id)
    state.go("add")


def examine(id: str) -> None:
    """Show the check-up of a model."""
    st.session_state[state.EXAMINED] = id
    state.go("doctor")


def models() -> None:
    """One's own models; where there are none, an invitation."""
    st.html('<h2 class="as-title">Your models</h2>')
    found = shared().runtime.uploads(state.owner())
    if not found:
        notice(
            "You have not brought a model yet. A file of weights alone will do: PyTorch, safetensors, ONNX, Keras,"
            " TorchScript, Hugging Face, scikit-learn, XGBoost, LightGBM or CatBoost.",
            "info",
        )
    for one in found:
        _model(one)
    room = shared().runtime.quota(state.owner())
    line = f"{size(room.used)} of {size(room.limit)} used by what you keep here." if found or room.used else ""
    told = "This workspace is shared: everybody who can open this page sees these." if shared().runtime.shared else ""
    if line or told:
        caption(" ".join(filter(None, [line, told])))


def _model(one: Upload) -> None:
    about = one.reading.what if one.reading is not None and one.reading.what else one.name
    refused = one.card is None and bool(one.problem)
    unfinished = "" if one.card is not None or refused else "not described yet"
    line = [about, size(one.size), when(one.created), f"on the server at {one.path}" if one.path else "", unfinished]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"mine-{one.id}"):
        st.html(
            f'<div class="as-run"><div><b>{escape(one.title)}</b><br>'
            f'<span class="as-quiet">{" · ".join(escape(part) for part in line if part)}</span>'
            + (f"<div>It could not be opened: {sentence(one.problem)}</div>" if refused else "")
            + "</div></div>",
            width="stretch",
        )
        if refused:
            if one.owner == state.owner():
                _removal(f"the file {one.name}", one.id, _remove, one.id)
            return
        if one.card is None:
            if st.button("Go on", key=f"act/go-on/{one.id}", type="primary"):
                edit(one.id)
        elif st.button("Explain", key=f"act/explain/{one.id}", icon=":material/search_insights:"):
            _explain(one.card)
        if one.owner == state.owner():
            with st.popover("More", help=plain(f"More for {one.title}"), key=f"more/{one.id}"):
                _actions(one)


def _actions(one: Upload) -> None:
    key = f"rename/{one.id}"
    st.session_state.setdefault(key, one.title)
    st.text_input("Name", key=key, max_chars=120, on_change=_rename, args=(one, key))
    if one.card is not None:
        if st.button("Check-up", key=f"act/doctor/{one.id}", icon=":material/stethoscope:", type="tertiary"):
            examine(one.id)
        if st.button("What it takes and returns", key=f"act/edit/{one.id}", icon=":material/edit:", type="tertiary"):
            edit(one.id)
        st.download_button(
            "Save its card",
            one.facts.dump(),
            f"{export.safe(one.title, 'model')}.card.json",
            "application/json",
            key=f"act/card/{one.id}",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )
    _removal(f"the model {one.title}", one.id, _remove, one.id)


def _explain(card: ModelCard) -> None:
    state.choose(best(card))
    state.go("explain")


@answering
def _rename(one: Upload, key: str) -> None:
    title = " ".join(st.session_state[key].split())
    if title and title != one.title:
        shared().runtime.rename(one.id, title, state.owner())
        shared().forget(one.id)
    st.session_state[key] = title or one.title


@answering
def _remove(id: str) -> None:
    shared().runtime.remove(id, state.owner())
    shared().forget(id)


def _removal(what: str, id: str, act: object, argument: str) -> None:
    """A button that asks once before it removes."""
    asked = f"asked/{id}"
    if not st.session_state.get(asked):
        st.button(
            "Remove", key=f"act/remove/{id}", icon=":material/delete:", type="tertiary",
            on_click=st.session_state.__setitem__, args=(asked, True),
        )  # fmt: skip
        return
    caption(f"Remove {what} from the workspace? Runs that were made keep their results.")
    with st.container(horizontal=True):
        st.button(
            "Remove it", key=f"act/removed/{id}", type="primary", on_click=_confirmed, args=(asked, act, argument)
        )
        st.button("Keep it", key=f"act/kept/{id}", on_click=st.session_state.pop, args=(asked, None))


def _confirmed(asked: str, act: object, argument: str) -> None:
    st.session_state.pop(asked, None)
    if callable(act):
        act(argument)


# -- inputs ------------------------------------------------------------------------------------------------------------


def inputs() -> None:
    """One's own inputs, folded away; nothing where there are none."""
    found = shared().runtime.samples(state.owner())
    if not found:
        return
    with st.expander(f"Your inputs ({len(found):,})", key="your-inputs"):
        for one in found[:SHOWN]:
            _input(one)
        if len(found) > SHOWN:
            caption(f"The newest {SHOWN} of {len(found):,}.")


def _input(one: Kept) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"input-{one.digest[-12:]}"):
        st.html(
            f'<div class="as-run"><div><b>{escape(one.name)}</b><br><span class="as-quiet">{size(one.size)} · '
            f"{escape(when(one.created))}</span></div></div>",
            width="stretch",
        )
        if st.button("Open", key=f"act/use/{one.digest}"):
            _use(one)
        with st.popover("More", help=plain(f"More for {one.name}"), key=f"more/{one.digest}"):
            key = f"rename/{one.digest}"
            st.session_state.setdefault(key, one.name)
            st.text_input("Name", key=key, max_chars=200, on_change=_rename_input, args=(one, key))
            _removal(one.name, one.digest, _remove_input, one.digest)


def _use(one: Kept) -> None:
    """Explain this input with the model that is chosen, or with another that takes such inputs; open a record."""
    ending = one.name.rpartition(".")[2].lower()
    if ending == "assay":
        st.session_state["runs-open"] = ("record", one.digest)
        state.go("runs")
    known, chosen = choosing.cards(), state.current()
    kind = "image" if ending in IMAGES else "tabular" if ending in ("json", "csv") else "text"
    kind = "audio" if ending in SOUNDS else kind
    current = known[chosen.model].modality if chosen is not None and chosen.model in known else ""
    if current in RECORDED and ending in RECORDED[current][1]:  # a CSV may be a series
        kind = current
    if not any(one.modality == kind for one in known.values()):
        raise UserError(f"None of the models here takes {one.name}; bring one that does, or choose another input.")
    if chosen is None or chosen.model not in known or known[chosen.model].modality != kind:
        chosen = choosing.first(known, kind)
    if ending == "csv" and kind == "tabular":  # one of its rows is picked there
        st.session_state["csv"] = (one.digest, one.name)
        state.choose(chosen)
    else:
        state.choose(Selection(chosen.model, one.digest, one.name))
    state.go("explain")


@answering
def _rename_input(one: Kept, key: str) -> None:
    name = " ".join(st.session_state[key].split())
    if name and name != one.name:
        shared().runtime.rename_sample(one.digest, name, state.owner())
    st.session_state[key] = name or one.name


@answering
def _remove_input(digest: str) -> None:
    shared().runtime.remove_sample(digest, state.owner())
