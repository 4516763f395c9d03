"""Exact Shapley values: every coalition of players is evaluated.

    φ_i = sum over S without i of |S|! (d - |S| - 1)! / d! · (v(S + i) - v(S)),   d players,
where v(S) = mean over reference rows of f(x where S, the row elsewhere), in units of f; they add up to f(x) - mean
f(row) because they are right, not because they are made to. That takes 2^d coalitions, each evaluated once: not the d!
· d of going through all orders. A player whose every reference row equals x gets 0 and costs nothing.
Reference: Shapley (1953).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explainers.engine.game import Game
from explainers.engine.shapley import enumerated
from explainers.types import Attribution, Method, knob
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

LARGEST = 16


@dataclass(frozen=True)
class Params:
    """How many players are worth enumerating."""

    most: int = knob(
        12,
        low=1,
        high=LARGEST,
        label="Players at most",
        help="Every further player doubles the work: 12 take 4,096 evaluations a reference row, 16 take 65,536.",
    )
    segments: int = knob(10, low=2, high=16, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(10, low=2, high=16, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    game = Game(sample, players, reference, target, run)
    if game.count > params.most:
        raise UserError(_too_many(game, params.most))
    run.expect(_evaluations(game.count, game.rows))
    return enumerated(game)


def _too_many(game: Game, most: int) -> str:
    count, kind = game.count, game.players.kind
    says = f"Exact Shapley values of {count:,} {kind} take 2^{count} coalitions; at most {most} {kind} are enumerated."
    if count <= LARGEST:
        return (
            f"{says} Set most={count} to spend {_evaluations(count, game.rows):,} evaluations, or use Leverage SHAP,"
            " which samples."
        )
    return f"{says} Choose coarser players, or use Leverage SHAP, which samples."


def _evaluations(count: int, rows: int) -> int:
    return (2**count - 1) * rows + 1


METHOD = Method(
    id="exact_shapley",
    title="Exact Shapley values",
    family="shapley",
    summary="Tries every combination of present and absent parts, and shares the prediction among them by the average"
    " of what each adds. For up to 12 parts.",
    source="Shapley (1953)",
    library="assay",
    aliases=("exact", "shapley_values", "exact_shap", "shapley"),
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words", "tabular": "columns"},
    absence="background",
    completeness="approximate",
    evaluations=lambda params, players, rows: _evaluations(min(players, params.most), rows),
)
