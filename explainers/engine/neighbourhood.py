"""Altered copies of an input that keep a rule: what anchors draw, and how a rule reads.

A rule is a set of conditions that x meets. In a table a condition is a column's own category or a side of a cut through
its numbers ("age > 37"); an altered row is a background row, and a column of the rule that breaks it there takes the
value of another background row that does not. Elsewhere a condition is a part that stays (a word, a segment); every
other part is replaced with probability 1/2, by what a row of the reference has there.
Reference: Ribeiro, Singh and Guestrin (2018), Anchors: high-precision model-agnostic explanations.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from explainers.engine.codes import Codes
from explainers.words import MINUS
from model_zoo.types import Players, Reference, Sample

if TYPE_CHECKING:
    import torch

    from model_zoo.model import Model

Rule = tuple[int, ...]  # conditions, in rising order
DISTINCT = 10  # a column with so few different numbers is cut between any two of them
ALL = 1024  # copies that are enumerated rather than drawn


class Neighbourhood(Protocol):
    """Where a rule is tried."""

    @property
    def owners(self) -> tuple[int, ...]:
        """The player that each condition is about."""

    def narrows(self, rule: Rule, condition: int) -> bool:
        """Whether the condition says more than the rule does."""

    def coverage(self, rule: Rule) -> float:
        """The share of altered copies, drawn without a rule, that meet it."""

    def draw(self, rule: Rule, count: int, random: np.random.Generator) -> np.ndarray:
        """Codes (count, ...) of altered copies that keep the rule."""

    def every(self, rule: Rule) -> np.ndarray | None:
        """Codes of all of them, each as likely; None where they are too many or not equally likely."""

    def inputs(self, codes: np.ndarray) -> torch.Tensor:
        """The copies (count, *x.shape)."""

    def words(self, rule: Rule) -> list[str]:
        """Each condition as a person says it."""


@dataclass(frozen=True)
class Switched:
    """Parts that stay or are replaced; a code is what stays (players,), then the row that replaces the rest."""

    model: Model
    sample: Sample
    players: Players
    rows: np.ndarray

    @property
    def owners(self) -> tuple[int, ...]:
        """A condition a player."""
        return tuple(range(self.players.count))

    def narrows(self, rule: Rule, condition: int) -> bool:
        """Whether the condition is new."""
        return condition not in rule

    def coverage(self, rule: Rule) -> float:
        """Every part stays with probability 1/2."""
        return 0.5 ** len(rule)

    def draw(self, rule: Rule, count: int, random: np.random.Generator) -> np.ndarray:
        """What stays, and a row."""
        stays = random.random((count, self.players.count)) < 0.5
        stays[:, list(rule)] = True
        return np.column_stack([stays, random.integers(0, len(self.rows), count)])

    def every(self, rule: Rule) -> np.ndarray | None:
        """All ways to replace the parts that are free."""
        free = [one for one in range(self.players.count) if one not in rule]
        if len(free) > np.log2(ALL / len(self.rows)):
            return None
        stays = np.ones((2 ** len(free), self.players.count), dtype=int)
        stays[:, free] = np.arange(len(stays))[:, None] >> np.arange(len(free)) & 1
        row = np.repeat(np.arange(len(self.rows)), len(stays))
        return np.column_stack([np.tile(stays, (len(self.rows), 1)), row])

    def inputs(self, codes: np.ndarray) -> torch.Tensor:
        """Composed on the model's device."""
        import torch

        from explainers.engine.compose import compose

        x = self.model.tensor(self.sample.x)
        owner = torch.as_tensor(self.players.owner, device=x.device)
        stays = torch.as_tensor(codes[:, :-1] == 1, device=x.device)
        return compose(x, self.model.tensor(self.rows[codes[:, -1]]), owner, stays)

    def words(self, rule: Rule) -> list[str]:
        """Names, quoted where they are the person's own words."""
        names = [self.players.name(one) for one in rule]
        return [f"“{one}”" for one in names] if self.sample.modality == "text" else names


@dataclass(frozen=True)
class Condition:
    """One of a column, on which x is; met: background rows that meet it, bool (rows,)."""

    player: int
    sign: str  # "=", "≤" or ">"
    cut: float
    met: np.ndarray


