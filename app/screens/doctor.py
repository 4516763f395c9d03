"""Check-up: what a model takes and returns, what stands in the way, what can explain it, and its layers as a tree."""

from __future__ import annotations

import streamlit as st

from app import state
from app.backend import shared
from app.components import belongings, choosing, evidence, layers
from app.components.inputs import best
from app.components.markup import escape, notice
from app.components.waiting import follow, ready
from app.saying import checkup
from app.screens import Page
from app.state import Selection
from explainers.diagnosis import Diagnosis, Finding, Suited
from explainers.types import Check, Verdict
from model_zoo.types import ModelCard, UserError

PAGE = Page(title="Check-up", icon=":material/stethoscope:", url_path="doctor", order=5)
MADE_UP = "made-up"
KNOWN = (Verdict.BAD, Verdict.DOUBTFUL)  # of what has to be known before it is explained


def render() -> None:
    """The screen."""
    known = choosing.cards()
    chosen = _chosen(known)
    card = known[chosen]
    head = st.container(key="doctor-title")
    with st.container(horizontal=True, vertical_alignment="bottom", key="doctor-head"):
        st.session_state["doctor/model"] = chosen
        st.selectbox(
            "Model", list(known), format_func=lambda id: plain_title(known[id]), key="doctor/model", on_change=_choose
        )
        digest = _input(card)
    asked = shared().doctor(state.owner(), chosen, digest)
    if not ready(asked):
        head.html(f'<h1 class="as-headline">Examining {escape(card.title)} …</h1>')
        st.skeleton(height=240)
        follow(asked, timed=True)
        return
    try:
        found = asked.result()
    except UserError as error:
        head.html(f'<h1 class="as-headline">{escape(card.title)} could not be examined</h1>')
        notice(str(error))
        st.button("Try again", key="act/again", icon=":material/refresh:", on_click=shared().forget_failures)
        return
    with head:
        _headline(found)
    _draw(found, chosen in choosing.mine())


def plain_title(card: ModelCard) -> str:
    """A card's title in a menu."""
    return " ".join(card.title.split())


def _chosen(known: dict[str, ModelCard]) -> str:
    """The model that was asked for: in the session, in the address, else the selected one."""
    current = state.current()
    wanted = st.session_state.get(state.EXAMINED) or st.query_params.get("model") or (current.model if current else "")
    if wanted and wanted not in known:
        notice(
            "The model that was asked for is not among yours: it was removed, or somebody else brought it in."
            " Choose another.",
            "info",
        )
    found = wanted if wanted in known else next(iter(known))
    st.session_state[state.EXAMINED] = found
    if st.query_params.to_dict() != {"model": found}:
        st.query_params.from_dict({"model": found})
    return found


def _choose() -> None:
    st.session_state[state.EXAMINED] = st.session_state["doctor/model"]


def _input(card: ModelCard) -> str | None:
    """The digest of the input that it is run on; None for one that is made up."""
    current = state.current()
    options: dict[str, Selection] = {}
    if current is not None and current.model == card.id and current.name:
        options[current.input] = current
    example = best(card)
    if example.name:
        options.setdefault(example.input, example)
    chosen = st.selectbox(
        "Input",
        [*options, MADE_UP],
        format_func=lambda one: " ".join(options[one].name.split()) if one in options else "a made-up one",
        key=f"doctor/input/{card.id}",
    )
    return None if chosen == MADE_UP else str(chosen)


def _headline(found: Diagnosis) -> None:
    bad = sum(one.verdict in KNOWN for one in found.findings)
    able = [one for one in found.methods if not one.reason]
    text = f"{found.card.title} can be explained by {len(able)} method{'' if len(able) == 1 else 's'}"
    text += f"; {bad} thing{'s' if bad > 1 else ''} to know" if bad else ""
    st.html(
        f'<h1 class="as-headline">{escape(text)}</h1><div class="as-quiet">'
        f"{escape(f'Run once on {found.sample}, on {found.device}')}</div>"
    )


def _draw(found: Diagnosis, own: bool) -> None:
    with st.container(horizontal=True, key="doctor-go"):
        if st.button("Explain it", key="act/explain", icon=":material/search_insights:", type="primary"):
            current = state.current()
            state.choose(current if current is not None and current.model == found.card.id else best(found.card))
            state.go("explain")
        if own and st.button("What it takes and returns", key="act/edit", icon=":material/edit:"):
            belongings.edit(found.card.id)
    st.html(_figures(found))
    left, right = st.columns(2, gap="large")
    with left:
        st.html('<h2 class="as-title">What was found</h2>' + _findings(found.findings))
    with right:
        st.html('<h2 class="as-title">What can explain it</h2>' + _methods(found.methods))
    if found.parts:
        st.html(f'<h2 class="as-title">Layers ({len(found.parts):,})</h2>')
        layers.draw(found.parts, found.card.id)


def _figures(found: Diagnosis) -> str:
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in checkup.figures(found).items()
    )
    return f'<dl class="as-figures">{rows}</dl>'


def _findings(findings: tuple[Finding, ...]) -> str:
    """What is to be known with its sentence; what is well as marks, of which each opens its own."""
    known = [one for one in findings if one.verdict in KNOWN]
    marks = "".join(_mark(one, opened=False) for one in findings if one.verdict not in KNOWN)
    return "".join(f'<div class="as-finding">{_mark(one, opened=True)}</div>' for one in known) + (
        f'<div class="as-marks as-finding">{marks}</div>' if marks else ""
    )


def _mark(one: Finding, opened: bool) -> str:
    return evidence.mark(Check(one.id, one.label, one.verdict, checkup.sentence(one)), opened)


def _methods(methods: tuple[Suited, ...]) -> str:
    able = "".join(
        f"<li><b>{escape(one.title)}</b>{': ' + escape(one.note) if one.note else ''}</li>"
        for one in methods
        if not one.reason
    )
    not_able = [one for one in methods if one.reason]
    why = "".join(f"<li><b>{escape(one.title)}</b>: {escape(one.reason)}</li>" for one in not_able)
    others = (
        f'<details class="as-details"><summary>{len(not_able)} do not apply</summary><ul class="as-reasons">{why}</ul>'
        "</details>"
        if not_able
        else ""
    )
    return f'<ul class="as-suited">{able}</ul>{others}'
