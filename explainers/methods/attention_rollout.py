"""Attention rollout: attention followed from the last layer down to the input.

Half of what a layer passes on is its own input (the residual connection), half is attended to. With Ā_l the mean of
the heads of layer l,
    R = Â_L · ... · Â_1,    Â_l = row-normalised (½ Ā_l + ½ I),
and a token receives R[r, token] for the position r that the score is read from: a share, special tokens get the rest.
The paper's are the mean of heads and the residual; others take the maximum or minimum of heads, or Â_l = Ā_l.
Reference: Abnar and Zuidema (2020), arXiv:2005.00928.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.reading import heads_knob, interpolation_knob, mixed, position_knob
from explainers.methods.attention import refuses
from explainers.types import Attribution, Method, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params:
    """How a layer passes on what it is given."""

    heads: str = heads_knob()
    residual: bool = knob(True, advanced=True, help="Half of what a layer passes on is its own input, as in the paper.")
    position: int = position_knob()
    interpolation: str = interpolation_knob()


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Shares of rolled-out attention; values (players,), a word's is the sum over its tokens."""
    from explainers.engine.attention import UNIT, look  # imports torch

    seen = look(model, sample, target, players, run, params.position)
    row = seen.read(rollout(seen.maps, params.heads, params.residual))
    return seen.attribution(row, sample, players, params.interpolation, UNIT)


def rollout(maps: tuple[np.ndarray, ...], heads: str = "mean", residual: bool = True) -> np.ndarray:
    """R (tokens, tokens) of maps (heads, tokens, tokens), first layer first; rows sum to 1."""
    rolled = np.eye(maps[0].shape[-1])
    for one in maps:
        rolled = mixed(one, heads, residual) @ rolled
    return rolled


def flavour(params: Params, reference: Reference | None) -> str:
    """Which of the field's variants this is."""
    return f"all layers, {params.heads} of heads, {'half' if params.residual else 'no'} residual"


METHOD = Method(
    id="attention_rollout",
    title="Attention rollout",
    family="attention",
    summary="Follows attention through all layers down to the words or patches; it does not tell one class from"
    " another.",
    source="Abnar and Zuidema (2020), arXiv:2005.00928",
    library="assay",
    aliases=("rollout",),
    explain=explain,
    needs=Capability.ATTENTION,
    modalities=("text", "image"),
    params=Params,
    players={"text": "words"},
    signed=False,
    flavour=flavour,
    refuses=refuses,
)
