"""Linear SHAP: Shapley values of a linear model, in closed form.

    φ_i = sum over the inputs j of player i of w_j (x_j - mean of row_j),   F(x) = w x + c,
in units of F: the interventional flavour, in which the average of absent columns does not depend on those present.
For such a model these are exact, and base + sum = F(x). w is not read off the model, which may be anything that
computes a line: F is asked with one player of x in the mean row at a time. It is a line only if
    F(a) + F(b) = F(c) + F(a + b - c) for any a, b, c,
which is tried near the input and far from it, and a model that fails is refused. A probability of two classes is
explained by its log-odds, where those are linear, as the library does with a logistic regression.
Reference: Lundberg and Lee (2017), arXiv:1705.07874; Štrumbelj and Kononenko (2014).
Numbers: shap LinearExplainer, same background, interventional, to 1e-6 of their range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.game import varies
from explainers.types import Attribution, Method, Settled
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

SCALES = (1.0, 0.1, 10.0, 0.01)  # of the points at which the line is tried, of the size of x
TRIES = 16  # points of each scale, four a try
CLEAR = 1e-3  # a probability nearer to 0 or 1 may have lost its log-odds to rounding
ROUNDING = {4: 1e-4, 8: 1e-5}  # of the largest score, by bytes a number; boosters round to four inside
OTHERS = "Use exact Shapley values or Leverage SHAP, which ask any model."


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: object, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    mean = reference.rows.mean(0, dtype=np.float64).astype(reference.rows.dtype)
    alone = np.flatnonzero(varies(sample, players, reference))
    mixed = np.repeat(mean[None], len(alone), 0)
    for row, player in zip(mixed, alone, strict=True):
        row[players.owner == player] = sample.x[players.owner == player]
    points = np.concatenate([mean[None], sample.x[None], mixed])
    run.expect(len(points))
    worths = run.evaluator.values(points, target)
    odds = _is_chance(model) and target.output == "probability"
    if odds:
        worths = _log_odds(worths)
    values = np.zeros(players.count)
    values[alone] = worths[2:] - worths[0]
    apart, rounding = abs(values.sum() - (worths[1] - worths[0])), _rounding(model)
    if not np.isfinite(worths).all() or apart > rounding * max(np.abs(values).sum(), np.abs(worths).max()):
        raise UserError(
            f"{target.label} as a {target.output} is no linear function of the input here, though the model's own"
            " scores are. Explain the logit, or use exact Shapley values or Leverage SHAP."
        )
    rows = len(reference.rows)
    return Attribution(
        values,
        base_value=float(worths[0]),
        explained=float(worths[1]) if odds else None,
        unit="log-odds" if odds else None,
        settled=Settled("exact"),
        notes=("The log-odds of the probability are linear, so they are what is shared.",) if odds else (),
        flavour="interventional" + (f", the mean of {rows} background rows" if rows > 1 else ""),
    )


def refuses(model: Model, sample: Sample) -> str | None:
    """A sentence where the model does not compute a line."""
    from explainers.engine.evaluator import Evaluator
    from explainers.engine.run import Run

    ask = Evaluator(model, Run(), (), sample.x.size).scores
    random = np.random.default_rng(0)
    size = np.maximum(np.abs(np.nan_to_num(sample.x.astype(np.float64))), 1.0)
    judged = 0
    for scale in SCALES:
        a, b, c = scale * size * random.standard_normal((3, TRIES // 4, *sample.x.shape))
        points = np.concatenate([a, b, c, a + b - c]).astype(sample.x.dtype)
        try:
            with model.frozen():
                scores = ask(points).double().numpy()
        except UserError as error:
            return f"Linear SHAP could not try whether this model is linear: {error} {OTHERS}"
        if _is_chance(model):
            clear = ((scores > CLEAR) & (scores < 1 - CLEAR)).reshape(4, TRIES // 4, -1).all((0, 2))
            with np.errstate(divide="ignore", invalid="ignore"):
                scores = _log_odds(scores)
        else:
            clear = np.ones(TRIES // 4, dtype=bool)
        first, second, third, fourth = scores.reshape(4, TRIES // 4, -1)[:, clear]
        judged += len(first)
        apart = np.abs(first + second - third - fourth)
        largest = np.abs(np.stack([first, second, third, fourth])).max(initial=0.0)
        if not np.isfinite(largest) or (apart > _rounding(model) * largest).any():
            return f"Linear SHAP is right for linear models only, and {model.card.title} is not one. {OTHERS}"
    if not judged:
        return f"Linear SHAP could not try whether this model is linear: its probabilities are all 0 or 1. {OTHERS}"
    return None


def _is_chance(model: Model) -> bool:
    return model.card.output == "probability"


def _rounding(model: Model) -> float:
    return ROUNDING[8 if "64" in str(model.dtype) else 4]


def _log_odds(chance: np.ndarray) -> np.ndarray:
    return np.log(chance) - np.log1p(-chance)


METHOD = Method(
    id="linear_shap",
    title="Linear SHAP",
    family="shapley",
    summary="For a linear model: each column's weight times how far its value is from the usual one.",
    source="Štrumbelj and Kononenko (2014); Lundberg and Lee (2017), arXiv:1705.07874",
    library="shap",
    aliases=("linear",),
    explain=explain,
    modalities=("tabular",),
    players={"tabular": "columns"},
    absence="background",
    completeness="approximate",
    evaluations=lambda params, players, rows: players + 2,
    refuses=refuses,
)
