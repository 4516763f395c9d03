"""Explain: an input, what the model says of it, and why."""

from __future__ import annotations

from concurrent.futures import Future

import streamlit as st

from app import state
from app.backend import shared
from app.components import aiming, asking, choosing, export, headline, host, inputs, prediction, results, seen
from app.components.markup import notice
from app.components.waiting import follow, ready
from app.screens import Page
from app.state import Selection
from explainers.runtime.types import Look
from explainers.sentence import caveats
from explainers.types import Explanation
from model_zoo.types import ModelCard, UserError

PAGE = Page(title="Explain", icon=":material/search_insights:", url_path="explain", order=1)
GIVEN = {"image": "a photo", "text": "a text", "tabular": "a row", "series": "a series", "audio": "a sound"}


def render() -> None:
    """The screen."""
    known = choosing.cards()
    with st.sidebar:
        chosen = choosing.draw(known)
    choosing.say_gone(chosen.model)
    if chosen.model in choosing.mine():
        host.banner()
    st.session_state.pop(state.EXAMINED, None)  # the check-up begins with the model that is chosen here
    state.write_address(chosen)
    card = known[chosen.model]
    jobs = results.jobs(chosen.jobs)
    done = tuple(results.finished(jobs).values())
    asking.restore(card, chosen, jobs)
    if not chosen.input:
        _empty(card)
        return

    ahead = asking.preview(card) or asking.Preview(None, {})
    asked = shared().look(state.owner(), card.id, chosen.input, ahead.kind, **ahead.options)
    look, problem, passing = _answer(asked)

    # Every part has a place of its own from the start, so that nothing of the screen before is left beside it.
    parts = ("rows", "head", "saw", "ask", "found")
    rows, head, saw, ask, found = (st.container(key=f"explain-{part}") for part in parts)
    with rows:
        inputs.picker(card)
    with head:
        _headline(card, chosen, look, done, problem)
    if problem is not None:
        with saw:
            notice(problem)
            if passing:
                st.button("Try again", key="retry", icon=":material/refresh:", on_click=shared().forget_failures)
        return
    with saw:
        left, middle, right = st.columns([4, 4, 3], gap="medium")
        with left:
            if look is None:
                st.skeleton(height=220)
            else:
                seen.draw(look.sample, look.players)
        with middle:
            if look is None:
                follow(asked)
            else:
                prediction.bars(look.prediction)
        with right:
            aiming.target(card, chosen, look)
    with ask:
        asking.methods(card, chosen, look, jobs)
    with found:
        results.draw(jobs)
        export.buttons(done, "explain")


def _empty(card: ModelCard) -> None:
    """A model without an input: nothing is predicted before its owner gives one."""
    rows, head, give = (st.container(key=f"explain-{part}") for part in ("rows", "head", "give"))
    with rows:
        inputs.picker(card)
    with head:
        what = GIVEN.get(card.modality, "an input")
        headline.draw(f"Give {card.title} {what}", "It is predicted and explained here")
    with give:
        inputs.invite(card)


def _answer(asked: Future[Look]) -> tuple[Look | None, str | None, bool]:
    """The look, or None while it is on its way; a sentence if it failed; and whether asking again may help."""
    if not ready(asked):
        return None, None, False
    try:
        return asked.result(), None, False
    except UserError as error:
        return None, str(error), error.__cause__ is not None  # a worker that died or was slow, not the input


def _headline(
    card: ModelCard, chosen: Selection, look: Look | None, done: tuple[Explanation, ...], problem: str | None
) -> None:
    """What a person would say; before anything is explained, what the model says."""
    if done:
        text = headline.leading(done).sentence()
    elif look is not None:
        text = "; ".join([prediction.headline(card, look.prediction), *caveats(look.sample)])
    elif problem is not None:
        text = "This input cannot be read"
    else:
        text = f"Loading {card.title} …"
    headline.draw(text, headline.source(done), f"{card.title} on {chosen.name or 'your input'}")
