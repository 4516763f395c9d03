"""Shapley interactions: what players do alone, in pairs and in threes.

Three ways to share the prediction among all groups of at most k players, each adding up to f(x) - mean f(row); in units
of f, with v(S) = mean over reference rows of f(x where S, the row elsewhere) (engine/interactions.py):
    k-SII: an average over contexts, as Shapley values are; STII: groups below k as they are without the others, all
    else with order k; FSII: the best polynomial of order k.
The values are those of single players; they add up only with the pairs and triples, which extras["pairs"] and
extras["triples"] hold as rows of players and value: (i, j, value), (i, j, k, value); all start from
extras["base_value"]. With few players all coalitions are evaluated and the answer is the definition's; beyond, shapiq
estimates it (KernelSHAP-IQ for k-SII, orders of arrival for STII, the regression for FSII), and is run again with half
of the evaluations to see what still moves.
References: engine/interactions.py; Fumagalli and others (2024), arXiv:2405.10852; Muschalik and others (2024),
arXiv:2410.01649.
Numbers: shapiq, same random_state and budget, to 1e-9 of their range.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine import interactions
from explainers.engine.game import Game
from explainers.engine.interactions import Groups
from explainers.engine.libraries import quiet, seeded
from explainers.engine.shapley import coalitions
from explainers.types import Attribution, Method, Settled, knob
from explainers.words import number
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

ENUMERATED = 12  # players up to which all coalitions are evaluated
MOST = 2500  # groups; each is an unknown of a regression
USUAL = 4096  # coalitions, besides two a group
NAMES = {2: "pairs", 3: "triples"}


@dataclass(frozen=True)
class Params:
    """Which interactions, and how many coalitions are tried."""

    order: int = knob(2, low=2, high=3, help="Up to how many players interact: 2 for pairs, 3 for triples as well.")
    index: str = knob(
        "k-SII",
        choices=("k-SII", "STII", "FSII"),
        help="k-SII averages over contexts as Shapley values do; STII leaves small groups as they are without the"
        " others; FSII fits a polynomial.",
    )
    nsamples: int = knob(
        0,
        low=0,
        high=200_000,
        label="Coalitions",
        help="Coalitions to evaluate where there are more than 12 players; 0 takes 4,096 plus two for each group.",
    )
    segments: int = knob(12, low=5, high=70, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(12, low=2, high=70, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """What each player does alone, (players,) in the target's unit; pairs and triples are in extras."""
    game = Game(sample, players, reference, target, run)
    many = _groups(game.count, params.order)
    if game.count > ENUMERATED and many > MOST:
        raise UserError(
            f"{game.count:,} {players.kind} form {many:,} groups of at most {params.order}; {MOST:,} are estimated at"
            " most. Choose coarser players, or a lower order."
        )
    run.expect(_evaluations(params, game.count, game.rows))
    budget = _budget(params, game.count)
    used = {}
    if game.count < 2 or game.count <= ENUMERATED or budget >= 2**game.count:
        worths = game.worth(coalitions(game.count))
        found = interactions.exact(worths, params.order, params.index) if game.count else {}
        settled, told = Settled("exact"), f"all {len(worths):,} coalitions"
    else:
        found, settled = _estimated(game, params, budget)
        told, used = f"{budget:,} coalitions", {"nsamples": budget}
    values = np.array([found.get((player,), 0.0) for player in range(game.count)])
    extras = {NAMES[size]: _table(game, found, size) for size in range(2, params.order + 1)}
    notes = _notes(game, extras, params)
    return Attribution(
        game.spread(values),
        settled=settled,
        extras=extras | {"base_value": np.array(game.ends()[0])},
        notes=tuple(notes),
        flavour=f"{params.index}, order {params.order}, {told}{game.told()}",
        used=used,
    )


def _estimated(game: Game, params: Params, budget: int) -> tuple[Groups, Settled]:
    """The library's estimate, and how far it is from its own with half the evaluations."""
    found, half = (_by_library(game, params, evaluations) for evaluations in (budget, budget // 2))
    moved = sum(abs(value - half[group]) for group, value in found.items())
    mass = sum(map(abs, found.values()))
    return found, Settled("nested", moved / (mass or 1.0))


def _by_library(game: Game, params: Params, budget: int) -> Groups:
    from shapiq.approximator import KernelSHAPIQ, PermutationSamplingSTII, RegressionFSII

    options: dict[str, Any] = {"n": game.count, "max_order": params.order, "random_state": game.run.seed}

    def worth(asked: np.ndarray) -> np.ndarray:
        """v (n,) of coalitions (n, players), or of one (players,)."""
        return game.worth(np.atleast_2d(np.asarray(asked, dtype=bool)))

    with quiet(), seeded(game.run.seed):
        if params.index == "k-SII":
            estimator: Any = KernelSHAPIQ(index="k-SII", pairing_trick=True, **options)
        elif params.index == "STII":
            estimator = PermutationSamplingSTII(**options)
        else:
            estimator = RegressionFSII(pairing_trick=True, **options)
        estimate = estimator.approximate(budget, worth)
    return {group: float(estimate[group]) for group in interactions.groups(game.count, params.order)}


def _table(game: Game, found: Groups, size: int) -> np.ndarray:
    """Rows of `size` players and a value, (groups, size + 1)."""
    rows = [(*game.active[list(group)], value) for group, value in found.items() if len(group) == size]
    return np.array(rows, dtype=np.float64).reshape(-1, size + 1)


def _notes(game: Game, extras: dict[str, np.ndarray], params: Params) -> list[str]:
    rows = [row for table in extras.values() for row in table]
    strongest = max(rows, key=lambda row: abs(row[-1]), default=None)
    if strongest is None or strongest[-1] == 0:
        return ["No players interact: each adds the same whatever the others do."]
    names = [game.players.name(int(player)) for player in strongest[:-1]]
    who = ", ".join(names[:-1]) + " and " + names[-1]
    value, target = strongest[-1], game.target
    amount = number(abs(value)) + (f" {target.unit}" if target.unit not in ("value", target.label) else "")
    sign = "raise" if value > 0 else "lower"
    parts = "pairs" if params.order == 2 else "pairs and triples"
    return [
        f"The strongest interaction: {who} together {sign} {target.label} by {amount} beyond"
        " what they do by themselves.",
        f"The bars are what each does by itself; only with the {parts} do they add up to the prediction.",
    ]


def _groups(players: int, order: int) -> int:
    return sum(comb(players, size) for size in range(1, order + 1))


def _budget(params: Params, players: int) -> int:
    return params.nsamples or USUAL + 2 * _groups(players, params.order)


def _evaluations(params: Params, players: int, rows: int) -> int:
    if players <= ENUMERATED:
        return 2**players * rows
    asked = _budget(params, min(players, 1000))
    return min(asked + asked // 2, 2 ** min(players, 30)) * rows


METHOD = Method(
    id="shapley_interactions",
    title="Shapley interactions",
    family="shapley",
    summary="Shares the prediction among single parts, pairs and triples, and so tells what parts do only together.",
    source="Fumagalli and others (2024), arXiv:2405.10852; Muschalik and others (2024), arXiv:2410.01649",
    library="assay",
    aliases=("interactions", "shapiq"),
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words", "tabular": "columns"},
    absence="background",
    completeness="no",
    effort="nsamples",
    evaluations=_evaluations,
)
