"""What a person would say: "Espresso, 78 %, mainly because of the centre of the picture."

Positions for pictures, quoted words for texts, columns with their values for tables. What a method cannot tell is not
said: a gradient says what the score is sensitive to, attention what it looked at. Bad evidence is said in one breath.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from explainers.credits import Credit, credits, method_of, signed, slopes, strongest
from explainers.types import Explanation, Verdict
from explainers.words import number, percent

NAMED, AGAINST = 3, 2  # parts that are named at most
WORTH, OPPOSED = 0.3, 0.2  # of the strongest, in magnitude, to be named too: what speaks for, what against
ENOUGH = 0.55  # of what speaks for the target, to stop naming regions of a picture
EDGES = ".,;:!?…()\"'“”"  # punctuation that a quoted word leaves behind
PLACES = (
    ("the upper left", "the top", "the upper right"),
    ("the left", "the centre", "the right"),
    ("the lower left", "the bottom", "the lower right"),
)
WARNINGS = {"settled": "this explanation did not settle", "adds_up": "its values do not add up"}


def sentence(explanation: Explanation) -> str:
    """One sentence: what the model says, why, and whether the evidence is bad."""
    says = {"image": _picture, "text": _words, "tabular": _columns}.get(explanation.sample.modality, _columns)
    speaks, against = says(explanation)
    link = _link(explanation)
    if not speaks:
        because = "nothing in the input stands out"
    elif not against:
        because = f"{link} {_join(speaks)}"
    else:
        opposed = "spoke against it" if explanation.prediction.probabilities is not None else "lowered it"
        because = f"{link} {_join(speaks)}; {_join(against)} {opposed}"
    return f"{_claim(explanation)}{because}{_warning(explanation)}."


def claim(explanation: Explanation) -> str:
    """What the model says of the target alone: 'Espresso, 78 %'."""
    found, target = explanation.prediction, explanation.target
    if found.probabilities is None:
        value = f"{number(float(found.raw[target.index]))} {explanation.card.unit}".strip()
        return f"{capital(target.label)} {value}"
    return f"{capital(target.label)}, {percent(float(found.probabilities[target.index]))}"


def capital(label: str) -> str:
    """The label with a capital to start a sentence; the rest stays as it is."""
    return label[:1].upper() + label[1:]


def _claim(explanation: Explanation) -> str:
    found, target = explanation.prediction, explanation.target
    if found.probabilities is None or found.top == target.index:
        return f"{claim(explanation)}, "
    share, best = (percent(float(found.probabilities[index])) for index in (target.index, found.top))
    return f"Why {target.label} ({share}), when the model says {found.labels[found.top]} ({best}): "


def _link(explanation: Explanation) -> str:
    method = method_of(explanation)
    if method and method.family == "attention":
        return "looking mostly at"
    if slopes(explanation):
        return "most sensitive to"
    return "mainly because of"


def _picture(explanation: Explanation) -> tuple[list[str], list[str]]:
    """Regions of a 3 × 3 grid over the photo: credit is summed, slopes are summed by magnitude."""
    totals = _regions(explanation)
    if slopes(explanation):
        totals = np.abs(totals)
    order = np.argsort(-totals, axis=None, kind="stable")
    flat = totals.reshape(-1)
    gain = float(flat[flat > 0].sum())
    if gain <= 0:
        return [], []
    chosen: list[int] = []
    for place in order:
        if flat[place] <= 0 or sum(flat[chosen]) >= ENOUGH * gain:
            break
        chosen.append(int(place))
    if len(chosen) > NAMED:
        speaks = ["many parts of the picture"]
    else:
        speaks = [f"{_join([_place(one) for one in chosen])} of the picture"]
    worst = int(order[-1])
    against = [_place(worst)] if -flat[worst] >= OPPOSED * flat[order[0]] else []
    return speaks, against


def _regions(explanation: Explanation) -> np.ndarray:
    """The map's values summed over a 3 × 3 grid of the whole photo."""
    view, dense = explanation.sample.view, explanation.dense()
    if slopes(explanation):
        dense = np.abs(dense)
    owner = np.asarray(explanation.players.owner)
    sizes = np.bincount(owner[owner >= 0], minlength=explanation.players.count)
    shares = np.append(np.maximum(sizes, 1), 1)[owner]  # a segment's value is spread over its pixels
    left, top, right, bottom = view.box
    rows, columns = dense.shape
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    across = np.clip((3 * x / view.width).astype(int), 0, 2)
    down = np.clip((3 * y / view.height).astype(int), 0, 2)
    totals = np.zeros((3, 3))
    np.add.at(totals, (down[:, None], across[None, :]), dense / shares)
    return totals


def _place(index: int) -> str:
    return PLACES[index // 3][index % 3]


def _words(explanation: Explanation) -> tuple[list[str], list[str]]:
    return _named(explanation, lambda one: f"“{one.name.strip(EDGES) or one.name}”")


def _columns(explanation: Explanation) -> tuple[list[str], list[str]]:
    return _named(explanation, lambda one: f"{one.name} = {one.shown}" if one.shown else one.name)


def _named(explanation: Explanation, name: Callable[[Credit], str]) -> tuple[list[str], list[str]]:
    found: Sequence[Credit] = strongest(credits(explanation), len(explanation.values))[0]
    if slopes(explanation) or not signed(explanation):
        found = [one for one in found if one.value]
        return _distinct(found, NAMED, name), []
    peak = max((abs(one.value) for one in found), default=0.0)
    speaks = [one for one in found if one.value > 0]
    against = [one for one in found if one.value <= -OPPOSED * peak and one.value]
    return _distinct(speaks, NAMED, name), _distinct(against, AGAINST, name)


def _distinct(found: Sequence[Credit], count: int, name: Callable[[Credit], str]) -> list[str]:
    """The first `count` different names; those far below the first are left out."""
    strong = [one for one in found if abs(one.value) >= WORTH * abs(found[0].value)]
    return list(dict.fromkeys(name(one) for one in strong))[:count]


def _warning(explanation: Explanation) -> str:
    bad = [one for one in explanation.evidence if one.verdict is Verdict.BAD]
    if not bad:
        return ""
    return ", but " + _join([WARNINGS.get(one.id, f"the check “{one.label.lower()}” came out badly") for one in bad])


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
