"""Leverage SHAP: KernelSHAP's regression over coalitions that are drawn by how much they tell.

Coalitions come in pairs of complements, without replacement, the same number of every size that is not exhausted
(engine/coalitions.py). The values are the least squares fit (engine/regression.py) of half the difference within each
pair, in units of f, where v(S) = mean over reference rows of f(x where S, the row elsewhere); they add up to
f(x) - mean f(row) whatever was drawn. Interactions of even order cancel within a pair, so a model with interactions of
pairs alone is explained exactly. With few players every coalition is evaluated and the values are the definition's.
Beside shap's KernelExplainer, which draws mostly small and large coalitions, the squared error is about halved at the
same number of evaluations (docs/measurements.md). Numbers are ours: no library draws this stream.
Reference: Musco and Witter (2024), arXiv:2410.01917.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.coalitions import Pairs, draw
from explainers.engine.game import Game, budget, enough
from explainers.engine.libraries import largest_error
from explainers.engine.regression import Fit, fit, kernel
from explainers.engine.shapley import enumerated
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

TITLE = "Leverage SHAP"
LOOKS = 8  # partial results of a run


@dataclass(frozen=True)
class Params:
    """How many coalitions are tried."""

    nsamples: int = knob(
        0,
        low=0,
        high=200_000,
        label="Coalitions",
        help="Coalitions of players to evaluate; 0 takes 2,048 plus twice the players. Few players are enumerated.",
    )
    segments: int = knob(70, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(20, low=2, high=300, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    enough(TITLE, players)
    game = Game(sample, players, reference, target, run)
    run.expect(evaluations(params, game.count, game.rows))
    count = budget(params.nsamples, game.count)
    if game.count < 2 or exhausts(count, game.count):
        return enumerated(game)
    pairs = drawn(game, count, TITLE)
    for stop in looks(game, len(pairs.first)):
        # The order is random, so that what was evaluated first is a smaller draw of the same kind.
        there = pairs.part(stop)
        odd, total = halves(game, there.first)
        found = attribution(game, solved(there, odd, total), 2 * stop + 2)
        if stop < len(pairs.first):
            run.publish(found)
    return found


def exhausts(count: int, players: int) -> bool:
    """Whether so many coalitions are all that there are."""
    return players <= 30 and count >= 2**players - 3  # an odd number is rounded down to pairs


def drawn(game: Game, count: int, title: str) -> Pairs:
    """Pairs of coalitions, `count` in all, in random order; UserError where they are fewer than the unknowns."""
    least = 2 * (game.count + 2)
    if count < least:
        raise UserError(
            f"{title} needs at least {least:,} coalitions for {game.count:,} {game.players.kind}; nsamples={count:,}"
            " came. Ask for more, or for 0, the usual number."
        )
    random = game.run.generator()
    pairs = draw(game.count, count // 2, random)
    order = random.permutation(len(pairs.first))
    return Pairs(pairs.first[order], pairs.chance[order])


def looks(game: Game, count: int) -> list[int]:
    """After how many of `count` pairs to look at the values: once, or several times where somebody watches."""
    least = game.count + 2
    steps = np.linspace(0, count, LOOKS + 1)[1:].astype(int) if game.run.wants_partial else [count]
    return sorted({int(step) for step in steps if step >= least} | {count})


def halves(game: Game, first: np.ndarray) -> tuple[np.ndarray, float]:
    """Half of what each pair (n,) differs by, from nobody's worth up, and what everybody adds to nobody."""
    nobody, everybody = game.ends()
    worths = game.worth(np.concatenate([first, ~first]))
    total = everybody - nobody
    return (worths[: len(first)] - worths[len(first) :] + total) / 2, total


def solved(pairs: Pairs, odd: np.ndarray, total: float) -> Fit:
    """The regression over pairs; a coalition and its complement have the same weight and say the same."""
    weights = kernel(pairs.first.shape[1], pairs.first.sum(1)) / pairs.chance
    return fit(pairs.first.astype(np.float64), odd, weights, total, 1 - pairs.chance)


def attribution(game: Game, found: Fit, count: int) -> Attribution:
    """The fit as the method's answer."""
    values = game.spread(found.values)
    error = game.spread(found.std_error)
    return Attribution(
        values,
        base_value=game.ends()[0],
        std_error=error,
        settled=Settled("standard_error", largest_error(error, values)),
        used={"nsamples": count - 2},
        flavour=f"{count:,} coalitions in pairs{game.told()}",
    )


def evaluations(params: Params, players: int, rows: int) -> int:
    """What a run costs."""
    return (budget(params.nsamples, players) + 1) * rows + 1


METHOD = Method(
    id="leverage_shap",
    title=TITLE,
    family="shapley",
    summary="Tries combinations of present and absent parts, chosen so that few of them tell much, and shares the"
    " prediction by a regression.",
    source="Musco and Witter (2024), arXiv:2410.01917",
    library="assay",
    aliases=("leverage", "leverage_score_shap"),
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words", "tabular": "columns"},
    absence="background",
    completeness="by_construction",
    effort="nsamples",
    evaluations=evaluations,
)
