"""Anchors: a rule under which the model's answer holds, almost whatever the rest of the input is.

A rule is a set of conditions that x meets (a column on its side of a cut or in its category, a word or a segment that
stays). Its precision is the share of altered copies that keep the rule and get the same answer, its coverage the share
of copies, altered without a rule, that meet it. Found is, of the rules whose precision is at least `threshold`, one of
large coverage: a beam search over ever longer rules, in which KL-LUCB tells the most precise by few copies.
What is said of the rule found is measured on fresh copies, or on all of them where they are few; the answer is the
predicted class, or that it is not the target where another one is. A condition without which the rule still holds goes.
Values: what the precision loses when the player's conditions are dropped from the rule, 0 for players not in it,
negative where the rule speaks against the target; in shares of altered copies, not in units of the output. A rule is
one of several that may hold, so that of two parts that say the same only one is in it.
Reference: Ribeiro, Singh and Guestrin (2018), Anchors: High-Precision Model-Agnostic Explanations, AAAI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.libraries import largest_error
from explainers.engine.neighbourhood import Neighbourhood, Rows, Switched
from explainers.engine.rules import Answers, Measured, Search
from explainers.types import Attribution, Method, Settled, knob
from explainers.words import percent
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

MOST = 500  # players
COPIES = {
    "table": (1000, 8000),
    "picture": (300, 600),
    "other": (300, 2400),
}  # on which a rule is measured: first, most
GOOD = 0.05  # largest standard error over the range of the values, for which more copies are made
UNIT = "share of altered copies"


@dataclass(frozen=True)
class Params:
    """What counts as a rule, and how long it is looked for."""

    threshold: float = knob(0.95, low=0.5, high=0.999, help="Precision: how often the answer has to hold.")
    conditions: int = knob(6, low=1, high=20, help="Conditions that a rule may have at most.")
    beam: int = knob(2, low=1, high=20, help="Rules that are made longer at each step.", advanced=True)
    bins: int = knob(4, low=2, high=50, help="For tables: parts of equal size into which numbers are cut.")
    budget: int = knob(
        0,
        low=0,
        high=1_000_000,
        help="Altered copies in the search at most; 0 takes 20,000 for tables and 4,000 for other inputs.",
    )
    copies: int = knob(
        0,
        low=0,
        high=1_000_000,
        help="Fresh copies on which a rule is measured at most; 0 takes 8,000 for tables, 600 for images, else 2,400.",
    )
    segments: int = knob(30, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(20, low=2, high=300, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Find a rule; values (players,) are what its precision owes to each player."""
    if players.count > MOST:
        raise UserError(
            f"Anchors looks for a rule among at most {MOST:,} players; this input has {players.count:,} {players.kind}."
            " Choose coarser players, such as segments, words or spans."
        )
    table = sample.modality == "tabular" and len(reference.rows) > 1
    space: Neighbourhood = Switched(model, sample, players, reference.rows)
    if table:
        space = Rows(model, sample, players, reference, params.bins)
    answers = Answers(run, space, sample, target)
    few, most = COPIES["table" if table else "picture" if sample.modality == "image" else "other"]
    most = params.copies or most
    budget = params.budget or _budget(table)
    run.expect(budget)
    search = Search(space, answers, run.seed, params.threshold, params.conditions, params.beam, budget)
    rule, held = search.rule()
    copies = min(few, most)
    while True:
        found, without = search.pruned(rule, copies)
        attribution = _attribution(found, without, players.count, 1.0 if answers.own else -1.0)
        assert attribution.settled is not None
        if attribution.settled.value < GOOD or copies >= most:
            break
        rule, copies = found.rule, min(most, 2 * copies)
    run.expect(run.done)
    coverage = space.coverage(found.rule)
    says = f"the model {'says' if answers.own else 'does not say'} {target.label}"
    return replace(
        attribution,
        extras=attribution.extras | {"coverage": np.array(coverage)},
        notes=(_in_words(space, found, coverage, says, sample, players), *_short(found, held, params)),
        flavour=f"{_count(len(space.words(found.rule)))}, precision {percent(found.precision)},"
        f" coverage {percent(coverage)}",
        used={"budget": budget, "copies": found.copies},
    )


def _attribution(found: Measured, without: dict[int, Measured], players: int, sign: float) -> Attribution:
    values, error = np.zeros(players), np.zeros(players)
    for player, one in without.items():
        gain, error[player] = found.gain(one)
        values[player] = sign * gain
    exact = found.exact and all(one.exact for one in without.values())
    return Attribution(
        values,
        std_error=None if exact else error,
        settled=Settled("exact") if exact else Settled("standard_error", largest_error(error, values)),
        unit=UNIT,
        explained=found.precision,
        extras={"precision": np.array(found.precision), "precision_low": np.array(found.low)},
    )


def _in_words(
    space: Neighbourhood, found: Measured, coverage: float, says: str, sample: Sample, players: Players
) -> str:
    """The rule, how often it holds and what it covers, in a sentence."""
    words, table, kind = space.words(found.rule), isinstance(space, Rows), players.kind.rstrip("s")
    things = "rows" if table else {"text": "texts", "image": "pictures"}.get(sample.modality, "copies")
    sure = "" if found.exact else f" (with 95 % confidence, at least {percent(found.low)})"
    holds = f"{says} in {percent(found.precision)} of {'all ' * found.exact}{found.copies:,} altered {things}{sure}"
    if not words:
        return f"No condition is needed: {holds}{'' if table else f', each {kind} replaced half of the time'}."
    if table:
        return f"If {_joined(words)}, {holds}; this covers {percent(coverage)} of the background rows."
    stay = "stays" if len(words) == 1 else "stay"
    return (
        f"While {_joined(words)} {stay} and each other {kind} is replaced half of the time, {holds};"
        f" this covers {percent(coverage)} of the {things} altered without the rule."
    )


def _short(found: Measured, held: bool, params: Params) -> tuple[str, ...]:
    """What is missing where the rule does not hold often enough, in a sentence."""
    noise = math.sqrt(found.precision * (1 - found.precision) / found.copies)
    if found.precision >= params.threshold or (held and found.precision + noise >= params.threshold):
        return ()
    if held:
        return (
            f"That is just short of the {percent(params.threshold)} asked for, which it met while it was looked for.",
        )
    return (
        f"No rule of up to {_count(params.conditions)} was met that holds in {percent(params.threshold)}; this is the"
        " most precise one. More copies in the search may find another.",
    )


def _budget(table: bool) -> int:
    return 20_000 if table else 4_000


def _count(conditions: int) -> str:
    return "no condition" if not conditions else f"{conditions} condition{'s' * (conditions != 1)}"


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _refuses(model: Model, sample: Sample) -> str | None:
    if model.card.task == "regression":
        return (
            f"Anchors says when an answer holds; {model.card.title} predicts a number, which holds or does not only"
            " within a margin. Choose feature ablation or KernelSHAP."
        )
    return None


METHOD = Method(
    id="anchors",
    title="Anchors",
    family="perturbation",
    summary="Looks for a short rule about the input under which the model gives the same answer, almost whatever the"
    " rest is.",
    source="Ribeiro, Singh and Guestrin (2018), AAAI, doi:10.1609/aaai.v32i1.11491",
    library="assay",
    aliases=("anchor",),
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words"},
    absence="background",
    effort="copies",
    evaluations=lambda params, players, rows: params.budget or _budget(rows > 1),
    refuses=_refuses,
)
