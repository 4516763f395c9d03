"""Beats chance: does taking away what the map calls important move the prediction more than fakes of the map do?

For a ranking of the players, the deletion curve is f(x without the top share q), the insertion curve f(only the top q),
q rising from 0 to 1; a map scores mean insertion - mean deletion. Fakes are the same map moved as a whole (a picture)
or with its values in other places. Under chance the map is one more of them, so
    p = (1 + fakes that score as well) / (1 + fakes),
once for each way of removing and once for all together, their scores brought to one size and added. Where a map claims
only that parts matter, -|f(z) - f(x)| takes the place of f(z).
References: Petsiuk and others (2018), arXiv:1806.07421, the curves; Fisher (1935), the permutation test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.types import Check, Evidence, Explanation, Found, Verdict
from explainers.words import number

if TYPE_CHECKING:
    from explainers.case import Case, Reading
    from model_zoo.types import Reference

LABEL = "Beats chance"
STEPS = 8  # shares of the players at which each curve is looked at, besides none and all
ENOUGH = 0.05
NOT_AT_ODDS = 0.25  # p of each way of removing, where all together pass


@dataclass(frozen=True)
class Trial:
    """A map and its fakes under one way of removing: curves (maps, shares), the map's own first."""

    fill: str
    deletion: np.ndarray
    insertion: np.ndarray
    shares: np.ndarray  # (shares,): of the players that are taken away, or put back
    whole: bool  # whether the fakes are all arrangements, so that the map is among them

    def scores(self, reading: Reading, full: float) -> np.ndarray:
        """One number a map (maps,), higher for a better one."""
        curves = (self.insertion, self.deletion)
        if reading == "matters":
            curves = tuple(-np.abs(one - full) for one in curves)  # type: ignore[assignment]
        return curves[0].mean(1) - curves[1].mean(1)


@dataclass(frozen=True)
class Chance:
    """How a map stands among its fakes: p is not a number where all score the same."""

    p: float
    as_good: int = 0
    fakes: int = 0

    @staticmethod
    def of(scores: np.ndarray, whole: bool) -> Chance:
        """scores: (maps,), the map's own first."""
        spread = float(np.ptp(scores))
        if spread <= 1e-9 * max(1.0, float(np.abs(scores).max())):
            return Chance(float("nan"))
        as_good = int((scores[1:] >= scores[0] - 1e-9 * spread).sum())
        fakes = len(scores) - 1
        return Chance(as_good / fakes if whole else (1 + as_good) / (1 + fakes), as_good, fakes)


@dataclass(frozen=True)
class Standing:
    """Each way of removing, and all of them together: scores brought to one size and added, which keeps p exact."""

    each: tuple[Chance, ...]
    together: Chance

    @staticmethod
    def of(trials: list[Trial], reading: Reading, full: float) -> Standing:
        """Of a map under one reading of it."""
        scores = [one.scores(reading, full) for one in trials]
        told = [(one - one.mean()) / (one.std() or 1.0) for one in scores]
        whole = trials[0].whole
        return Standing(tuple(Chance.of(one, whole) for one in scores), Chance.of(np.sum(told, axis=0), whole))


def judge(found: Found) -> Check:
    """Compare the map with its fakes, for one or two ways of removing."""
    if found.case is None:
        return _check(Verdict.NOT_RUN, "Not run: it compares the map with shuffled copies of itself.")
    from explainers.engine.shuffles import arrangements

    case = found.case
    before = case.spent()
    distinct = arrangements(case.values)
    if distinct * ENOUGH < 1:
        few = f"there are only {distinct:.0f} ways to arrange them"
        kinds = "the values are all the same" if distinct < 1.5 else few
        return _check(
            Verdict.UNTESTABLE,
            f"The {case.players.count} {case.players.kind} cannot be told from chance: {kinds}, so that a random map is"
            f" this one in {100 / distinct:.0f} % of cases.",
        )
    trials = run(case)
    full = found.explained
    readings: tuple[Reading, ...] = ("for", "matters") if case.reading == "either" else (case.reading,)
    tried = [Standing.of(trials, one, full) for one in readings]
    if all(np.isnan(one.together.p) for one in tried):
        return _check(
            Verdict.UNTESTABLE,
            "The prediction stays the same whatever is taken away, so no map can do better than another.",
            evaluations=case.spent() - before,
        )
    best = min(tried, key=lambda one: float("inf") if np.isnan(one.together.p) else one.together.p)
    verdict, says, p = _verdict(best, len(readings), trials, case)
    return _check(verdict, says, p, case.spent() - before, _drawn(trials))


def run(case: Case) -> list[Trial]:
    """The curves of the map and its fakes, for each way of removing."""
    from explainers.engine.fills import fills
    from explainers.engine.shuffles import copies

    source = np.random.default_rng([case.run.seed, 3])
    ranked = np.abs(case.values) if case.reading == "matters" else case.values
    fakes, whole = copies(ranked, case.players, source)
    maps = np.concatenate([ranked[None], fakes])
    cuts = _cuts(case.players.count)
    coalitions = _coalitions(maps, cuts, source)
    shares = np.concatenate([[0.0], cuts / case.players.count, [1.0]])
    found = fills(case.model, case.sample, case.reference)
    work = sum(len(way.rows) for way in found) * min(len(coalitions), 2**case.players.count)
    case.run.expect(max(case.run.total, case.run.done + work))  # other checks may have said what follows
    return [_trial(case, way, coalitions, shares, len(maps), whole) for way in found]


