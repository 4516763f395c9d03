"""What a person would say: "Espresso, 78 %, mainly because of the middle of the picture."

Positions for pictures, quoted words for texts, columns with their values for tables, stretches of time for series and
sounds; what weighs most comes first, and where the parts speak against the prediction, the starting point that makes it
does. What a method cannot tell is not said: a gradient says what the score is sensitive to, attention what it looked
at. Bad evidence is said in one breath, and so is an input of which the model was given something else than the person
did, or than it ever saw.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from explainers import places, stretches
from explainers.credits import Credit, blind, credits, intensities, signed, slopes, strongest
from explainers.types import Explanation, Verdict
from explainers.words import number, percent
from model_zoo.types import ModelCard, Prediction, Sample

MOST, LEAST = 3, 2  # parts that are named on the weightier side, and on the other
WORTH = 0.2  # of the largest magnitude: a smaller part is no reason
OPPOSED = 0.3  # of what speaks for the target: what speaks against it in a picture is worth a word
NOTHING = 1e-5  # of the explained number: values that tell no story
FOUND = 0.5  # of the strongest: segments whose numbers are told
EDGES = ".,;:!?…()\"'“”"  # punctuation that a quoted word leaves behind
WARNINGS = {
    "adds_up": "the values do not add up",
    "settled": "this explanation did not settle",
    "beats_chance": "shuffled copies of this explanation do as well",
    "reads_the_model": "a model with random weights gets nearly the same",
    "repeats": "the strongest parts change when it is run again",
    "second_opinion": "another method says otherwise",
}
CAVEATS = (  # how a cell's note begins, what is said of one such column, and of several
    ("imputed", "{name} was missing and taken as {shown}", "{names} were missing and filled in"),
    ("never seen", "{name} “{given}” was never seen in training", "{names} hold values never seen in training"),
    ("outside", "{name} {shown} is outside the training range", "{names} are outside the training range"),
)
PARTS = {
    "image": "part of the picture",
    "text": "word",
    "tabular": "column",
    "series": "part of the series",
    "audio": "part of the sound",
}
BY_NAME = ("channels", "bands", "patches")  # players of series and sounds that are told by their names


@dataclass(frozen=True)
class Case:
    """What speaks for the target and against it, named, and how much each side weighs."""

    speaks: list[str]
    against: list[str]
    gain: float
    loss: float


def sentence(explanation: Explanation) -> str:
    """One sentence: what the model says, why, whether the evidence is bad, and what of the row is not as given."""
    said = f"{_opening(explanation)}{_because(explanation)}{_warning(explanation)}"
    return "; ".join([said, *caveats(explanation.sample)]) + "."


def headline(card: ModelCard, found: Prediction, index: int | None = None) -> str:
    """What the model says alone, 'Espresso, 78 %': of what it predicts, or of output `index`."""
    index = found.top if index is None else index
    if found.probabilities is None:
        value = f"{number(float(found.raw[index]))} {card.unit}".strip()
        bare = card.unit and found.labels[index] == "value"  # what an output is called that nobody named
        return value if bare else f"{capital(found.labels[index])} {value}"
    return f"{capital(found.labels[index])}, {percent(float(found.probabilities[index]))}"


def caveats(sample: Sample) -> list[str]:
    """'employment was missing and taken as salaried': what was imputed, never seen, out of range or all unknown."""
    said = ["the model knows none of its words"] if getattr(sample.view, "unknown", False) else []
    for note, one, several in CAVEATS:
        found = [cell for cell in getattr(sample.view, "cells", ()) if cell.note.startswith(note)]
        names = [cell.name for cell in found]
        if len(found) == 1:
            said.append(one.format(name=names[0], shown=found[0].shown, given=found[0].given))
        elif found:
            rest = [f"{len(found) - MOST} more"] if len(found) > MOST else []
            said.append(several.format(names=_join([*names[:MOST], *rest])))
    return said


def capital(label: str) -> str:
    """The label with a capital to start a sentence; the rest stays as it is."""
    return label[:1].upper() + label[1:]


def _opening(explanation: Explanation) -> str:
    found, target = explanation.prediction, explanation.target
    if target.against is not None or target.also:
        return (
            f"Why {target.label}" if _asks_why(explanation) else capital(f"{target.label}: {_explained(explanation)}")
        )
    if found.probabilities is None or found.top == target.index:
        return headline(explanation.card, found, target.index)
    share, best = (percent(float(found.probabilities[index])) for index in (target.index, found.top))
    return f"Why {target.label} ({share}), when the model says {found.labels[found.top]} ({best})"


def _asks_why(explanation: Explanation) -> bool:
    """Whether the sentence begins with 'Why': of a class that is not predicted, or of one rather than another."""
    found, target = explanation.prediction, explanation.target
    return found.probabilities is not None and (target.against is not None or found.top != target.index)


def _explained(explanation: Explanation) -> str:
    return f"{number(explanation.explained)} {explanation.unit}".strip()


def _because(explanation: Explanation) -> str:
    """The reason, with the comma or colon that joins it to the opening."""
    found = explanation.prediction
    case = None if _nothing(explanation) else _case(explanation)
    if case is None or not (case.speaks or case.against):
        return f": no {PARTS.get(explanation.sample.modality, 'column')} stands out"
    if slopes(explanation) or not signed(explanation):
        return f", {_link(explanation)} {_join(case.speaks)}"
    if found.probabilities is None:
        return _value(case)
    why = _asks_why(explanation)
    if case.gain >= case.loss:
        tail = f"; {_join(case.against)} spoke against it" if case.against else ""
        return f"{':' if why else ','} mainly because of {_join(case.speaks)}{tail}"
    sides = f"{_join(case.against)} spoke against it, {_join(case.speaks) if case.speaks else 'little'} for it"
    if why:
        return f": {sides}"
    if _start_says_so(explanation):
        assert explanation.base_value is not None
        start = f"{number(explanation.base_value)} {explanation.unit}"
        of = f" for {explanation.reference.sentence}" if explanation.reference is not None else ""
        return f": the starting point already says so ({start}{of}); {sides}"
    tail = f"; {_join(case.speaks)} spoke for it" if case.speaks else ""
    return f", although {_join(case.against)} spoke against it{tail}"


def _value(case: Case) -> str:
    """A regression is as much explained by what lowers it."""
    sides = [("raised", "raised", case.speaks), ("lowered", "lowered", case.against)]
    (first, _, most), (_, other, least) = sides if case.gain >= case.loss else sides[::-1]
    tail = f"; {_join(least)} {other} it" if least else ""
    return f", {first} mainly by {_join(most)}{tail}"


def _start_says_so(explanation: Explanation) -> bool:
    """Whether the number before any part is counted already predicts the target, for units in which that shows."""
    base, output = explanation.base_value, explanation.target.output
    if base is None:
        return False
    if output == "probability":
        return base > 0.5
    return output == "logit" and explanation.card.task == "binary" and base > 0


def _link(explanation: Explanation) -> str:
    if blind(explanation):
        return "looking mostly at"
    return "most sensitive to" if slopes(explanation) else "mainly because of"


def _nothing(explanation: Explanation) -> bool:
    total = float(np.abs(explanation.values).sum())
    on_its_scale = not slopes(explanation) and not intensities(explanation)
    return total == 0 or (on_its_scale and total <= NOTHING * abs(explanation.explained))


def _case(explanation: Explanation) -> Case | None:
    match explanation.sample.modality:
        case "image":
            return _picture(explanation)
        case "text":
            return _named(explanation, lambda one: f"“{one.name.strip(EDGES) or one.name}”")
        case "series" | "audio" if explanation.players.kind not in BY_NAME:
            return _over_time(explanation)
        case "series":
            return _named(explanation, lambda one: f"“{one.name}”")
        case _:
            return _named(explanation, lambda one: f"{one.name} = {one.shown}" if one.shown else one.name)


def points(explanation: Explanation) -> bool:
    """Whether the sentence can point at something: a picture's speckle may gather nowhere."""
    if explanation.sample.modality != "image":
        return True
    totals, area = places.mass(explanation)
    return bool(places.where(np.clip(totals, 0, None), area))


