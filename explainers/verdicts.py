"""How a verdict is shown: a sign and a word, so that colour never carries the meaning alone."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from explainers.types import Check, Verdict


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
    Verdict.UNTESTABLE: Mark("–", "could not be tested", "quiet"),
    Verdict.NOT_RUN: Mark("–", "not run", "quiet"),
}

RAN = (Verdict.GOOD, Verdict.EXACT, Verdict.DOUBTFUL, Verdict.BAD)
SAID = {
    Verdict.GOOD: "Nothing speaks against this explanation so far",
    Verdict.DOUBTFUL: "Read this explanation with care",
    Verdict.BAD: "**Do not rely on this explanation**",
    Verdict.UNTESTABLE: "This explanation could not be tested",
    Verdict.NOT_RUN: "This explanation was not tested yet",
}


def overall(checks: Iterable[Check]) -> Check:
    """The worst of the core checks that ran, never an average; the others can only lower it, to doubtful.

    What holds by construction counts for nothing, so it is not among those that ran.
    """
    from explainers import registry

    given = tuple(checks)
    beside = {one.id for one in registry.checks() if not one.core}
    core = [one for one in given if one.id not in beside]
    ran = [one for one in core if one.verdict in RAN]
    worst = _worst(ran)
    if worst is None:
        stuck = any(one.verdict is Verdict.UNTESTABLE for one in core)
        worst = Verdict.UNTESTABLE if stuck else Verdict.NOT_RUN
    lowering = [one for one in given if one.id in beside and one.verdict in (Verdict.DOUBTFUL, Verdict.BAD)]
    if lowering and worst is not Verdict.BAD:
        worst = Verdict.DOUBTFUL
    because = [one.label.lower() for one in core if one.verdict is worst and worst in (Verdict.DOUBTFUL, Verdict.BAD)]
    because += [one.label.lower() for one in lowering if worst is Verdict.DOUBTFUL]
    told = f" ({_listed(because)})" if because else ""
    more = sum(one.id in beside and one.verdict in RAN for one in given)
    counted = f"{len(ran)} of the {len(core)} tests that it rests on ran" + (f", and {more} more" if more else "")
    return Check("overall", "Overall", worst, f"{SAID[worst]}{told}; {counted}.", float(len(ran)), "tests that ran")


def _worst(checks: list[Check]) -> Verdict | None:
    found = {one.verdict for one in checks}
    for verdict in (Verdict.BAD, Verdict.DOUBTFUL):
        if verdict in found:
            return verdict
    return Verdict.GOOD if found else None


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
