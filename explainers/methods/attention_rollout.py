"""Attention rollout: attention followed from the last layer down to the input.

Half of what a layer passes on is its own input (the residual connection), half is attended to. With Ā_l the mean of
the heads of layer l,
    R = Â_L · ... · Â_1,    Â_l = row-normalised (½ Ā_l + ½ I),
and a token receives R[r, token] for the position r that the score is read from: a share, special tokens get the rest.
Reference: Abnar and Zuidema (2020), arXiv:2005.00928.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.types import Attribution, Method, NoParams
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: NoParams, run: Run
) -> Attribution:
    """Shares of rolled-out attention; values (players,), a word's is the sum over its tokens."""
    from explainers.engine.attention import UNIT, look  # imports torch
    from explainers.engine.credit import credit

    seen = look(model, sample, target, players, run)
    shares = seen.read(rollout(seen.maps))
    return Attribution(credit(shares, players, 1), unit=UNIT, extras=seen.extras, notes=seen.notes(shares, players))


def rollout(maps: tuple[np.ndarray, ...]) -> np.ndarray:
    """R (tokens, tokens) of maps (heads, tokens, tokens), first layer first; rows sum to 1."""
    identity = np.eye(maps[0].shape[-1])
    rolled = identity
    for heads in maps:
        mixed = (heads.mean(0) + identity) / 2
        rolled = mixed / mixed.sum(-1, keepdims=True) @ rolled
    return rolled


METHOD = Method(
    id="attention_rollout",
    title="Attention rollout",
    family="attention",
    summary="Follows attention through all layers down to the words; it does not tell one class from another.",
    source="Abnar and Zuidema (2020), arXiv:2005.00928",
    library="assay",
    explain=explain,
    needs=Capability.ATTENTION,
    modalities=("text",),
    players={"text": "words"},
    signed=False,
    flavour=lambda params, reference: "all layers, mean of heads, half residual",
)
