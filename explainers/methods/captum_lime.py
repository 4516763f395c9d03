"""LIME as Captum does it: parts switched to the baseline at random, and a Lasso fitted to what the output does.

Samples z keep each player with probability 1/2, the others take the baseline; with F(z) the output, in units of F,
    min over w, c of 1/2 · sum over z of k(z) (F(z) - w·z - c)² / sum of k(z) + alpha |w|₁,
    k(z) = exp(-D² / 2), D = 1 - cosine of the angle between x and the altered x,
gives each player its coefficient w. The Lasso is not neutral: it pulls every coefficient towards 0 by about alpha over
the variance of a switch (0.04 units of F by default) and sets those below that to 0; how many is said, and the ridge
leaves them be. alpha is in units of F, so that it may swallow a probability whole. R² says how far the line follows the
model. For token ids, whose angle means nothing, D is taken between the switches instead (all on, and z).
Standard errors: a jackknife that refits without a twentieth of the samples at a time.
Reference: Ribeiro, Singh and Guestrin (2016), arXiv:1602.04938; Kokhlikyan and others (2020), arXiv:2009.07896.
Numbers: captum Lime, same torch seed, feature mask, baseline, n_samples and linear model, to 1e-5 of their range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.credit import credit
from explainers.engine.libraries import largest_error, quiet, seeded
from explainers.engine.surrogate import follows
from explainers.types import Attribution, Method, Settled, knob
from explainers.words import number
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

MOST = 2000  # players
FOLDS = 20


@dataclass(frozen=True)
class Params:
    """The neighbourhood and the line."""

    n_samples: int = knob(
        1000, low=10, high=100_000, label="Samples", help="Altered copies that the line is fitted to; Captum takes 25."
    )
    regression: str = knob(
        "lasso",
        choices=("lasso", "ridge", "linear"),
        label="Line",
        help="lasso: Captum's default, sets small effects to 0; ridge: hardly shrinks; linear: not at all.",
    )
    alpha: float = knob(
        0.01,
        low=0.0,
        high=10.0,
        label="Penalty",
        help="How strongly coefficients are pulled to 0, in units of the output; not used by linear.",
    )
    segments: int = knob(70, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(20, low=2, high=300, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Fit a line to random coalitions; values (players,) are coefficients, in the target's unit."""
    if players.count > MOST:
        raise UserError(
            f"LIME fits at most {MOST:,} players; this input has {players.count:,} {players.kind}."
            " Choose coarser players, such as segments, words or spans."
        )
    import torch

    run.expect(params.n_samples)
    switches = drawn(params.n_samples, players.count, run.seed)
    outputs = run.evaluator.masked(sample, players, switches == 1, reference, target)
    weights = _similarity(sample, players, reference.rows[0], switches)
    # The library's line draws weights that it then replaces, and scikit-learn a seed that it does not use.
    with quiet(), seeded(run.seed), torch.random.fork_rng(devices=[]):
        values, intercept = _fit(switches, outputs, weights, params)
        error = _jackknife(switches, outputs, weights, params)
    r2 = _r2(outputs, intercept + switches @ values, weights)
    return Attribution(
        values,
        std_error=error,
        settled=Settled("standard_error", largest_error(error, values)),
        extras={"r2": np.array(r2), "intercept": np.array(intercept)},
        notes=(follows(r2), *_shrunk(values, switches, weights, players, target, params)),
        flavour=f"{params.regression}, {params.n_samples:,} samples, R² {max(r2, 0.0):.2f}",
    )


def drawn(count: int, players: int, seed: int) -> np.ndarray:
    """0 and 1 (count, players): one draw for all takes the stream that the library takes sample by sample."""
    import torch

    half = torch.full((count, players), 0.5)
    return torch.bernoulli(half, generator=torch.Generator().manual_seed(seed)).double().numpy()


