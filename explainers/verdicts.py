"""How a verdict is shown: a sign and a word, so that colour never carries the meaning alone."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Literal

from explainers.types import Verdict


def stressed(sentence: str) -> str:
    """A check's sentence as escaped HTML; its **stern words** are bold."""
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(sentence, quote=True))


@dataclass(frozen=True)
class Mark:
    """A verdict's sign, its word, and the tone that a style sheet turns into a colour."""

    sign: str
    word: str
    tone: Literal["good", "doubt", "bad", "quiet"]


MARKS: dict[Verdict, Mark] = {
    Verdict.GOOD: Mark("✓", "good", "good"),
    Verdict.EXACT: Mark("✓", "exact", "good"),
    Verdict.DOUBTFUL: Mark("?", "doubtful", "doubt"),
    Verdict.BAD: Mark("✕", "bad", "bad"),
    Verdict.BY_CONSTRUCTION: Mark("=", "by construction", "quiet"),
    Verdict.NOT_APPLICABLE: Mark("–", "does not apply", "quiet"),
    Verdict.UNTESTABLE: Mark("–", "cannot be tested", "quiet"),
    Verdict.NOT_RUN: Mark("–", "not run", "quiet"),
}