def _cuts(count: int) -> np.ndarray:
    """How many players are taken away at each step, between none and all."""
    wanted = np.round(count * np.arange(1, STEPS + 1) / (STEPS + 1)).astype(int)
    return np.unique(np.clip(wanted, 1, count - 1))


def _coalitions(maps: np.ndarray, cuts: np.ndarray, source: np.random.Generator) -> np.ndarray:
    """Who is present, bool (maps · steps · 2, players): without the top, then the top alone, ties broken by chance."""
    count = maps.shape[1]
    found = np.empty((len(maps), 2, len(cuts), count), dtype=bool)
    for place, one in enumerate(maps):
        order = np.lexsort((source.permutation(count), -one))
        rank = np.empty(count, dtype=int)
        rank[order] = np.arange(count)
        found[place, 0] = rank[None] >= cuts[:, None]
        found[place, 1] = rank[None] < cuts[:, None]
    return found.reshape(-1, count)


def _trial(case: Case, way: Reference, coalitions: np.ndarray, shares: np.ndarray, maps: int, whole: bool) -> Trial:
    scores = case.evaluator.masked(case.sample, case.players, coalitions, way, case.target)
    curves = scores.reshape(maps, 2, -1)
    ends = case.evaluator.masked(
        case.sample, case.players, np.array([[True], [False]]).repeat(case.players.count, 1), way, case.target
    )
    full, empty = np.full((maps, 1), ends[0]), np.full((maps, 1), ends[1])
    return Trial(
        way.sentence,
        np.concatenate([full, curves[:, 0], empty], 1),
        np.concatenate([empty, curves[:, 1], full], 1),
        shares,
        whole,
    )


def _verdict(found: Standing, readings: int, trials: list[Trial], case: Case) -> tuple[Verdict, str, float]:
    """The verdict, its sentence, and p: of all ways together, times the readings that were tried."""
    p, *each = (1.0 if np.isnan(one.p) else min(1.0, one.p * readings) for one in (found.together, *found.each))
    passed = p <= ENOUGH and max(each) <= NOT_AT_ODDS
    verdict = Verdict.GOOD if passed else Verdict.DOUBTFUL if min(p, *each) <= ENOUGH else Verdict.BAD
    what = "arrangements of its values" if trials[0].whole else "shuffled copies of it"
    counts = [
        f"{one.as_good:,} of {one.fakes:,} did as well (p = {number(q, 2)}) where absence means {_short(trial.fill)}"
        for q, one, trial in zip(each, found.each, trials, strict=True)
    ]
    ways = ", and ".join(counts) + (f"; together p = {number(p, 2)}" if len(each) > 1 else "")
    if verdict is Verdict.GOOD:
        moved = f"Taking away what this map ranks first moves the prediction more than {what} do"
        return verdict, f"{moved}: {ways}.", p
    if verdict is Verdict.DOUBTFUL:
        return verdict, f"Whether this map does better than {what} hangs on the way of removing: {ways}.", p
    parts = "regions" if case.players.kind == "pixels" else case.players.kind
    says = (
        f"**No evidence that this map reflects the model.** Of {what}, {ways}. The map, the way of removing or"
        f" redundant {parts} may be the cause; it does not prove these {parts} unimportant."
    )
    return verdict, says, p


def _short(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence


def _drawn(trials: list[Trial]) -> dict[str, np.ndarray]:
    """What figures/curves.py draws: (ways, shares) each, the fakes as their 5th and 95th percentile."""
    named = "\n".join(one.fill for one in trials)
    found = {"share": trials[0].shares, "ways": np.frombuffer(named.encode(), dtype=np.uint8)}
    for name in ("deletion", "insertion"):
        curves = [getattr(one, name) for one in trials]
        found[name] = np.array([one[0] for one in curves])
        low, high = np.array([np.percentile(one[1:], (5, 95), axis=0) for one in curves]).transpose(1, 0, 2)
        found[f"{name}_low"], found[f"{name}_high"] = low, high
    return found


def ways(check: Check) -> tuple[str, ...]:
    """What stood in for hidden parts, a sentence a way of removing, in the order of the curves."""
    named = check.curves.get("ways")
    return () if named is None else tuple(named.tobytes().decode("utf-8", "replace").split("\n"))


def cost(explanation: Explanation) -> int:
    """Maps times shares times ways, unless coalitions repeat."""
    from explainers.engine.shuffles import ALL, FEW, MANY

    count = explanation.players.count
    rows = 1 if explanation.reference is None else min(5, len(explanation.reference.rows))
    if count <= ALL:
        return 2 * rows * 2**count
    maps = 1 + (FEW if count <= 10 else MANY)
    return 2 * rows * min(maps * 2 * STEPS, 2 ** min(count, 40))


def _check(
    verdict: Verdict,
    sentence: str,
    value: float | None = None,
    evaluations: int = 0,
    curves: dict[str, np.ndarray] | None = None,
) -> Check:
    unit = "p" if value is not None else ""
    return Check("beats_chance", LABEL, verdict, sentence, value, unit, evaluations, curves or {})


CHECK = Evidence(
    "beats_chance",
    LABEL,
    3,
    judge,
    question="Does taking away what the map ranks first move the prediction more than fakes of the map do?",
    on_demand=True,
    cost=cost,
    source="Petsiuk and others (2018), arXiv:1806.07421",
)
