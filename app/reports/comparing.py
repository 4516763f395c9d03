"""What was compared, as a section of the report: the sentences, the matrices, and the maps of consensus and rift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from explainers import figures
from explainers.comparing import Comparison

READ = (
    "Rank correlation compares the order of all parts: 1 is the same order, 0 none in common, \u22121 the reverse. The"
    " overlap counts the strongest parts that both name, above what chance gives. Methods may share an error: agreement"
    " is no proof."
)
SAYS: dict[Literal["consensus", "disagreement"], str] = {
    "consensus": "What they give a part on average, those of the other sign counted as nothing.",
    "disagreement": "How far apart they are about a part: the standard deviation of their shares.",
}


def section(found: Comparison, add: Callable[[Any], int]) -> dict[str, Any]:
    """The parts of the section; `add` keeps a figure and returns the number by which the page finds it."""
    first, *more = found.sentences
    kind = found.players.kind
    return {
        "about": found.explanations[0].target.label,
        "headline": first,
        "more": " ".join(more),
        "matrices": {"plot": add(found.figure()), "title": "How far they agree", "caption": READ},
        "over": f"Compared over {found.players.count:,} {kind}: {', '.join(found.names)}.",
        "maps": [_map(found, which, says, add) for which, says in SAYS.items() if getattr(found, which).any()],
    }


def _map(
    found: Comparison, which: Literal["consensus", "disagreement"], says: str, add: Callable[[Any], int]
) -> dict[str, Any]:
    from markupsafe import Markup

    picture = figures.pictures(found.shown(which))[0]
    drawn = {"plot": add(picture.content)} if picture.kind == "plotly" else {"markup": Markup(picture.content)}
    return {"title": which.capitalize(), "caption": says, **drawn}
