"""How a verdict is shown: a mark and a word, so that colour never carries the meaning alone."""

from __future__ import annotations

from dataclasses import dataclass

from explainers.types import Verdict


@dataclass(frozen=True)
class Mark:
    """A verdict's sign, its word, and a colour that reads on white and on near-black paper alike."""

    sign: str
    word: str
    colour: str


GREEN, AMBER, RED, GREY = "#178a4c", "#ad6a00", "#d9363e", "#767b85"

MARKS: dict[Verdict, Mark] = {
    Verdict.GOOD: Mark("✓", "good", GREEN),
    Verdict.EXACT: Mark("✓", "exact", GREEN),
    Verdict.DOUBTFUL: Mark("~", "doubtful", AMBER),
    Verdict.BAD: Mark("✗", "bad", RED),
    Verdict.BY_CONSTRUCTION: Mark("=", "by construction", GREY),
    Verdict.NOT_APPLICABLE: Mark("–", "does not apply", GREY),
    Verdict.UNTESTABLE: Mark("?", "could not be tested", GREY),
    Verdict.NOT_RUN: Mark("○", "not run", GREY),
}


def mark(verdict: Verdict) -> Mark:
    """The mark of a verdict."""
    return MARKS[verdict]
