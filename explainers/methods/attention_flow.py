"""Attention flow: how much could flow from the score down to each token, if attention weights were the widths of pipes.

Each token of each layer is a node, and Â_l = row-normalised (½ Ā_l + ½ I) the capacities between neighbouring layers,
with Ā_l the mean of the heads of layer l and I the residual connection. A token receives the maximum flow from the
position r that the score is read from, in the last layer, to the token in the input: at most 1, each token on its own,
so that values do not add up to 1. They are the paper's flows before any normalising; where the score is read from
several positions, a node above gives each of them an equal share.
Unlike rollout, which multiplies the weights of a path, a path is as wide as its narrowest edge.
Reference: Abnar and Zuidema (2020), arXiv:2005.00928.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.reading import mixed
from explainers.methods.attention import refuses
from explainers.methods.attention_rollout import Params, flavour
from explainers.types import Attribution, Method
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Maximum flows; values (players,), a word's is the sum over its tokens."""
    from explainers.engine.attention import look  # imports torch
    from explainers.engine.flow import flows

    seen = look(model, sample, target, players, run, params.position)
    capacities = tuple(mixed(one, params.heads, params.residual) for one in seen.maps)
    row: np.ndarray = flows(capacities, seen.readers, run.check)
    return seen.attribution(row, sample, players, params.interpolation, "maximum flow", shares=False)


METHOD = Method(
    id="attention_flow",
    title="Attention flow",
    family="attention",
    summary="How much could flow from the score down to each word or patch, if attention weights were the widths of"
    " pipes; it does not tell one class from another.",
    source="Abnar and Zuidema (2020), arXiv:2005.00928",
    library="assay",
    aliases=("flow",),
    explain=explain,
    needs=Capability.ATTENTION,
    modalities=("text", "image"),
    params=Params,
    players={"text": "words"},
    signed=False,
    flavour=flavour,
    refuses=refuses,
)
