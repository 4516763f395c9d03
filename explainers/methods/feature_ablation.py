"""Feature ablation: how much the output falls when one part is replaced by the baseline, all others kept.

Player i receives F(x) - F(x with player i from the baseline), in units of F. It is occlusion with one window a player;
a picture is divided into segments that follow it, and single pixels are allowed. What two parts say together is counted
twice or not at all, so the values add up only for a model that is a sum over its parts.
Numbers: captum FeatureAblation with the same feature mask and baseline, whose own default baseline is 0 throughout.
Reference: Zeiler and Fergus (2014), arXiv:1311.2901; Kokhlikyan and others (2020), arXiv:2009.07896.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explainers.engine.leaving_out import left_out
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params:
    """How a picture or a series is divided."""

    segments: int = knob(70, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(20, low=2, high=300, help="For series and sounds: how many spans of time there are.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Replace one player at a time; values (players,) in the target's unit."""
    run.expect(1 + players.count)
    whole = run.evaluator.values(sample.x[None], target)[0]
    without = left_out(sample, players, reference.rows, target, run)[0]
    return Attribution(whole - without, settled=Settled("exact"), flavour=f"each of {players.count:,} {players.kind}")


METHOD = Method(
    id="feature_ablation",
    title="Feature ablation",
    family="perturbation",
    summary="Replaces one part of the input at a time by the baseline and shows how much the output falls without it.",
    source="Kokhlikyan and others (2020), arXiv:2009.07896",
    library="captum",
    aliases=("ablation",),
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words"},
    absence="baseline",
    evaluations=lambda params, players, rows: 1 + players,
)
