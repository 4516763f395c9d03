"""Failures as sentences: what a person can mend says how; anything else is logged, never shown as a traceback."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec

import streamlit as st

from app.components.markup import notice
from model_zoo.types import UserError

UNKNOWN = "Something went wrong here, and nothing was lost. Reload the page; the server's log has the details."
LOG = logging.getLogger(__name__)
P = ParamSpec("P")
_SAID = "said"


def guarded(draw: Callable[P, None]) -> Callable[P, None]:
    """A screen or a fragment whose failure is one sentence in its place."""
    return _sentence(draw, notice)


def answering(act: Callable[P, None]) -> Callable[P, None]:
    """A callback of a widget whose failure is one sentence at the top of the screen that follows."""
    return _sentence(act, lambda text: st.session_state.update({_SAID: text}))


def say() -> None:
    """Show what the last callback had to say, once."""
    if _SAID in st.session_state:
        notice(st.session_state.pop(_SAID))


def _sentence(act: Callable[P, None], tell: Callable[[str], None]) -> Callable[P, None]:
    @functools.wraps(act)
    def safe(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            act(*args, **kwargs)
        except UserError as error:
            tell(str(error))
        except Exception:
            LOG.exception("%s failed", getattr(act, "__name__", "a screen"))
            tell(UNKNOWN)

    return safe
