"""A rule in words, with how often it holds and how much it covers: escaped HTML that reads as text.

The rule is the explanation's first note, its shares are extras["precision"], extras["precision_low"] (what it is at
least, with 95 % confidence) and extras["coverage"], from 0 to 1.
"""

from __future__ import annotations

from explainers.figures import Picture, _style
from explainers.types import Explanation
from explainers.words import percent

ORDER = 5
NEEDED = ("precision", "precision_low", "coverage")


def draws(explanation: Explanation) -> bool:
    """Explanations that are a rule."""
    return bool(explanation.notes) and all(explanation.extras.get(one) is not None for one in NEEDED)


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The rule; its shares are of copies, so no common scale applies."""
    says = "A rule is one of several that may hold. The bars of its parts are what it loses without them."
    return (Picture("rule", "The rule", "html", markup(explanation), says),)


def markup(explanation: Explanation) -> str:
    """The sentence, and two shares as bars."""
    precision, low, coverage = (float(explanation.extras[one]) for one in NEEDED)
    at_least = f" (at least {percent(low)})" if low < precision else ""
    bars = _bar("It holds in", f"{percent(precision)}{at_least}", precision)
    bars += _bar("It covers", percent(coverage), coverage)
    style = "font-size:1rem;line-height:1.6;overflow-wrap:anywhere"
    return f'<div class="assay-rule"><div style="{style}">{_style.escape(explanation.notes[0])}</div>{bars}</div>'


def _bar(name: str, said: str, share: float) -> str:
    width = 100 * min(1.0, max(0.0, share))
    row = "display:flex;justify-content:space-between;gap:.75rem;font-size:.84rem"
    track = f"height:8px;border-radius:4px;background:{_style.rgba(_style.GREY, 0.18)};overflow:hidden"
    fill = f"height:8px;width:{width:.2f}%;background:{_style.rgba(_style.PLAIN, 0.88)}"
    return (
        f'<div style="margin-top:.6rem;max-width:22rem"><div style="{row}"><span>{name}</span><span>{said}</span></div>'
        f'<div style="{track}"><div style="{fill}"></div></div></div>'
    )
