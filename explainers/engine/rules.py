"""The search for a rule under which a model's answer holds, and its measure.

Precision of a rule: the share of altered copies that keep it and get the answer that x gets. A beam of rules is made
longer by one condition at a time; KL-LUCB tells the most precise by few copies. Of the rules that are precise enough,
the one of largest coverage is taken, measured on fresh copies, and rid of what it does not need.
Reference: Ribeiro, Singh and Guestrin (2018), Anchors: High-Precision Model-Agnostic Explanations, AAAI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine import bandit
from explainers.engine.neighbourhood import Neighbourhood, Rule
from model_zoo.types import ModelCard, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run

FIRST, MORE = 10, 50  # copies by which a rule is first judged, and by which it is looked at again
LAST = 1000  # copies by which the search has to know whether a rule is precise enough
TOLERANCE, RISK = 0.1, 0.05  # of telling the most precise rules apart
SLACK = 0.02  # below the threshold, where the lower bound of an accepted rule may lie
BLOCK = 100  # fresh copies that are drawn at a time
KEPT = 2**24  # numbers of copies made at a time


@dataclass(frozen=True)
class Measured:
    """How a rule does on fresh copies, or on all of them."""

    rule: Rule
    precision: float
    low: float  # the true precision is at least this, with 95 % confidence
    held: np.ndarray  # whether each copy held, bool (copies,)
    exact: bool

    @property
    def copies(self) -> int:
        """How many there were."""
        return len(self.held)

    def gain(self, without: Measured) -> tuple[float, float]:
        """What this precision is above another's, and the standard error; copies at one place were drawn alike.

        Two copies that differ, one each way, are added to the count: few copies that all agree are not certain.
        """
        change = self.precision - without.precision
        if self.exact and without.exact:
            return change, 0.0
        if self.exact or without.exact:
            sampled = without if self.exact else self
            share = (sampled.held.sum() + 1) / (sampled.copies + 2)
            return change, math.sqrt(share * (1 - share) / sampled.copies)
        differ = float((self.held != without.held).sum() + 2) / (self.copies + 2)
        return change, math.sqrt(max(differ - change**2, 0.0) / self.copies)


@dataclass
class Answers:
    """Whether altered copies get the answer that x got; each is evaluated once."""

    run: Run
    space: Neighbourhood
    sample: Sample
    target: Target
    known: dict[bytes, bool] = field(default_factory=dict)
    own: bool = field(init=False)  # whether x itself gets the target as its answer

    def __post_init__(self) -> None:
        self.own = bool(self._ask(self.run.evaluator.model.tensor(self.sample.x[None]))[0])

    def hold(self, codes: np.ndarray) -> np.ndarray:
        """Of copies with these codes, bool (copies,)."""
        keys = [one.tobytes() for one in np.ascontiguousarray(codes)]
        new = {key: place for place, key in enumerate(keys) if key not in self.known}
        places, step = list(new.values()), max(1, KEPT // self.sample.x.size)
        for start in range(0, len(places), step):
            part = places[start : start + step]
            for place, answer in zip(part, self._ask(self.space.inputs(codes[part])), strict=True):
                self.known[keys[place]] = bool(answer) == self.own
        return np.array([self.known[key] for key in keys], dtype=bool)

    def _ask(self, inputs: Any) -> np.ndarray:
        evaluator = self.run.evaluator
        return answered(evaluator.scores(inputs).double().numpy(), evaluator.model.card, self.target)


def answered(scores: np.ndarray, card: ModelCard, target: Target) -> np.ndarray:
    """Whether the model answers the target, bool (n,), by its scores (n, outputs) or (n, outputs, *positions).

    The target is the largest class, or larger than the one that it is compared with.
    """
    if scores.ndim > 2:
        scores = scores.reshape(*scores.shape[:2], -1)
        scores = scores[:, :, list(target.places) or slice(None)].mean(-1)
    if card.task == "binary":
        edge = 0.5 if card.output == "probability" else 0.0
        scores = np.concatenate([edge - scores[:, :1], scores[:, :1] - edge], 1)
    if target.against is not None:
        return scores[:, target.index] > scores[:, target.against]
    return np.isin(scores.argmax(1), (target.index, *target.also))


@dataclass
class Search:
    """The beam search, with what every rule got so far."""

    space: Neighbourhood
    answers: Answers
    seed: int
    threshold: float
    conditions: int  # of a rule at most
    beam: int  # rules that are made longer at each step
    budget: int  # copies at most
    seen: dict[Rule, tuple[int, int]] = field(default_factory=dict)  # copies that held, and copies
    fresh: dict[Rule, np.ndarray] = field(default_factory=dict)  # whether copies held that chose no rule
    spent: int = 0
    until: int = 0  # what may be spent before the next step
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def rule(self) -> tuple[Rule, bool]:
        """The rule of largest coverage that holds, else the most precise one that was met; and whether it holds."""
        found: Rule | None = None
        beam: list[Rule] = [()]
        self.toss([()], FIRST)
        self.until = self.budget // (self.conditions + 1)
        if self.holds(()):
            return (), True
        for step in range(self.conditions):
            self.until = self.spent + (self.budget - self.spent) // (self.conditions - step)
            most = -1.0 if found is None else self.space.coverage(found)
            beam = self.most_precise(self.longer(beam, most))
            for one in beam:
                if (found is None or self.space.coverage(one) > self.space.coverage(found)) and self.holds(one):
                    found = one
            if not beam or self.spent >= self.budget:
                break
        return (max(self.seen, key=self.share), False) if found is None else (found, True)

    def longer(self, beam: list[Rule], coverage: float) -> list[Rule]:
        """Every rule of the beam with one condition more, those that cover more than `coverage`; widest first."""
        found = {
            tuple(sorted((*rule, one)))
            for rule in beam
            for one in range(len(self.space.owners))
            if one not in rule and self.space.narrows(rule, one)
        }
        wide = [(self.space.coverage(one), one) for one in found]
        return [one for cover, one in sorted(wide, key=lambda pair: (-pair[0], pair[1])) if cover > coverage]

    def most_precise(self, rules: list[Rule]) -> list[Rule]:
        """The beam's width of them."""
        if not rules:
            return []
        self.toss([one for one in rules if one not in self.seen], FIRST)
        counts = np.array([self.seen[one] for one in rules], dtype=float)

        def more(places: list[int]) -> bool:
            if self.spent >= self.until:
                return False
            self.toss([rules[one] for one in places], MORE)
            counts[places] = [self.seen[rules[one]] for one in places]
            return True

        top = bandit.best(counts[:, 0], counts[:, 1], self.beam, more, TOLERANCE, RISK)
        return [rules[one] for one in top]

    def holds(self, rule: Rule) -> bool:
        """Whether the rule is precise enough, by as many copies as it takes to tell."""
        wanted = self.threshold
        while True:
            held, copies = self.seen[rule]
            low, high = bandit.bounds(np.array([held]), np.array([copies]), math.log(len(self.space.owners) / RISK + 1))
            if low[0] >= wanted or high[0] < wanted or copies >= LAST or self.spent >= self.budget:
                return held / copies >= wanted and low[0] >= wanted - SLACK
            self.toss([rule], MORE)

    def toss(self, rules: list[Rule], count: int) -> None:
        """Look at `count` more copies of each, all in one go."""
        if not rules:
            return
        held = self.answers.hold(np.concatenate([self.space.draw(one, count, self.random) for one in rules]))
        self.spent += len(held)
        for rule, own in zip(rules, held.reshape(len(rules), count).sum(1), strict=True):
            before = self.seen.get(rule, (0, 0))
            self.seen[rule] = (before[0] + int(own), before[1] + count)

    def share(self, rule: Rule) -> float:
        """The share of its copies that held, drawn a little to a half where they were few."""
        held, copies = self.seen[rule]
        return (held + 1) / (copies + 2)

    def measured(self, rule: Rule, copies: int) -> Measured:
        """On at least so many copies that did not choose the rule, or on all that there are.

        Blocks are drawn from one stream for all rules, so that rules are compared on copies as alike as can be.
        """
        every = self.space.every(rule)
        if every is not None:
            held = self.answers.hold(every)
            return Measured(rule, float(held.mean()), float(held.mean()), held, True)
        held = self.fresh.get(rule, np.zeros(0, dtype=bool))
        while len(held) < copies:
            random = np.random.default_rng([self.seed, 1 + len(held)])
            held = np.append(held, self.answers.hold(self.space.draw(rule, BLOCK, random)))
        self.fresh[rule] = held
        low = bandit.bounds(np.array([held.sum()]), np.array([len(held)]), math.log(1 / 0.05))[0]
        return Measured(rule, float(held.mean()), float(low[0]), held, False)

    def pruned(self, rule: Rule, copies: int) -> tuple[Measured, dict[int, Measured]]:
        """The rule measured, without what it does not need; and what is left without each of its players."""
        while True:
            found = self.measured(rule, copies)
            without = {
                player: self.measured(tuple(one for one in rule if self.space.owners[one] != player), copies)
                for player in dict.fromkeys(self.space.owners[one] for one in rule)
            }
            enough = self.threshold if found.precision >= self.threshold else found.precision
            idle = [one for one in without.values() if one.low >= enough]
            if not idle:
                return found, without
            rule = max(idle, key=lambda one: (self.space.coverage(one.rule), one.precision)).rule