class Rows:
    """A table's background rows; a code is one number a column."""

    def __init__(self, model: Model, sample: Sample, players: Players, reference: Reference, bins: int) -> None:
        self.model, self.players, self.sample = model, players, sample
        self.table = Codes(sample, players, reference)
        self.rows = self.table.columns(reference.rows)
        self.x = self.table.columns(sample.x[None])[0]
        self.conditions = [
            one for player in range(players.count) for one in self._conditions(player, bins) if not one.met.all()
        ]

    @property
    def owners(self) -> tuple[int, ...]:
        """The column that each condition is about."""
        return tuple(one.player for one in self.conditions)

    def _conditions(self, player: int, bins: int) -> list[Condition]:
        column, own = self.rows[:, player], self.x[player]
        if player in self.table.codes:
            return [Condition(player, "=", own, column == own)]
        values = np.unique(column)
        if len(values) > DISTINCT:
            values = np.unique(np.quantile(column, np.arange(1, bins) / bins, method="inverted_cdf"))
        else:
            values = values[:-1]
        return [
            Condition(player, "≤" if own <= cut else ">", cut, column <= cut if own <= cut else column > cut)
            for cut in values
        ]

    def met(self, rule: Rule) -> dict[int, np.ndarray]:
        """By player of the rule, the background rows that meet what it says of the column, bool (rows,)."""
        found: dict[int, np.ndarray] = {}
        for one in rule:
            condition = self.conditions[one]
            found[condition.player] = found.get(condition.player, np.True_) & condition.met
        return found

    def narrows(self, rule: Rule, condition: int) -> bool:
        """Whether some row that the rule lets through does not meet the condition."""
        one = self.conditions[condition]
        before = self.met(rule).get(one.player)
        return not one.met.all() if before is None else bool((before & ~one.met).any())

    def coverage(self, rule: Rule) -> float:
        """The share of background rows that meet every condition."""
        every = functools.reduce(np.logical_and, self.met(rule).values(), np.ones(len(self.rows), dtype=bool))
        return float(every.mean())

    def draw(self, rule: Rule, count: int, random: np.random.Generator) -> np.ndarray:
        """Background rows, with the columns of the rule put right."""
        index = random.integers(0, len(self.rows), count)
        found = self.rows[index]
        for player, met in self.met(rule).items():
            broken = ~met[index]
            those = self.rows[met, player]
            found[broken, player] = random.choice(those, int(broken.sum())) if len(those) else self.x[player]
        return found

    def every(self, rule: Rule) -> np.ndarray | None:
        """Without a rule, the background rows themselves."""
        return self.rows if not rule and len(self.rows) <= ALL else None

    def inputs(self, codes: np.ndarray) -> torch.Tensor:
        """Encoded rows."""
        return self.model.tensor(self.table.inputs(codes).astype(self.sample.x.dtype))

    def words(self, rule: Rule) -> list[str]:
        """'age > 37', '28 < age ≤ 37', 'sex = Male', a column once."""
        said = []
        for player in dict.fromkeys(self.conditions[one].player for one in rule):
            name, cell = self.players.name(player), self._cell(player)
            own = [self.conditions[one] for one in rule if self.conditions[one].player == player]
            if own[0].sign == "=":
                said.append(f"{name} = {cell}")
                continue
            low = max((one.cut for one in own if one.sign == ">"), default=None)
            high = min((one.cut for one in own if one.sign == "≤"), default=None)
            above = "" if low is None else self._number(name, low)
            below = "" if high is None else f" ≤ {self._number(name, high)}"
            said.append(
                f"{above} < {name}{below}" if above and below else f"{name} > {above}" if above else name + below
            )
        return said

    def _cell(self, player: int) -> str:
        return {cell.name: cell.shown for cell in self.sample.view.cells}.get(self.players.name(player), "as it is")

    def _number(self, name: str, cut: float) -> str:
        return f"{self.model.input.in_own_unit(name, cut):,.6g}".replace("-", MINUS)  # type: ignore[attr-defined]
