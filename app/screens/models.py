"""Models: one's own first, then what each bundled one is, how good it is, where it is from, and what can explain it."""

from __future__ import annotations

import streamlit as st

from app import broken
from app.components import belongings, host
from app.components.choosing import KINDS
from app.components.markup import escape, notice
from app.screens import Page
from explainers import registry
from model_zoo import catalogue
from model_zoo.types import ModelCard

PAGE = Page(title="Models", icon=":material/deployed_code:", url_path="models", order=4)
TASKS = {
    "classification": "chooses one of {count:,} classes",
    "binary": "decides between {labels}",
    "regression": "predicts {labels}",
}


def render() -> None:
    """The screen."""
    with st.container(horizontal=True, vertical_alignment="center", key="models-head"):
        st.html('<h1 class="as-headline">Models</h1>', width="stretch")
        if st.button("Add your own model", key="add-model", icon=":material/upload:", type="primary"):
            belongings.edit(None)
    host.banner()
    belongings.models()
    belongings.inputs()
    cards = catalogue.cards()
    for kind in dict.fromkeys(card.modality for card in cards):
        st.html(f'<h2 class="as-title">{escape(KINDS.get(kind, kind))}, bundled</h2>')
        columns = st.columns(2, gap="medium")
        for place, card in enumerate(one for one in cards if one.modality == kind):
            with columns[place % 2], st.container(border=True, height="stretch", key=f"card-{card.id}"):
                _card(card)
    for one in broken.sentences():
        notice(one)


def task(card: ModelCard) -> str:
    """What the model does, in words."""
    return TASKS[card.task].format(count=len(card.labels), labels=" and ".join(card.labels[:2]))


def _card(card: ModelCard) -> None:
    facts = {
        "Task": task(card),
        "Takes": card.inputs,
        "Reaches": card.metric,
        "Trained on": card.data,
        "Licence": card.licence,
        "Source": card.source,
        "Digest": card.digest,
    }
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in facts.items()
        if value
    )
    able = [one for one in registry.methods() if one.why_not(card) is None]
    reasons = [one.why_not(card) or "" for one in registry.methods() if one.why_not(card) is not None]
    names = "".join(f"<span>{escape(one.title)}</span>" for one in able)
    why = "".join(f"<li>{escape(one)}</li>" for one in reasons)
    summary = f"<summary>{len(reasons)} do not apply</summary>"
    others = f'<details class="as-details">{summary}<ul class="as-reasons">{why}</ul></details>' if reasons else ""
    st.html(
        f'<div class="as-card"><h3 class="as-title">{escape(card.title)}</h3>'
        f"<div>{escape(card.description)}</div>"
        f'<table class="as-row"><tbody>{rows}</tbody></table>'
        f'<div class="as-quiet">Explained by</div><div class="as-names">{names}</div>{others}</div>'
    )
