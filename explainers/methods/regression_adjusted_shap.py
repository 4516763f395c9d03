"""Regression-adjusted SHAP: Leverage SHAP with what trees can foretell of its noise taken away.

Pairs of coalitions are drawn and evaluated as Leverage SHAP does (methods/leverage_shap.py), and boosted trees g are
fitted to what a first regression misses. The exact Shapley values φ(g) of trees are known, so for each pair
    c(S) = (g(S) - g(not S) + sum φ(g)) / 2 - sum of φ_i(g) over i in S
is noise that the regression would average out in the end, and can be subtracted beforehand: φ is the fit of
odd(S) - β c(S), β in [0, 1] by least squares. Each pair is foretold by trees that have not seen it (cross-fitting), so
poor trees do little harm. At few coalitions a bias is left, since the line that the trees start from and β have seen
all pairs: up to half of a standard error was measured with 120 coalitions of 10 players. The values are in units of f
and add up to f(x) - mean f(row) by construction. Standard errors are those of the last regression.
Reference: Witter, Liu and Musco (2025), arXiv:2506.11849, where Monte Carlo stands in the place of the regression.
Numbers are ours: no library has this estimator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.coalitions import Pairs
from explainers.engine.game import Game, budget, enough
from explainers.engine.libraries import quiet
from explainers.engine.regression import kernel
from explainers.engine.shapley import enumerated
from explainers.methods.leverage_shap import (
    Params,
    attribution,
    drawn,
    evaluations,
    exhausts,
    halves,
    looks,
    solved,
)
from explainers.types import Attribution, Method
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

TITLE = "Regression-adjusted SHAP"
FOLDS = 10
TREES = {"n_estimators": 100, "max_depth": 4, "learning_rate": 0.1, "n_jobs": 1, "random_state": 0}


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
        there = pairs.part(stop)
        odd, total = halves(game, there.first)
        if stop < len(pairs.first):
            run.publish(attribution(game, solved(there, odd, total), 2 * stop + 2))
    share, noise = _foretold(game, pairs, odd, total)
    found = attribution(game, solved(pairs, odd - share * noise, total), 2 * len(odd) + 2)
    return found


def _foretold(game: Game, pairs: Pairs, odd: np.ndarray, total: float) -> tuple[float, np.ndarray]:
    """β, and c (n,) of each pair by trees that were fitted to the other folds."""
    first = pairs.first
    plain = solved(pairs, odd, total)
    worths = game.worth(np.concatenate([first, ~first])) - game.ends()[0]
    missed = worths - np.concatenate([first, ~first]) @ plain.values
    scale = np.abs(missed).max()
    if scale <= 1e-9 * max(abs(total), np.abs(worths).max()):  # a line fits; there is nothing to foretell
        return 0.0, np.zeros(len(odd))
    halved = missed.reshape(2, -1) / scale
    noise = np.zeros(len(odd))
    fold = np.arange(len(odd)) % FOLDS  # pairs come in random order
    with quiet():
        for one in range(FOLDS):
            game.run.check()
            rest, held = fold != one, fold == one
            noise[held] = scale * _noise(first[rest], halved[:, rest], first[held])
    weights = kernel(game.count, first.sum(1)) / pairs.chance
    alone = solved(pairs, noise, 0.0).missed
    return float(np.clip((weights * alone * plain.missed).sum() / ((weights * alone**2).sum() or 1.0), 0, 1)), noise


def _noise(seen: np.ndarray, missed: np.ndarray, held: np.ndarray) -> np.ndarray:
    """c (m,) of pairs `held` (m, d), by trees fitted to pairs `seen` (n, d) of which a line misses (2, n)."""
    from shap import TreeExplainer
    from xgboost import XGBRegressor

    players = seen.shape[1]
    ends = np.stack([np.zeros(players), np.ones(players)])  # which the line meets
    trees = XGBRegressor(**TREES).fit(
        np.concatenate([seen, ~seen, ends]).astype(np.float32), np.append(missed.reshape(-1), [0.0, 0.0])
    )
    values = np.asarray(TreeExplainer(trees, ends[:1]).shap_values(ends[1:]), dtype=np.float64)[0]
    apart = trees.predict(held.astype(np.float32)) - trees.predict((~held).astype(np.float32))
    return (apart + values.sum()) / 2 - held @ values


METHOD = Method(
    id="regression_adjusted_shap",
    title=TITLE,
    family="shapley",
    summary="Tries combinations of present and absent parts, learns from them what the model does with others, and"
    " corrects what it learned.",
    source="Witter, Liu and Musco (2025), arXiv:2506.11849",
    library="assay",
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words", "tabular": "columns"},
    absence="background",
    completeness="by_construction",
    effort="nsamples",
    evaluations=evaluations,
)
