"""Permutation SHAP: players arrive in random orders, each order also backwards.

φ_i is the mean, over orders, of what player i adds to f on arrival among those before it, in units of f; absent players
take each reference row in turn and f is averaged. Every order's sum is f(x) - mean f(row), so the values add up
whatever was drawn; an order and its reverse are exact where players interact in pairs. With few players and no number
of orders asked for, all coalitions are evaluated, which is the mean over all orders.
npermutations is how many orders are drawn: the library's own parameter of that name runs fewer (shap issue 4433), so
its numbers are those of max_evals = npermutations · (2 d + 1). Standard errors are those of a mean over independent
pairs of an order and its reverse.
Reference: Castro, Gómez and Tejada (2009); Mitchell and others (2022), arXiv:2104.12199.
Numbers: shap PermutationExplainer, same seed, background and max_evals, to 1e-9 of their range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.game import MOST, USUAL, Game, enough
from explainers.engine.libraries import seeded
from explainers.engine.orders import averaged
from explainers.engine.shapley import enumerated
from explainers.types import Attribution, Method, knob
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

LEAST = 10  # orders; the library's default


@dataclass(frozen=True)
class Params:
    """How many orders are drawn."""

    npermutations: int = knob(
        0,
        low=0,
        high=10_000,
        label="Orders",
        help="Random orders, each also run backwards; 0 takes about 2,000 evaluations a reference row, 10 at least.",
    )
    segments: int = knob(70, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(20, low=2, high=300, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    enough("Permutation SHAP", players)
    game = Game(sample, players, reference, target, run)
    run.expect(_evaluations(params, game.count, game.rows))
    if game.count < 2 or (not params.npermutations and 2**game.count <= USUAL):
        return enumerated(game, "all orders, ")
    count = params.npermutations or _usual(game.count)
    return averaged(game, orders(run.seed, count, game.active, game.players.count), "npermutations")


def orders(seed: int, count: int, active: np.ndarray, players: int) -> np.ndarray:
    """Orders (count, 2, len(active)), forwards and backwards, in which the library shuffles the players that vary."""
    place = np.full(players, -1)
    place[active] = np.arange(len(active))
    found = np.empty((count, 2, len(active)), dtype=np.int64)
    shuffled = active.copy()
    with seeded(seed):
        for draw in range(count):
            np.random.shuffle(shuffled)
            found[draw, 0] = place[shuffled]
    found[:, 1] = found[:, 0, ::-1]
    return found


def _usual(players: int) -> int:
    return max(LEAST, USUAL // (2 * max(players, 1)))


def _evaluations(params: Params, players: int, rows: int) -> int:
    if not params.npermutations and players <= 30 and 2**players <= USUAL:
        return 2**players * rows
    draws = params.npermutations or _usual(players)
    return (draws * 2 * (min(players, MOST) - 1) + 1) * rows + 1


METHOD = Method(
    id="permutation_shap",
    title="Permutation SHAP",
    family="shapley",
    summary="Adds the parts one by one in random orders and back again, and averages what each changes when it comes.",
    source="Mitchell and others (2022), arXiv:2104.12199",
    library="shap",
    aliases=("permutation",),
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words", "tabular": "columns"},
    absence="background",
    completeness="by_construction",
    effort="npermutations",
    evaluations=_evaluations,
)
