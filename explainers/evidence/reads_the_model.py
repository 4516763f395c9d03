"""Reads the model: is the map another one once everything that the model learned is gone?

The method explains copies of the model whose weights are drawn at random; r is the rank correlation of the map with
those of the copies, on average. A map that stays the same (r near 1) shows the input, or the architecture, and not what
was learned. Where nobody can make the map once more, it is held against maps of our own: it should be more like that of
the trained model than like those of the copies.
References: Adebayo and others (2018), arXiv:1810.03292; Hedström and others (2024), arXiv:2405.02383, on its noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from explainers.types import Check, Evidence, Explanation, Found, Verdict
from explainers.words import number
from model_zoo.types import UserError

if TYPE_CHECKING:
    from explainers.case import Case
    from model_zoo.model import Model

LABEL = "Reads the model"
GOOD, BAD = 0.5, 0.8  # rank correlation
COPIES, MORE = 3, 9  # copies, and for few players, whose rank correlations are coarse
FEW = 50  # players
ALONE = 0.7  # rank correlation with a map of the input alone
HELD = 19  # copies that a map of unknown making is held against


def judge(found: Found) -> Check:
    """Explain copies with random weights, and compare."""
    if found.case is None:
        return _check(Verdict.NOT_RUN, "Not run: it explains copies of the model whose weights are random.")
    case = found.case
    if case.players.count < 3:
        few = case.players.count
        return _check(Verdict.UNTESTABLE, f"Maps of {few} {case.players.kind} are too alike to be compared.")
    before = case.spent()
    try:
        outcome = _same_method(case) if case.redo is not None else _other_maps(case)
    except UserError as error:
        return _check(Verdict.UNTESTABLE, f"This cannot be tested: {error}", evaluations=case.spent() - before)
    verdict, sentence, value = outcome
    return _check(verdict, sentence, value, case.spent() - before)


def _same_method(case: Case) -> tuple[Verdict, str, float | None]:
    """The map beside those of the same method for the copies."""
    from explainers.engine.likeness import rank_correlation, regions

    own = regions(case.values, case.players)
    wanted = COPIES if case.players.count > FEW else MORE
    alike: list[float] = []
    refused = ""
    for copy in _copies(case, wanted):
        try:
            found = case.again(case.run.seed, model=copy)
        except UserError as error:  # a random copy may be one that the method cannot explain
            refused = str(error)
            continue
        alike.append(rank_correlation(own, regions(found, case.players)))
    known = [one for one in alike if not np.isnan(one)]
    if not alike:
        return Verdict.UNTESTABLE, f"Copies with random weights could not be explained: {refused}", None
    if not known:
        return Verdict.UNTESTABLE, "Copies with random weights give empty maps, so there is nothing to compare.", None
    value = float(np.mean(known))
    told = f"the rank correlation of the maps is {number(value, 2)} on average over {len(known)} copies"
    if value < GOOD:
        return Verdict.GOOD, f"With random weights in the model the picture is another one: {told}.", value
    if value < BAD:
        says = f"With random weights in the model much of the picture stays: {told}. That part shows the input."
        return Verdict.DOUBTFUL, says, value
    says = (
        f"**This picture barely changes when the model is replaced by a random one**: {told}. It shows the input, not"
        " the decision."
    )
    return Verdict.BAD, says, value


def _other_maps(case: Case) -> tuple[Verdict, str, float | None]:
    """A map that cannot be made again, beside our own maps of the model and of the copies."""
    from explainers.engine.likeness import regions

    own = regions(case.values, case.players)
    trained = _likeness(own, _quick(case, case.model))
    if np.isnan(trained):
        return Verdict.UNTESTABLE, "The map, or our own, is the same everywhere, so nothing can be compared.", None
    alone, filter = _input_alone(case, own)
    if alone > max(trained, 0.0) + 0.2 and alone >= ALONE:
        says = (
            f"**This picture can be had without the model**: {filter} gives nearly the same one (rank correlation"
            f" {number(alone, 2)}), while our own map of the model is another ({number(trained, 2)}). It shows the"
            " input, not the decision."
        )
        return Verdict.BAD, says, trained - alone
    random = [_likeness(own, _quick(case, copy)) for copy in _copies(case, HELD)]
    known = np.array([one for one in random if not np.isnan(one)])
    if len(known) < HELD // 2:
        return Verdict.UNTESTABLE, "Copies with random weights give empty maps, so there is nothing to compare.", None
    mean, most = float(known.mean()), float(known.max())
    as_close = int((known >= trained).sum())
    value = trained - mean
    told = (
        f"its rank correlation with our own map of the trained model is {number(trained, 2)}, with those of"
        f" {len(known)} copies with random weights {number(mean, 2)} on average and {number(most, 2)} at most"
    )
    if as_close == 0 and trained - most > 0.05 and trained >= 0.2:
        return Verdict.GOOD, f"The map tells the trained model from random ones: {told}.", value
    if as_close <= 1 and trained > 0:
        return Verdict.DOUBTFUL, f"The map hardly tells the trained model from random ones: {told}.", value
    says = (
        f"**This picture could be that of a model with random weights**: {told}. It may show the input, or another"
        " model, rather than this decision."
    )
    return Verdict.BAD, says, value


def _input_alone(case: Case, own: np.ndarray) -> tuple[float, str]:
    """The rank correlation with the nearest map that the input alone gives, and what that is."""
    from explainers.engine.inputs_alone import maps
    from explainers.engine.likeness import rank_correlation

    known = [(rank_correlation(own, one), name) for name, one in maps(case.sample, case.players, case.reference)]
    return max((one for one in known if not np.isnan(one[0])), default=(0.0, ""))


def _copies(case: Case, count: int) -> Iterable[Model]:
    """Copies with random weights, one in memory at a time; UserError where the model has none that can be drawn."""
    from explainers.engine.randomise import randomised

    inputs = case.model.tensor(np.concatenate([case.sample.x[None], case.reference.rows[:1]]))
    first = randomised(case.model, 1_000_003 + case.run.seed, inputs)  # here, so that a refusal comes at once
    others = (randomised(case.model, 1_000_003 + case.run.seed + 7919 * place, inputs) for place in range(1, count))
    return itertools.chain((first,), others)


def _quick(case: Case, model: Model) -> np.ndarray:
    """A quick map of our own, of regions or players: integrated gradients, else what leaving out one player changes."""
    from explainers.engine.own import quick_map

    if model is case.model:
        return quick_map(case)
    other = case.on(model)
    with model.frozen():
        found = quick_map(other)
    case.evaluator.forward += other.evaluator.forward
    case.evaluator.backward += other.evaluator.backward
    return found


def _likeness(given: np.ndarray, own: np.ndarray) -> float:
    """Rank correlation with a signed map; one without a sign may mean what speaks for the target, or what counts."""
    from explainers.engine.likeness import rank_correlation

    if (given < 0).any():
        return rank_correlation(given, own)
    return max(rank_correlation(given, own), rank_correlation(given, np.abs(own)))


def cost(explanation: Explanation) -> int:
    """The same method for every copy."""
    copies = COPIES if explanation.players.count > FEW else MORE
    return copies * (explanation.cost.forward + 2 * explanation.cost.backward)


def _check(verdict: Verdict, sentence: str, value: float | None = None, evaluations: int = 0) -> Check:
    unit = "rank correlation" if value is not None else ""
    return Check("reads_the_model", LABEL, verdict, sentence, value, unit, evaluations)


CHECK = Evidence(
    "reads_the_model",
    LABEL,
    4,
    judge,
    question="Is the map another one when the model's weights are replaced by random numbers?",
    on_demand=True,
    cost=cost,
    source="Adebayo and others (2018), arXiv:1810.03292",
)