def _similarity(sample: Sample, players: Players, cover: np.ndarray, switches: np.ndarray) -> np.ndarray:
    """The library's kernel (samples,), from what each player adds to the dot product and to the length."""
    if np.issubdtype(sample.x.dtype, np.floating):
        x, b = sample.x.astype(np.float64), cover.astype(np.float64)
        kept, gone, crossed = (credit(one, players, x.ndim) for one in (x * x, b * b, x * b))
        nobody = float((x * x).sum() - kept.sum())  # what nobody owns stays
        dot = switches @ kept + (1 - switches) @ crossed + nobody
        length = switches @ kept + (1 - switches) @ gone + nobody
        own = kept.sum() + nobody
    else:
        dot, length, own = switches.sum(1), switches.sum(1), float(players.count)
    least = 1e-8  # as torch.nn.CosineSimilarity
    distance = 1 - dot / (np.maximum(np.sqrt(np.maximum(length, 0)), least) * max(np.sqrt(own), least))
    return np.exp(-(distance**2) / 2)


def _fit(switches: np.ndarray, outputs: np.ndarray, weights: np.ndarray, params: Params) -> tuple[np.ndarray, float]:
    """Coefficients (players,) and the intercept, by the library's own linear model."""
    import torch
    from captum._utils.models import linear_model

    kinds = {
        "lasso": linear_model.SkLearnLasso,
        "ridge": linear_model.SkLearnRidge,
        "linear": linear_model.SkLearnLinearRegression,
    }
    line = kinds[params.regression](**({} if params.regression == "linear" else {"alpha": params.alpha}))
    data = torch.utils.data.TensorDataset(*(torch.as_tensor(one).float() for one in (switches, outputs, weights)))
    source = torch.Generator()  # a loader draws a seed even where nothing is shuffled
    line.fit(torch.utils.data.DataLoader(data, batch_size=len(data), generator=source))
    found, bias = line.representation().detach(), line.bias()
    return found.double().numpy().reshape(-1), float(bias)


def _jackknife(switches: np.ndarray, outputs: np.ndarray, weights: np.ndarray, params: Params) -> np.ndarray:
    folds = min(FOLDS, len(switches))
    fold = np.arange(len(switches)) % folds
    found = []
    for one in range(folds):
        kept = fold != one
        found.append(_fit(switches[kept], outputs[kept], weights[kept], params)[0])
    return np.sqrt((folds - 1) * np.var(found, axis=0))


def _r2(outputs: np.ndarray, fitted: np.ndarray, weights: np.ndarray) -> float:
    """The share of the weighted variation of the outputs that the line follows; 1 where there is none to follow."""
    around = outputs - np.average(outputs, weights=weights)
    total, missed = float(weights @ around**2), float(weights @ (outputs - fitted) ** 2)
    if total <= 1e-12 * float(weights @ outputs**2):
        return 1.0
    return 1 - missed / total


def _shrunk(
    values: np.ndarray, switches: np.ndarray, weights: np.ndarray, players: Players, target: Target, params: Params
) -> tuple[str, ...]:
    """What the fit did to the coefficients besides finding them, in sentences."""
    if len(switches) <= players.count and params.regression == "linear":
        return (f"There are {len(switches):,} samples for {players.count:,} {players.kind}: ask for more.",)
    if params.regression != "lasso":
        return ()
    zeros = int(np.count_nonzero(values == 0))
    mean = np.average(switches, axis=0, weights=weights)
    variance = float(np.median(mean * (1 - mean)))
    if zeros == len(values):
        return (
            f"The Lasso set all {len(values):,} values to 0: its penalty of {params.alpha:g} is larger than any effect"
            " here. Choose a smaller penalty or the ridge.",
        )
    unit = "" if target.unit == "value" else f" {target.unit}"
    pull = f"{number(params.alpha / variance, 2)}{unit}" if variance else "an unknown amount"
    return (
        f"The Lasso set {zeros:,} of {len(values):,} values to 0 and pulled the others towards 0 by about"
        f" {pull} each; the ridge does not.",
    )


METHOD = Method(
    id="captum_lime",
    title="LIME by Captum",
    family="surrogate",
    summary="Switches parts of the input to the baseline at random, and fits a straight line that keeps few of them.",
    source="Ribeiro, Singh and Guestrin (2016), arXiv:1602.04938",
    library="captum",
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words"},
    absence="baseline",
    effort="n_samples",
    evaluations=lambda params, players, rows: params.n_samples,
)
