"""What is said of a comparison: who names the same part, who names another, and about what they differ.

A method names a part that is among its k strongest; in a picture it names the place where its values gather.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explainers import places
from explainers.comparing import Comparison, moved, shares
from explainers.engine.likeness import top
from explainers.words import MINUS, percent

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WELL, SOMEWHAT, HARDLY = 0.6, 0.3, 0.1  # mean rank correlation
LITTLE, MUCH = 0.1, 0.3  # share of the credit that moves
APART = 0.05  # of one's credit: less is no difference worth a word
LISTED = 3


def sentences(found: Comparison) -> tuple[str, ...]:
    """Up to three: what most of them name and who does not, how alike the orders are, the largest rift."""
    return tuple(one for one in (_named(found), _orders(found), _rift(found)) if one)


def baselines(found: Comparison, names: Sequence[str]) -> str:
    """How far the answer moves from the first baseline, the default, to the others; `names` as people call them."""
    shift = [moved(found.maps[0], one) for one in found.maps[1:]]
    known = [one for one in shift if one == one]
    if not known:
        return "No baseline gives a part any credit."
    most = max(known)
    opening = "The answer depends on the baseline" if most > MUCH else "The baseline changes this answer somewhat"
    opening = "The baseline hardly changes this answer" if most <= LITTLE else opening
    order = sorted(range(len(shift)), key=lambda place: -(shift[place] if shift[place] == shift[place] else -1.0))
    told = []
    for place in order[:LISTED]:
        if shift[place] != shift[place]:
            told.append(f"with {names[place + 1]} no part gets any credit")
            continue
        rank = found.matrix[0, place + 1]
        order_said = f" (rank correlation {two(rank)})" if rank == rank else ""
        told.append(f"with {names[place + 1]} {percent(shift[place])} of the credit goes to other parts{order_said}")
    return f"{opening}. Compared with {names[0]}, {_join(told)}."


def _named(found: Comparison) -> str:
    if not found.consensus.any():
        return f"The {_noun(found)} agree on no part."
    picture = found.explanations[0].sample.modality == "image"
    lead, naming, others = _places(found) if picture else _parts(found)
    verb = "point at" if picture else "name"
    among = "" if picture else f" among their {found.k} strongest" if found.k > 1 else " as the strongest"
    count, yes = len(found.names), sum(naming)
    if not lead or yes < 2:
        return f"The {_noun(found)} do not {verb} the same{' place' if picture else ''}{_each(found, others, verb)}."
    if yes == count:
        return f"{'Both' if count == 2 else f'All {_count(count)}'} {_noun(found)} {verb} {lead}{among}."
    head = f"{_count(yes).capitalize()} of {_count(count)} {_noun(found)} {verb} {lead}{among}"
    rest = [place for place, one in enumerate(naming) if not one]
    said = [_instead(found.names[place], others[place], lead, verb) for place in rest[:LISTED]]
    return f"{head}; {_join(said)}."


def _instead(name: str, other: str, lead: str, verb: str) -> str:
    """What one that does not name the leading part does."""
    if not other:
        return f"{name} does not"
    return f"{name} counts it the other way" if other == lead else f"{name} {_verb(verb, 1)} {other} instead"


def _each(found: Comparison, parts: Sequence[str], verb: str) -> str:
    """': A and B name the left, C names the right', of at most LISTED parts."""
    groups: dict[str, list[str]] = {}
    for name, one in zip(found.names, parts, strict=True):
        if one:
            groups.setdefault(one, []).append(name)
    if len(groups) < 2:
        return ""
    told = [f"{_join(who)} {_verb(verb, len(who))} {what}" for what, who in list(groups.items())[:LISTED]]
    return f": {', '.join(told)}"


def _verb(verb: str, count: int) -> str:
    """'names', 'points at' for one."""
    first, *rest = verb.split()
    return " ".join([first + "s" * (count == 1), *rest])


def _parts(found: Comparison) -> tuple[str, list[bool], list[str]]:
    """The part that most have among their strongest with the consensus' sign, who has it, and the first of each."""
    named = np.zeros(found.maps.shape, dtype=bool)
    for row, values, kind in zip(named, found.maps, found.kinds, strict=True):
        row[list(top(values, found.k))] = True
        agrees = values * found.consensus > 0
        row &= agrees if kind in ("signed", "positive") or len(set(found.kinds)) == 1 else values != 0
    weight = np.abs(found.consensus)
    lead = int(np.lexsort((weight, named.sum(0) * (weight > 0)))[-1])
    firsts = [part(found, int(np.argmax(np.abs(row)))) if row.any() else "" for row in found.maps]
    return part(found, lead), [bool(one) for one in named[:, lead]], firsts


