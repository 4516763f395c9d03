"""Feature permutation of one prediction: how much the output falls when one part takes its values from other rows.

Player i receives F(x) - mean over background rows r of F(x with player i from r), in units of F: what knowing this
value is worth against not knowing it, all others kept. A category's one-hot parts come from the same row together.
Global permutation importance shuffles a column over all rows and watches an error; here one row is explained and its
output is watched, so a value has a sign. captum FeaturePermutation gives each row of a batch the value of another row;
averaged over the cyclic shifts of the batch (x and the background), its number for x is the one here.
Nothing is sampled: every row is used. The standard error is over the rows, as draws from all that there could be.
Reference: Breiman (2001), Random forests; Fisher, Rudin and Dominici (2019), arXiv:1801.01489.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.leaving_out import left_out
from explainers.engine.libraries import largest_error
from explainers.types import Attribution, Method, Settled, knob
from explainers.words import percent
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

PARTS = 10  # of the rows, after each of which what is known so far is shown
ALONE = "There was one reference row and no background, so this is feature ablation; more rows: background=rows."


@dataclass(frozen=True)
class Params:
    """How a picture or a series is divided."""

    segments: int = knob(70, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(20, low=2, high=300, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Replace one player at a time by those of every row; values (players,) in the target's unit."""
    rows = reference.rows
    run.expect(1 + players.count * len(rows))
    whole = run.evaluator.values(sample.x[None], target)[0]
    found, step = np.empty((0, players.count)), -(-len(rows) // PARTS)
    for start in range(0, len(rows), step):
        without = left_out(sample, players, rows[start : start + step], target, run)
        found = np.concatenate([found, whole - without])
        if len(found) < len(rows):
            run.publish(_attribution(found))
    return _attribution(found)


def _attribution(falls: np.ndarray) -> Attribution:
    """The mean over rows of falls (rows, players)."""
    values, rows = falls.mean(0), len(falls)
    if rows == 1:
        return Attribution(values, settled=Settled("exact"), notes=(ALONE,), flavour="1 row")
    error = falls.std(0, ddof=1) / np.sqrt(rows)
    others = (
        f"Other background rows would move the values by a standard error of {percent(largest_error(error, values))}"
    )
    settled = Settled("exact", note=f"{others} of their range at most.")
    return Attribution(values, std_error=error, settled=settled, flavour=f"mean over {rows:,} rows")


METHOD = Method(
    id="feature_permutation",
    title="Feature permutation",
    family="perturbation",
    summary="Gives one part of the input the values that it has in other rows, and shows how much the output falls on"
    " average.",
    source="Breiman (2001), doi:10.1023/A:1010933404324",
    library="captum",
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words"},
    absence="background",
    evaluations=lambda params, players, rows: 1 + players * rows,
)
