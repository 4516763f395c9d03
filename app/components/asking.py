"""What to explain and how: class, kind of number, methods with their forms, the cost ahead, Run and Cancel."""

from __future__ import annotations

import functools
import secrets
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import streamlit as st

from app import state
from app.backend import shared
from app.components import aiming, knobs, picking
from app.components.aiming import OUTPUTS as OUTPUTS
from app.components.aiming import baseline_title as baseline_title
from app.components.guard import answering
from app.components.markup import caption, escape, plain
from app.components.results import ACTIVE, duration
from app.state import Selection
from explainers import registry
from explainers.runtime.types import Job, Look, Request
from explainers.types import Method, validate
from model_zoo.types import ModelCard, UserError

FIRST = {
    "image": ("grad_cam", "integrated_gradients"),
    "text": ("integrated_gradients",),
    "tabular": ("tree_shap", "integrated_gradients"),
    "series": ("integrated_gradients",),
    "audio": ("integrated_gradients",),
}  # what is chosen on a first visit, where it applies
BY_PLAYERS = ("perturbation", "shapley", "surrogate")  # families that switch players on and off
# how the keys of choices begin
CHOICES = ("knob/", "methods/", "target/", "against/", "output/", "baseline/", "players/", "seed/", "facts/")
ROWS = 100  # what a background is taken to have, for the forecast


@dataclass(frozen=True)
class Preview:
    """Players to show before a method uses them."""

    kind: str | None
    options: dict[str, Any]


def keep() -> None:
    """Hold on to what was chosen while its widgets are not on the screen: Streamlit forgets those it does not draw.

    The router calls it before every screen: a bad file, another modality or another screen leave the choices alone.
    """
    for key in list(st.session_state):
        if str(key).startswith(CHOICES) and not str(key).endswith("/reset"):
            st.session_state[key] = st.session_state[key]


def restore(card: ModelCard, chose: Selection, jobs: list[Job]) -> None:
    """After a refresh, choose again what the jobs in the address were asked with."""
    if jobs and _methods_key(card) not in st.session_state:
        adopt(card, chose, jobs)


def adopt(card: ModelCard, chose: Selection, jobs: list[Job]) -> None:
    """Make the choices of these jobs the choices of the form."""
    possible = {one.id: one for one in applying(card)}
    asked = {job.request.method: job.request for job in jobs if job.request.method in possible}
    st.session_state[_methods_key(card)] = list(asked)
    for id, request in asked.items():
        method = possible[id]
        st.session_state[f"against/{aiming.key(card, chose)}"] = request.against
        knobs.put(method, _scope(card), request.parameters)
        wanted = {
            f"target/{aiming.key(card, chose)}": request.target,
            f"output/{card.id}": request.output,
            f"baseline/{card.id}": request.baseline,
            _players_key(card, method): request.players,
            _seed_key(method): request.seed,
        }
        st.session_state.update({key: value for key, value in wanted.items() if value is not None})


def applying(card: ModelCard) -> tuple[Method, ...]:
    """The methods that can explain this model."""
    return tuple(one for one in registry.methods() if one.why_not(card) is None)


def chosen(card: ModelCard) -> tuple[Method, ...]:
    """The methods that are ticked."""
    possible = {one.id: one for one in applying(card)}
    if _methods_key(card) not in st.session_state:
        wanted = [one for one in FIRST.get(card.modality, ()) if one in possible] or list(possible)[:1]
        st.session_state[_methods_key(card)] = wanted[:2]
    return tuple(possible[one] for one in st.session_state[_methods_key(card)] if one in possible)


def preview(card: ModelCard) -> Preview | None:
    """The players of the first ticked method that switches segments or words on and off."""
    for method in chosen(card):
        kind = _kind(card, method)
        if method.family in BY_PLAYERS and kind in ("segments", "words"):
            given = knobs.values(method, _scope(card))
            return Preview(kind, {name: value for name, value in given.items() if name == kind})
    return None


def methods(card: ModelCard, chose: Selection, look: Look | None, running: list[Job]) -> None:
    """The button, the picked methods with their forms, the way to more of them, and the cost ahead."""
    ticked = chosen(card)
    with st.container(horizontal=True, vertical_alignment="center", key="ask"):
        busy = any(job.status in ACTIVE for job in running)
        if busy:
            st.button("Cancel", key="cancel", icon=":material/stop_circle:", on_click=_cancel, args=(running,))
        else:
            st.button(
                "Explain",
                key="run",
                type="primary",
                icon=":material/play_arrow:",
                disabled=not ticked,
                on_click=_submit,
                args=(card, chose, ticked),
            )
        for method in ticked:
            _chip(card, method, look)
        picking.button(card, lambda: _picked(card), functools.partial(_toggle, card))
        caption(_forecast(card, ticked, look) if ticked else "Choose at least one method.")


def _chip(card: ModelCard, method: Method, look: Look | None) -> None:
    """A picked method: its name opens its form, the cross takes it out."""
    with st.container(horizontal=True, gap=None, width="content", vertical_alignment="center", key=f"chip-{method.id}"):
        _popover(card, method, look)
        st.button(
            "",
            key=f"drop/{method.id}",
            icon=":material/close:",
            type="tertiary",
            help=f"Leave out {plain(method.title)}",
            on_click=_toggle,
            args=(card, method.id),
        )


def _picked(card: ModelCard) -> list[str]:
    found: list[str] = st.session_state.get(_methods_key(card), [])
    return found


