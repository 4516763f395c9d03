"""KernelSHAP: Shapley values by a weighted regression over coalitions.

A coalition z of players is worth v(z) = mean over reference rows of f(x where z, the row elsewhere), in units of f. The
values are the coefficients of the least squares fit of v(z) on z that meets v(nobody) and v(everybody), z weighted by
    (d - 1) / (C(d, |z|) · |z| · (d - |z|)),   d players,
so they add up to f(x) - mean f(row) whatever was sampled. With few players every coalition is evaluated and the values
are exact. Coalitions, their weights and the solution are those of shap.KernelExplainer, which is shown coalitions as
its input: 1 is present, 0 is absent. A player whose every reference row equals x gets 0, as there
(the library asks np.isclose, which takes a price of 1,000,009 for one of 1,000,000: here only equals are equal).
Standard errors: a jackknife that leaves out a twentieth of the sampled coalitions at a time, complements together.
Reference: Lundberg and Lee (2017), arXiv:1705.07874.
Numbers: shap KernelExplainer, same seed, background and nsamples, to 1e-9 of their range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine.game import varies
from explainers.engine.libraries import largest_error, quiet, seeded
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

MOST = 2000  # players; beyond it the regression has more unknowns than anybody samples coalitions
FOLDS = 20


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
    l1_reg: str = knob(
        "none",
        choices=("none", "aic", "bic", "num_features(10)"),
        label="Selection",
        help="Lets only some players have credit and puts the others at 0, although the sum stays right.",
        advanced=True,
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    if players.count > MOST:
        raise UserError(
            f"KernelSHAP weighs at most {MOST:,} players; this input has {players.count:,} {players.kind}."
            " Choose coarser players, such as segments, words or spans."
        )
    varying = varies(sample, players, reference)
    active = int(varying.sum())
    coalitions = _budget(params.nsamples, active)
    rows = len(reference.rows)
    run.expect((coalitions + 1) * rows + 1)

    def worth(vectors: np.ndarray) -> np.ndarray:
        """v of coalition vectors (n, players) of 0 and 1."""
        present = np.asarray(vectors) > 0.5
        if present.all():  # everybody is present: every row would give f(x) again
            return np.full(len(present), run.evaluator.values(sample.x[None], target)[0])
        return run.evaluator.masked(sample, players, present, reference, target)

    with seeded(run.seed), quiet() as heard:
        explainer = _explainer(worth, (~varying).astype(float)[None])
        values = explainer.shap_values(
            np.ones((1, players.count)), nsamples=coalitions, l1_reg=_l1(params.l1_reg), silent=True
        )[0]
    exact = active < 2 or (active <= 30 and coalitions == 2**active - 2)
    notes = []
    if any("singular" in str(one.message) for one in heard):
        notes.append("There were fewer coalitions than the regression has unknowns: ask for more of them.")
    error, settled = None, None
    if exact and params.l1_reg == "none":
        settled = Settled("exact")
    elif params.l1_reg == "none":
        with quiet():
            error = _jackknife(explainer, values, varying)
        settled = Settled("standard_error", largest_error(error, values))
    else:
        chosen = int(np.count_nonzero(values))
        notes.append(f"Selection by {params.l1_reg} let {chosen} of {players.count} {players.kind} have credit.")
    shown = 2**active if exact else coalitions + 2  # nobody and everybody are evaluated besides
    return Attribution(
        values,
        base_value=float(explainer.expected_value),
        std_error=error,
        settled=settled,
        notes=tuple(notes),
        used={"nsamples": coalitions},
        flavour=f"{'all ' if exact else ''}{shown:,} coalitions" + _rows(rows),
    )


def _explainer(worth: Any, background: np.ndarray) -> Any:
    from shap import KernelExplainer

    class Coalitions(KernelExplainer):
        """Remembers which coalitions were drawn rather than enumerated: the library adds those with weight 1."""

        def allocate(self) -> None:
            super().allocate()
            self.drawn = np.zeros(self.nsamples, dtype=bool)

        def addsample(self, x: Any, m: Any, w: float) -> None:
            self.drawn[self.nsamplesAdded] = w == 1.0
            super().addsample(x, m, w)

    return Coalitions(worth, background)


def _jackknife(explainer: Any, values: np.ndarray, varying: np.ndarray) -> np.ndarray:
    """Standard errors (players,) of the library's solution, from leaving out parts of what it drew."""
    count = explainer.nsamplesAdded
    drawn = np.flatnonzero(explainer.drawn[:count])
    masks, weights = explainer.maskMatrix, explainer.kernelWeights.copy()
    together = np.zeros(len(drawn), dtype=int)  # a coalition and its complement are one draw
    for place in range(1, len(drawn)):
        previous, this = masks[drawn[place - 1]], masks[drawn[place]]
        paired = bool((previous + this == 1).all()) and (place < 2 or together[place - 1] != together[place - 2])
        together[place] = together[place - 1] + (0 if paired else 1)
    folds = min(FOLDS, int(together[-1]) + 1) if len(drawn) else 0
    if folds < 2:
        return np.zeros(len(values))
    total = weights[drawn].sum()
    found = []
    for fold in range(folds):
        left = weights.copy()
        left[drawn[together % folds == fold]] = 0
        left[drawn] *= total / left[drawn].sum()
        explainer.kernelWeights = left
        found.append(explainer.solve(1.0, 0)[0])
    explainer.kernelWeights = weights
    error = np.zeros(len(values))
    error[varying] = np.sqrt((folds - 1) * np.var(found, axis=0))
    return error


def _budget(asked: int, players: int) -> int:
    """Coalitions besides nobody and everybody, by the library's rule."""
    wanted = asked or 2 * players + 2048
    return min(wanted, 2**players - 2) if players <= 30 else wanted


def _l1(name: str) -> str | bool:
    return False if name == "none" else name


def _rows(rows: int) -> str:
    return f", {rows} reference rows" if rows > 1 else ""


METHOD = Method(
    id="kernel_shap",
    title="KernelSHAP",
    family="shapley",
    summary="Tries many combinations of present and absent parts, and shares the prediction among the parts by what"
    " each adds on average.",
    source="Lundberg and Lee (2017), arXiv:1705.07874",
    library="shap",
    aliases=("kernel",),
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words", "tabular": "columns"},
    absence="background",
    completeness="by_construction",
    effort="nsamples",
    evaluations=lambda params, players, rows: (_budget(params.nsamples, players) + 1) * rows + 1,
)
