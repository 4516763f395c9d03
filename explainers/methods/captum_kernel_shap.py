"""KernelSHAP as captum does it: coalitions drawn with replacement, in proportion to the Shapley kernel.

A coalition of d players has a size s drawn with chance proportional to (d - 1) / (s · (d - s)), its members evenly. The
values are the coefficients of the unweighted least squares fit of v(S) on S, in which nobody and everybody count a
million times, where v(S) = mean over reference rows of f(x where S, the row elsewhere), in units of f. They add up to
f(x) - mean f(row) whatever was drawn, which is no sign of being right: with the 25 samples that the library takes by
itself, values far from Shapley's add up to the last digit. Here the usual number is 2,048 plus twice the players; where
that is all coalitions there are, and none was asked for, the fit is over all of them and exact.
Standard errors are the regression's own, as leaving out one sample at a time would give (engine/regression.py).
Reference: Lundberg and Lee (2017), arXiv:1705.07874.
Numbers: captum KernelShap, same torch seed, baseline and n_samples, to 1e-4 of their range (it computes in float32).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.game import Game, budget, enough
from explainers.engine.libraries import largest_error
from explainers.engine.regression import fit
from explainers.engine.shapley import enumerated
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

TITLE = "KernelSHAP (captum)"
ENDS = 1e6  # the library's weight of nobody and everybody
LOOKS = 8  # partial results of a run


@dataclass(frozen=True)
class Params:
    """How many coalitions are drawn."""

    n_samples: int = knob(
        0,
        low=0,
        high=200_000,
        label="Coalitions",
        help="Coalitions to draw, some twice; 0 takes 2,048 plus twice the players. Few players are enumerated.",
    )
    segments: int = knob(70, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(20, low=2, high=300, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    enough(TITLE, players)
    game = Game(sample, players, reference, target, run)
    run.expect(_evaluations(params, game.count, game.rows))
    count = params.n_samples or budget(0, game.count)
    if game.count < 2 or (not params.n_samples and game.count <= 30 and count == 2**game.count - 2):
        return enumerated(game)
    least = game.count + 4
    if count < least:
        raise UserError(
            f"{TITLE} needs at least {least:,} coalitions for {game.count:,} {players.kind}; n_samples={count:,} came."
            " Ask for more, or for 0, the usual number."
        )
    present = coalitions(run.seed, count, game.count)
    for stop in _looks(count, least) if run.wants_partial else [count]:
        found = _attribution(game, present[:stop])
        if stop < count:
            run.publish(found)
    return found


def coalitions(seed: int, count: int, players: int) -> np.ndarray:
    """Coalitions, bool (count, players), as the library draws them: everybody, nobody, then at random."""
    import torch
    from captum.attr import KernelShap

    sizes = torch.arange(players, dtype=torch.float)
    chances = torch.tensor(players - 1) / (sizes * (players - sizes))
    chances[0] = 0.0
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        stream = KernelShap(lambda inputs: inputs).kernel_shap_perturb_generator(
            torch.ones(1, players),
            num_select_distribution=torch.distributions.Categorical(chances),
            num_interp_features=players,
        )
        return np.concatenate([next(stream).numpy() > 0 for _ in range(count)])


def _attribution(game: Game, present: np.ndarray) -> Attribution:
    worths = game.worth(present)
    sizes = present.sum(1)
    inner = (sizes > 0) & (sizes < game.count)
    root = np.sqrt(np.where(inner, 1.0, ENDS))
    design = np.column_stack([present, np.ones(len(present))])
    values = np.linalg.lstsq(design * root[:, None], worths * root, rcond=None)[0][:-1]
    nobody, everybody = game.ends()
    own = fit(present[inner].astype(np.float64), worths[inner] - nobody, np.ones(int(inner.sum())), everybody - nobody)
    values, error = game.spread(values), game.spread(own.std_error)
    return Attribution(
        values,
        base_value=nobody,
        std_error=error,
        settled=Settled("standard_error", largest_error(error, values)),
        used={"n_samples": len(present)},
        flavour=f"{len(present):,} coalitions{game.told()}",
    )


def _looks(count: int, least: int) -> list[int]:
    steps = np.linspace(0, count, LOOKS + 1)[1:].astype(int)
    return [int(step) for step in steps if step >= least or step == count]


def _evaluations(params: Params, players: int, rows: int) -> int:
    return (params.n_samples or budget(0, players)) * rows + 1


METHOD = Method(
    id="captum_kernel_shap",
    title=TITLE,
    family="shapley",
    summary="Tries many random combinations of present and absent parts, and shares the prediction by fitting a"
    " straight line, in captum's way.",
    source="Lundberg and Lee (2017), arXiv:1705.07874",
    library="captum",
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words", "tabular": "columns"},
    absence="background",
    completeness="by_construction",
    effort="n_samples",
    evaluations=_evaluations,
)
