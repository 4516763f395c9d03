"""Failures as sentences: what a person can mend says how; anything else is logged, never shown as a traceback."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec

from app.components.markup import notice
from model_zoo.types import UserError

LOG = logging.getLogger(__name__)
P = ParamSpec("P")


def guarded(draw: Callable[P, None]) -> Callable[P, None]:
    """A screen or a fragment whose failure is one sentence in its place."""

    @functools.wraps(draw)
    def safe(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except UserError as error:
            notice(str(error))
        except Exception:
            LOG.exception("%s failed", getattr(draw, "__name__", "a screen"))
            notice(
                "Something went wrong here, and nothing was lost. Reload the page; the server's log has the details."
            )

    return safe
