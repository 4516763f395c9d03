"""Pictures of an explanation. plotly is imported inside functions.

    pictures(explanation, scale=None) -> tuple[Picture, ...]   # the main one first; a report or a screen shows them in turn
    main(explanation, **options) -> plotly figure
    scale(explanations) -> float                               # one symmetric range for all that are compared
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from explainers.types import Explanation


@dataclass(frozen=True)
class Picture:
    """One picture: `content` is a plotly figure, or escaped HTML."""

    id: str
    title: str
    kind: Literal["plotly", "html"]
    content: Any
    caption: str = ""  # one sentence on how to read it


def pictures(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """All pictures of an explanation, the main one first: each file in this folder that `draws` it adds its own."""
    found = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda one: one.name):
        if module.name.startswith("_"):
            continue
        kind = importlib.import_module(f"{__name__}.{module.name}")
        if hasattr(kind, "ORDER") and kind.draws(explanation):
            found += [(kind.ORDER, picture) for picture in kind.draw(explanation, scale)]
    return tuple(picture for _, picture in sorted(found, key=lambda one: one[0]))


def main(explanation: Explanation, scale: float | None = None) -> Any:
    """The first plotly figure of the explanation."""
    return next(one.content for one in pictures(explanation, scale) if one.kind == "plotly")


def scale(explanations: Iterable[Explanation]) -> float:
    """The largest magnitude among explanations of one unit, so that their colours mean the same; never 0."""
    return max((float(np.abs(one.values).max(initial=0.0)) for one in explanations), default=0.0) or 1.0
