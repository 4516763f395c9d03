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
from dataclasses import dataclass, replace
from typing import Any, Literal

from explainers.figures._style import CONFIG, extent, limit
from explainers.sentence import warning
from explainers.types import Explanation, Verdict

__all__ = ["CONFIG", "Picture", "Scale", "main", "pictures", "scale", "scales"]


NAMED = 5  # neighbours on the same scale that are named
SPAN = 5.0  # compared pictures share a scale while the smallest range is at least this part of the largest


@dataclass(frozen=True)
class Picture:
    """One picture: `content` is a plotly figure, or escaped HTML."""

    id: str
    title: str
    kind: Literal["plotly", "html"]
    content: Any
    caption: str = ""  # one sentence on how to read it
    warning: str = ""  # what the evidence says against it, to stand beside the caption; empty: nothing


class Scale(float):
    """The value of full colour, with what a reader must know of those that are compared by it."""

    titles: tuple[str, ...] = ()  # of all that share it
    low: float = 0.0  # bars reach from here
    high: float = 0.0  # to here

    def others(self, explanation: Explanation) -> str:
        """One sentence that names those that share the scale; empty where it is the explanation's own."""
        names = list(self.titles)
        if explanation.title in names:
            names.remove(explanation.title)
        if not names:
            return ""
        said = list(dict.fromkeys(names))
        if len(said) > NAMED:
            return f"One scale with {len(said):,} other methods."
        listed = said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]
        return f"One scale with {listed}." if listed != explanation.title else "One scale with its neighbour."


def pictures(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """All pictures of an explanation, the main one first: each file in this folder that `draws` it adds its own."""
    found = []
    bad = warning(explanation)
    worst = explanation.overall.verdict is Verdict.BAD
    stern = "Do not rely on this picture" if worst else "Read this picture with care"
    warns = f"{stern}: {bad}." if bad else ""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda one: one.name):
        if module.name.startswith("_"):
            continue
        kind = importlib.import_module(f"{__name__}.{module.name}")
        if hasattr(kind, "ORDER") and kind.draws(explanation):
            found += [(kind.ORDER, replace(picture, warning=warns)) for picture in kind.draw(explanation, scale)]
    return tuple(picture for _, picture in sorted(found, key=lambda one: one[0]))


def main(explanation: Explanation, scale: float | None = None) -> Any:
    """The first plotly figure of the explanation."""
    return next(one.content for one in pictures(explanation, scale) if one.kind == "plotly")


def scale(explanations: Iterable[Explanation]) -> float:
    """The value of full colour for explanations of one unit, so that their colours mean the same; never 0."""
    return max((limit(one) for one in explanations), default=1.0)


def scales(explanations: Sequence[Explanation]) -> tuple[Scale, ...]:
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
    groups: dict[tuple[float, tuple[str, str]], list[Explanation]] = {}
    keys = [(full, _alike(one)) for full, one in zip(found, explanations, strict=True)]
    for key, one in zip(keys, explanations, strict=True):
        groups.setdefault(key, []).append(one)
    shared = {key: _shared(key[0], group) for key, group in groups.items()}
    return tuple(shared[key] for key in keys)


def _shared(full: float, group: Sequence[Explanation]) -> Scale:
    made, extents = Scale(full), [extent(one) for one in group]
    made.titles = tuple(one.title for one in group)
    made.low, made.high = min(low for low, _ in extents), max(high for _, high in extents)
    return made


def _alike(explanation: Explanation) -> tuple[str, str]:
    kind = explanation.players.kind
    return explanation.unit, "words" if kind == "tokens" else kind  # a text is shown by words whichever it is
