"""The one sentence above the results: whose it is is said below it, and the best founded method speaks."""

from __future__ import annotations

import streamlit as st

from app.components.markup import escape
from explainers import credits
from explainers.sentence import points
from explainers.types import Explanation, Verdict

TROUBLE = {Verdict.BAD: 2, Verdict.DOUBTFUL: 1}


def draw(text: str, *more: str) -> None:
    """A headline, and a quiet line below it."""
    below = " · ".join(one for one in more if one)
    st.html(f'<h1 class="as-headline">{escape(text)}</h1><div class="as-quiet">{escape(below)}</div>')


def leading(found: tuple[Explanation, ...]) -> Explanation:
    """The explanation whose sentence stands on top; the first of equals.

    Good evidence comes before bad, one that can point at something before one that cannot, shares before sensitivity.
    """
    return min(found, key=lambda one: (_trouble(one), not points(one), not credits.signed(one)))


def source(found: tuple[Explanation, ...]) -> str:
    """Whose sentence it is, where there are several."""
    return f"According to {leading(found).title}" if len(found) > 1 else ""


def _trouble(found: Explanation) -> int:
    return max((TROUBLE.get(one.verdict, 0) for one in found.evidence), default=0)