def _toggle(card: ModelCard, method: str) -> None:
    """Take a method in, after the others, or out."""
    before = _picked(card)
    after = [one for one in before if one != method]
    st.session_state[_methods_key(card)] = after if method in before else [*before, method]


def _popover(card: ModelCard, method: Method, look: Look | None) -> None:
    mark = " •" if knobs.changed(method, _scope(card)) else ""
    with st.popover(plain(method.title) + mark, icon=":material/tune:", type="tertiary", key=f"form/{method.id}"):
        st.html(
            f'<div class="as-about">{escape(method.summary)}<div class="as-quiet">{escape(method.source)}. '
            f"Numbers: {escape(method.library)}.</div></div>"
        )
        knobs.form(method, _scope(card), card.modality)
        kinds = [one for one in (look.player_kinds if look else ()) if _fits(card, method, one)]
        if len(kinds) > 1:
            aiming.among(_players_key(card, method), kinds)
            st.session_state.setdefault(_players_key(card, method), _kind(card, method))
            st.selectbox("Credit goes to", kinds, key=_players_key(card, method))
        if any("samples" in one.name for one in fields(method.params)):  # the others do not throw dice
            st.session_state.setdefault(_seed_key(method), 0)
            st.number_input("Seed", 0, 2**32 - 1, key=_seed_key(method), help="The same seed gives the same values.")


def _fits(card: ModelCard, method: Method, kind: str) -> bool:
    """Pixels are too many to switch one at a time; a method that takes them by default has a way of its own."""
    return (
        kind not in ("pixels", "cells", "samples")
        or method.family not in BY_PLAYERS
        or _default_kind(card, method) == "pixels"
    )


def _forecast(card: ModelCard, ticked: tuple[Method, ...], look: Look | None) -> str:
    """The work ahead: evaluations from the methods, seconds from what the same method took before."""
    total, seconds = 0, 0.0
    for method in ticked:
        count = _evaluations(card, method, look)
        total += count
        before = shared().runtime.past(card.id, method.id)
        if before is None or not before.total:
            seconds = float("nan")
        else:
            seconds += before.seconds * count / before.total
    text = f"About {total:,} evaluation{'' if total == 1 else 's'}"
    return text if seconds != seconds else f"{text}, {duration(seconds)}"


def _evaluations(card: ModelCard, method: Method, look: Look | None) -> int:
    params = validate(method.params, knobs.values(method, _scope(card)))
    players = len(card.columns) or 60
    if look is not None:
        kind = _kind(card, method)
        if look.players is not None and look.players.kind == kind:
            players = look.players.count
        elif kind == "pixels":
            players = int(np.prod(look.sample.x.shape[-2:]))
        elif card.modality == "text":
            players = getattr(look.sample.view, "kept", players) if kind == "words" else len(look.sample.x)
        elif card.modality in ("series", "audio"):
            players = _over_time(look, kind, params)
    rows = ROWS if method.absence == "background" and card.modality == "tabular" else 1
    return int(method.evaluations(params, players, rows))


def _over_time(look: Look, kind: str, params: Any) -> int:
    """About how many players of a kind a series or a sound has."""
    x, axis = look.sample.x, look.sample.view.axis
    if kind in ("spans", "patches"):
        return int(getattr(params, kind, 20 if kind == "spans" else 64))
    if kind in ("steps", "samples"):
        return int(x.shape[axis])
    return int(x.size // x.shape[axis]) if kind in ("channels", "bands") else int(x.size)


@answering
def _submit(card: ModelCard, chose: Selection, ticked: tuple[Method, ...]) -> None:
    """One job a method; all jobs of one click share a group."""
    key, group = aiming.key(card, chose), secrets.token_hex(8)
    shared().forget_failures()
    ids: list[str] = []
    try:
        for method in ticked:
            request = Request(
                model=card.id,
                input=chose.input,
                method=method.id,
                parameters=knobs.values(method, _scope(card)),
                target=st.session_state.get(f"target/{key}"),
                against=st.session_state.get(f"against/{key}"),
                output=st.session_state.get(f"output/{card.id}"),
                baseline=_baseline(card, method),
                players=st.session_state.get(_players_key(card, method)),
                seed=int(st.session_state.get(_seed_key(method)) or 0),
                group=group,
            )
            ids.append(shared().runtime.submit(request, state.owner()))
    finally:  # if one is refused, those before it run and must be seen
        if ids:
            state.change(jobs=tuple(ids))


def _baseline(card: ModelCard, method: Method) -> str | None:
    return st.session_state.get(f"baseline/{card.id}") if method.absence == "baseline" else None


@answering
def _cancel(running: list[Job]) -> None:
    """Stop them all; the last refusal is said once every one was asked."""
    refused: UserError | None = None
    for job in running:
        if job.status in ACTIVE:
            try:
                shared().runtime.cancel(job.id, state.owner())
            except UserError as error:
                refused = error
    if refused is not None:
        raise refused


def _kind(card: ModelCard, method: Method) -> str:
    return st.session_state.get(_players_key(card, method)) or _default_kind(card, method)


def _default_kind(card: ModelCard, method: Method) -> str:
    finest = {"image": "pixels", "text": "tokens", "tabular": "columns", "series": "cells"}.get(card.modality, "")
    return method.players.get(card.modality) or finest


def _scope(card: ModelCard) -> str:
    return f"knob/{card.modality}"


def _methods_key(card: ModelCard) -> str:
    return f"methods/{card.id}"


def _players_key(card: ModelCard, method: Method) -> str:
    return f"players/{card.id}/{method.id}"


def _seed_key(method: Method) -> str:
    return f"seed/{method.id}"
