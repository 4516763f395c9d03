"""Attention: how much the position that the score is read from looks at each token, in one layer.

Head h of a layer has probabilities A_h = softmax(Q Kᵀ / √d + mask), whose rows sum to 1. A token receives A_h[r, token]
for the reading position r (the classification token, or the mean where several are read), averaged over heads: a share
of attention, of which special tokens get the rest. The maps of all layers and heads are in extras["attention"].
It shows what the model looked at, not what it concluded: the same attention may speak for either class.
Reference: Vaswani et al. (2017), arXiv:1706.03762; on its limits, Jain and Wallace (2019), arXiv:1902.10186.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explainers.types import Attribution, Method, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params:
    """Which of the maps the values are taken from."""

    layer: int = knob(-1, low=-1, high=999, help="Layer, counted from 0; -1 is the last.")
    head: int = knob(-1, low=-1, high=999, help="Head, counted from 0; -1 is the mean of all.")


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Shares of attention; values (players,), a word's is the sum over its tokens."""
    from explainers.engine.attention import UNIT, look  # imports torch
    from explainers.engine.credit import credit

    seen = look(model, sample, target, players, run)
    last = len(seen.maps) - 1
    if params.layer > last:
        raise UserError(f"layer lies between 0 and {last} for {model.card.title}, or is -1; {params.layer} came.")
    heads = seen.maps[params.layer]
    last = len(heads) - 1
    if params.head > last:
        raise UserError(f"head lies between 0 and {last} for {model.card.title}, or is -1; {params.head} came.")
    shares = seen.read(heads.mean(0) if params.head < 0 else heads[params.head])
    return Attribution(credit(shares, players, 1), unit=UNIT, extras=seen.extras, notes=seen.notes(shares, players))


def _flavour(params: Params, reference: Reference | None) -> str:
    layer = "last layer" if params.layer < 0 else f"layer {params.layer}"
    head = "mean of heads" if params.head < 0 else f"head {params.head}"
    return f"{layer}, {head}, counted from 0" if max(params.layer, params.head) >= 0 else f"{layer}, {head}"


METHOD = Method(
    id="attention",
    title="Attention",
    family="attention",
    summary="Shows which words the model looked at, in each layer and head; not whether they spoke for or against.",
    source="Vaswani et al. (2017), arXiv:1706.03762",
    library="assay",
    explain=explain,
    needs=Capability.ATTENTION,
    modalities=("text",),
    params=Params,
    players={"text": "words"},
    signed=False,
    flavour=_flavour,
)
