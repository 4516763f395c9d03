"""One file a screen: PAGE says where it stands, render() draws it. A new file here is a new entry in the menu."""

from __future__ import annotations

import functools
import importlib
import logging
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from app.components.markup import notice

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """A screen's place in the menu."""

    title: str
    icon: str
    url_path: str
    order: int


@dataclass(frozen=True)
class Screen:
    """A page and what draws it."""

    page: Page
    render: Callable[[], None]


@functools.cache
def screens() -> tuple[Screen, ...]:
    """Every screen in the order of the menu."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            found.append(_screen(module.name))
    return tuple(sorted(found, key=lambda one: one.page.order))


def _screen(name: str) -> Screen:
    """A screen; one that does not import stands in the menu and says why."""
    try:
        one = importlib.import_module(f"{__name__}.{name}")
        return Screen(one.PAGE, one.render)
    except Exception as error:  # a stranger's screen may raise anything
        LOG.exception("the screen %s did not load", name)
        reason = f"The screen {name} did not load: {type(error).__name__}: {error}"
        return Screen(Page(name.capitalize(), ":material/error:", name, 99), lambda: notice(reason))