def _picture(explanation: Explanation) -> Case:
    """The places in which what speaks for the target gathers, and what speaks against it."""
    totals, area = places.mass(explanation)
    gains, losses = np.clip(totals, 0, None), np.clip(-totals, 0, None)
    gain, loss = float(gains.sum()), float(losses.sum())
    sees = "what the model saw" if places.zoomed(explanation.sample.view) else "the picture"
    speaks, against = [], []
    if gain > 0:
        found = places.where(gains, area)
        place = f"{_join(found)} of {sees}" if found else f"parts all over {sees}"
        speaks = [place + _numbers(explanation, 1)]
    if loss > OPPOSED * gain:
        found = places.where(losses, area)
        if speaks and places.overlap(gains, losses, area):  # both signs in one place: the weightier one is told
            speaks, found = (speaks, ()) if gain >= loss else ([], found)
        if found or loss > gain:
            against = [(_join(found) if found else f"parts all over {sees}") + _numbers(explanation, -1)]
    return Case(speaks, against, gain, loss)


def _over_time(explanation: Explanation) -> Case:
    """The stretches of time in which what speaks for the target gathers, and what speaks against it."""
    one_sided = slopes(explanation) or not signed(explanation)
    values = np.abs(explanation.values) if one_sided else explanation.values
    gain, loss = float(values[values > 0].sum()), -float(values[values < 0].sum())
    most, least = (MOST, LEAST) if gain >= loss else (LEAST, MOST)
    sides = stretches.found(explanation, 1), stretches.found(explanation, -1)
    peak = max((one.weight for side in sides for one in side), default=0.0)
    speaks, against = (
        [stretches.name(explanation, one) for one in side[:count] if one.weight >= WORTH * peak]
        for side, count in zip(sides, (most, least), strict=True)
    )
    if one_sided:
        return Case(speaks, [], gain, 0.0)
    return Case(speaks, against, gain if speaks else 0.0, loss if against else 0.0)


