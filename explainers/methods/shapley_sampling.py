"""Shapley value sampling: players arrive in random orders, each credited with what it adds.

φ_i is the mean, over orders, of what player i adds to f on arrival among those before it, in units of f; absent players
take each reference row in turn and f is averaged. Every order's sum is f(x) - mean f(row), so the values add up
whatever was drawn. With few players and no number of orders asked for, all coalitions are evaluated, which is the mean
over all orders. Orders are those of captum for the same seed of torch; captum alone draws 25, of which the values are
noise.
Standard errors are those of a mean over independent orders.
Reference: Castro, Gómez and Tejada (2009); Štrumbelj and Kononenko (2010).
Numbers: captum ShapleyValueSampling, same torch seed, baseline and n_samples, to 1e-5 of their range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.game import MOST, USUAL, Game, enough
from explainers.engine.orders import averaged
from explainers.engine.shapley import enumerated
from explainers.types import Attribution, Method, knob
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

LEAST = 25  # orders; the library's default


@dataclass(frozen=True)
class Params:
    """How many orders are drawn."""

    n_samples: int = knob(
        0,
        low=0,
        high=20_000,
        label="Orders",
        help="Random orders; 0 takes about 2,000 evaluations a reference row, 25 orders at least.",
    )
    segments: int = knob(70, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(20, low=2, high=300, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    enough("Shapley value sampling", players)
    game = Game(sample, players, reference, target, run)
    run.expect(_evaluations(params, game.count, game.rows))
    if game.count < 2 or (not params.n_samples and 2**game.count <= USUAL):
        return enumerated(game, "all orders, ")
    count = params.n_samples or _usual(game.count)
    return averaged(game, orders(run.seed, count, game.count)[:, None], "n_samples")


def orders(seed: int, count: int, players: int) -> np.ndarray:
    """Orders (count, players), as the library draws them from torch's own stream."""
    import torch

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return np.stack([torch.randperm(players).numpy() for _ in range(count)])


def _usual(players: int) -> int:
    return max(LEAST, USUAL // max(players, 1))


def _evaluations(params: Params, players: int, rows: int) -> int:
    if not params.n_samples and players <= 30 and 2**players <= USUAL:
        return 2**players * rows
    draws = params.n_samples or _usual(players)
    return (draws * (min(players, MOST) - 1) + 1) * rows + 1


METHOD = Method(
    id="shapley_sampling",
    title="Shapley value sampling",
    family="shapley",
    summary="Adds the parts one by one in random orders, and averages what each changes when it comes.",
    source="Štrumbelj and Kononenko (2010)",
    library="captum",
    aliases=("sampling", "shapley_value_sampling", "sampling_shap"),
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words", "tabular": "columns"},
    absence="background",
    completeness="by_construction",
    effort="n_samples",
    evaluations=_evaluations,
)
