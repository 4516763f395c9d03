"""Second opinion: does a method that works in another way name the same parts?

A map made by gradients, activations or attention is held against leaving out one part at a time; one made by taking
parts away, against integrated gradients, or where there are none against Shapley values by permutations. Counted is how
much of each map the k strongest parts of the other hold, with the same sign, brought to 0 for what chance gives and 1
for the most there is: parts of nearly the same size may change places.
Two methods may share an error; agreement is no proof.
Reference: Krishna and others (2022), arXiv:2202.01602.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from explainers.case import Case
from explainers.engine.likeness import FINE
from explainers.types import Check, Evidence, Explanation, Found, Verdict
from explainers.words import number
from model_zoo.types import Capability, Players

LABEL = "Second opinion"
GOOD, DOUBTFUL = 0.6, 0.3
SWITCHES = ("perturbation", "shapley", "surrogate")  # families that take parts away
ORDERS = 4  # random orders of the players, each also backwards
SEGMENTS = 40
COARSER = ("segments", "spans")  # kinds of pieces


def judge(found: Found) -> Check:
    """Compare the strongest parts with those of another method."""
    if found.case is None:
        return _check(Verdict.NOT_RUN, "Not run: it asks a method of another family about the same input.")
    case = found.case
    before = case.spent()
    players, values = _parts(case)
    if players.count < 2:
        return _check(Verdict.UNTESTABLE, "There is one part alone, so every method names it.")
    k = _strongest(values)
    opinions = [_opinion(*one, values, k, found) for one in _others(replace(case, players=players, values=values))]
    spent = case.spent() - before
    said = [one for one in opinions if one is not None]
    if not said:
        return _check(Verdict.UNTESTABLE, "Another method finds no part that matters here.", evaluations=spent)
    value, told = max(said, key=lambda one: one[0])
    if value > GOOD:
        return _check(Verdict.GOOD, f"{told}.", value, spent)
    if value > DOUBTFUL:
        return _check(Verdict.DOUBTFUL, f"{told}. One of them may be wrong, or both see a part of it.", value, spent)
    says = f"**Another method says otherwise.** {told}. One of them may be wrong; look at their difference."
    return _check(Verdict.BAD, says, value, spent)


def _opinion(name: str, other: np.ndarray, values: np.ndarray, k: int, found: Found) -> tuple[float, str] | None:
    """Overlap above chance with what another method says, and that in words; None where either says nothing."""
    from explainers.engine.likeness import captured, rank_correlation, shared

    case = found.case
    assert case is not None
    if np.abs(other).max(initial=0.0) <= 1e-9 * max(1e-3, abs(found.explained)) or not values.any():
        return None
    signed = bool(case.reading == "for" and (values < 0).any())
    if case.reading != "matters" and not signed and (other > 0).any():
        other = np.maximum(other, 0.0)  # a map without a sign shows what speaks for the target
    value = (captured(values, other, k, signed) + captured(other, values, k, signed)) / 2
    both = round(shared(values, other, k, signed) * k)
    what = "parts" if case.players.kind in FINE else case.players.kind
    strongest = (
        f"{both} of the {k} strongest {what}" if k > 1 else f"{'the same' if both else 'another'} strongest part"
    )
    return value, (
        f"{name} names {strongest}{' too' if k > 1 else ''} (overlap {number(max(value, 0.0), 2)} above chance; rank"
        f" correlation {number(rank_correlation(values, other), 2)})"
    )


def _parts(case: Case) -> tuple[Players, np.ndarray]:
    """The parts that are compared: the players, or of pixels and samples about 40 pieces with the sums over them."""
    kind = next((one for one in COARSER if one in case.model.input.player_kinds), "")
    if case.players.kind not in FINE or case.players.count <= SEGMENTS or not kind:
        return case.players, case.values
    players = case.model.input.players(case.sample, kind, **{kind: min(SEGMENTS, case.players.count)})
    dense = np.append(case.values, 0.0)[case.players.owner]
    return players, np.bincount(players.owner.reshape(-1), dense.reshape(-1), minlength=players.count)


def _strongest(values: np.ndarray) -> int:
    """How many parts carry the map, 1 to 5 and at most a third: (Σ|v|)² / Σ v², which is n for n equal ones."""
    carried = float(np.abs(values).sum() ** 2 / ((values**2).sum() or 1.0))
    return max(1, min(5, len(values) // 3, round(carried)))


def _others(case: Case) -> list[tuple[str, np.ndarray]]:
    """A method of another family and its values (players,); two where nobody knows how the values were made."""
    from explainers.engine.own import by_gradients, left_out

    leaving = ("Leaving out one part at a time", left_out)
    if case.family is not None and case.family not in SWITCHES:
        chosen = [leaving]
    else:
        gradients = Capability.GRADIENTS in case.model.can
        orders = ("Shapley values by permutations", _permutations)
        chosen = [("Integrated gradients", by_gradients) if gradients else orders]
        if case.family is None:
            chosen.append(leaving)
        elif case.family != "perturbation" and not gradients:
            chosen = [leaving]
    return [(name, ask(case)) for name, ask in chosen]


def _permutations(case: Case) -> np.ndarray:
    """Shapley values from a few random orders, each forwards and backwards (Castro and others, 2009)."""
    count = case.players.count
    source = np.random.default_rng([case.run.seed, 6])
    orders = [order for _ in range(ORDERS) for one in [source.permutation(count)] for order in (one, one[::-1])]
    ranks = np.array([np.argsort(order) for order in orders])  # (orders, players)
    present = ranks[:, None] < np.arange(count + 1)[None, :, None]  # (orders, joined, players)
    worth = case.evaluator.masked(
        case.sample, case.players, present.reshape(-1, count), case.reference, case.target
    ).reshape(len(orders), count + 1)
    gained = np.diff(worth, axis=1)
    return np.mean([gains[rank] for gains, rank in zip(gained, ranks, strict=True)], 0)


def cost(explanation: Explanation) -> int:
    """One evaluation a part, or 17 gradients, or a few orders."""
    count = SEGMENTS if explanation.players.kind in FINE else explanation.players.count
    rows = 1 if explanation.reference is None else len(explanation.reference.rows)
    return rows * (count + 1)


def _check(verdict: Verdict, sentence: str, value: float | None = None, evaluations: int = 0) -> Check:
    unit = "overlap above chance" if value is not None else ""
    return Check("second_opinion", LABEL, verdict, sentence, value, unit, evaluations)


CHECK = Evidence(
    "second_opinion",
    LABEL,
    6,
    judge,
    question="Does a method that works in another way name the same parts?",
    on_demand=True,
    core=False,
    cost=cost,
    source="Krishna and others (2022), arXiv:2202.01602",
)
