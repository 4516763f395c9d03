"""Pictures of an explanation. plotly is imported inside functions.

pictures(explanation, scale=None) -> tuple[Picture, ...]   # the main one first; a report or a screen shows all
main(explanation, **options) -> plotly figure
scale(explanations) -> float                # one symmetric range for all that are compared
scales(explanations) -> tuple[float, ...]   # the same for a mixed lot: those alike in unit and players share one
CONFIG                                      # plotly's toolbar, for st.plotly_chart(config=...)
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from explainers.figures._style import CONFIG, limit
from explainers.types import Explanation

__all__ = ["CONFIG", "Picture", "main", "pictures", "scale", "scales"]


SPAN = 5.0  # compared pictures share a scale while the smallest range is at least this part of the largest


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
    """The value of full colour for explanations of one unit, so that their colours mean the same; never 0."""
    return max((limit(one) for one in explanations), default=1.0)


def scales(explanations: Sequence[Explanation]) -> tuple[float, ...]:
    """A scale for each explanation: one shared by those of the same unit and the same kind of players.

    A pixel gets thousands of times less than a segment, and a slope is no share: one scale would blank the smaller. For
    the same reason one whose own range is less than 1/SPAN of the largest starts another scale; the legend shows it.
    """
    limits = [limit(one) for one in explanations]
    found = list(limits)
    leaders: dict[tuple[str, str], float] = {}
    for place in sorted(range(len(limits)), key=lambda place: -limits[place]):
        kind = _alike(explanations[place])
        if limits[place] * SPAN < leaders.get(kind, math.inf):
            leaders[kind] = limits[place]
        found[place] = leaders[kind]
    return tuple(found)


def _alike(explanation: Explanation) -> tuple[str, str]:
    kind = explanation.players.kind
    return explanation.unit, "words" if kind == "tokens" else kind  # a text is shown by words whichever it is