def _numbers(explanation: Explanation, sign: int) -> str:
    """' (segments 23 and 31)': the strongest segments of this sign, which the picture and the bars number alike."""
    if explanation.players.kind != "segments":
        return ""
    values = sign * explanation.values
    order = [int(one) for one in np.argsort(-values, kind="stable")[:MOST] if values[one] >= FOUND * values.max() > 0]
    found = [tail for tail in (numeral(explanation.players.name(one)) for one in order) if tail]
    return f" (segment{'' if len(found) == 1 else 's'} {_join(found)})" if found else ""


def numeral(name: str) -> str:
    """The number by which a segment is found, "23" of "the top (23)"; empty if it has none."""
    found = re.search(r"\((\d+)\)$", name)
    return found[1] if found else ""


def _named(explanation: Explanation, name: Callable[[Credit], str]) -> Case:
    found: Sequence[Credit] = strongest(credits(explanation), len(explanation.values))[0]
    peak = max((abs(one.value) for one in found), default=0.0)
    notable = [one for one in found if one.value and abs(one.value) >= WORTH * peak]
    if slopes(explanation) or not signed(explanation):
        return Case(_distinct(notable, MOST, name), [], peak, 0.0)
    gain = sum(one.value for one in found if one.value > 0)
    loss = -sum(one.value for one in found if one.value < 0)
    most, least = (MOST, LEAST) if gain >= loss else (LEAST, MOST)
    speaks = _distinct([one for one in notable if one.value > 0], most, name)
    against = _distinct([one for one in notable if one.value < 0], least, name)
    # many small parts may outweigh the few large ones; what cannot be named cannot lead
    if not speaks and gain >= loss:
        gain = 0.0
    if not against and loss > gain:
        loss = 0.0
    return Case(speaks, against, gain, loss)


def _distinct(found: Sequence[Credit], count: int, name: Callable[[Credit], str]) -> list[str]:
    """The first `count` different names."""
    return list(dict.fromkeys(name(one) for one in found))[:count]


def warning(explanation: Explanation) -> str:
    """What its evidence says against it in a few words, 'the values do not add up'; empty where none is bad."""
    bad = [one for one in explanation.evidence if one.verdict is Verdict.BAD]
    known = (WARNINGS.get(one.id, f"the check “{one.label.lower()}” came out badly") for one in bad)
    return _join(list(known)) if bad else ""


def _warning(explanation: Explanation) -> str:
    said = warning(explanation)
    return f", but {said}" if said else ""


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