def _places(found: Comparison) -> tuple[str, list[bool], list[str]]:
    """Where in the picture the consensus gathers, who gathers there too, and where each does."""
    totals, area = places.mass(found.shown("consensus"))
    sign = 1 if np.clip(totals, 0, None).sum() >= np.clip(-totals, 0, None).sum() else -1
    lead = np.clip(sign * totals, 0, None)
    naming, firsts = [], []
    for one in found.explanations:
        own = np.clip(sign * places.mass(one)[0], 0, None)
        told = places.where(own, area)
        naming.append(bool(told and places.overlap(own, lead, area)))
        firsts.append(_join(told) if told else "")
    told = places.where(lead, area)
    return _join(told) if told else "", naming, firsts


def part(found: Comparison, player: int) -> str:
    """A part as it is told."""
    name = found.players.name(player)
    return f"“{name}”" if found.explanations[0].sample.modality == "text" else name


def _orders(found: Comparison) -> str:
    """How alike the orders of all parts are; of several pairs also the closest and the farthest."""
    above = [(found.matrix[i, j], i, j) for i in range(len(found.names)) for j in range(i)]
    known = sorted(one for one in above if one[0] == one[0])
    if not known:
        return ""
    mean = float(np.mean([one for one, _, _ in known]))
    words = "run against each other" if mean < -HARDLY else "have little in common"
    words = "agree somewhat" if mean > SOMEWHAT else "agree a little" if mean > HARDLY else words
    words = "agree well" if mean > WELL else words
    if len(known) == 1:
        return f"Their orders {words} (rank correlation {two(mean)})."
    (low, a, b), (high, c, d) = known[0], known[-1]
    pairs = (
        f"most alike are {found.names[d]} and {found.names[c]} ({two(high)}),"
        f" least {found.names[b]} and {found.names[a]} ({two(low)})"
    )
    return f"Their orders {words} (mean rank correlation {two(mean)}); {pairs}."


def _rift(found: Comparison) -> str:
    """The part about which they differ most; in a picture its place."""
    if not found.disagreement.any():
        return ""
    if found.explanations[0].sample.modality == "image":
        where = places.where(*places.mass(found.shown("disagreement")))
        return f"They differ most about {_join(where)}." if where else ""
    player = int(np.argmax(found.disagreement))
    given = shares(found.maps)[:, player]
    given = np.where(
        [one == "size" or (one == "slope" and len(set(found.kinds)) > 1) for one in found.kinds], np.abs(given), given
    )
    low, high = int(np.argmin(given)), int(np.argmax(given))
    if given[high] - given[low] < APART:
        return ""
    return (
        f"They differ most about {part(found, player)}: {found.names[high]} gives it {_share(given[high])} of its"
        f" credit, {found.names[low]} {_share(given[low])}."
    )


def two(value: float) -> str:
    """A correlation with two digits, and a real minus sign; a dash where there is none."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", MINUS) if np.isfinite(value) else "–"


def _share(value: float) -> str:
    return percent(float(value)) if value else "none"


def _noun(found: Comparison) -> str:
    titles = [one.title for one in found.explanations]
    return "methods" if len(set(titles)) == len(titles) else "explanations"


def _count(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
