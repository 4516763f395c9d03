"""Gradient attention: attention that raises the score, followed through the layers.

With the probabilities A of a layer's heads and their gradient ∇A = ∂F/∂A, each layer from the first to the last adds
    R ← R + mean over heads of (∇A ⊙ A)⁺ · R,    R = I at the start,
and a token receives (R - I)[r, token] for the position r that the score is read from. Taking I off again changes
nothing for other tokens than r itself, and leaves 0 for a token that nobody reads.
Of an encoder with a decoder these are the encoder's layers, read where the decoder reads them.
Reference: Chefer, Gur and Wolf (2021), arXiv:2103.15679, the rule for self-attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.reading import interpolation_knob, position_knob
from explainers.methods.attention import refuses
from explainers.types import Attribution, Method
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params:
    """Where it is read."""

    position: int = position_knob()
    interpolation: str = interpolation_knob()


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Gradient-weighted attention; values (players,), a word's is the sum over its tokens."""
    from explainers.engine.attention import look  # imports torch

    seen = look(model, sample, target, players, run, params.position)
    assert seen.gradients is not None  # needs GRADIENTS
    row = seen.read(relevance(seen.maps, seen.gradients))
    nothing = () if row.any() else ("There is no attention that raises this score, so every value is 0.",)
    return seen.attribution(row, sample, players, params.interpolation, "gradient-weighted attention", *nothing)


def relevance(maps: tuple[np.ndarray, ...], gradients: tuple[np.ndarray, ...]) -> np.ndarray:
    """R - I (tokens, tokens) of maps and gradients (heads, tokens, tokens), first layer first."""
    identity = np.eye(maps[0].shape[-1])
    found = identity
    for heads, gradient in zip(maps, gradients, strict=True):
        found = found + np.maximum(gradient * heads, 0).mean(0) @ found
    return found - identity


METHOD = Method(
    id="gradient_attention",
    title="Gradient attention",
    family="attention",
    summary="Follows the attention that raises this class's score through all layers down to the words or patches.",
    source="Chefer, Gur and Wolf (2021), arXiv:2103.15679",
    library="assay",
    aliases=("chefer", "gradient_weighted_attention", "attention_relevance"),
    explain=explain,
    needs=Capability.ATTENTION | Capability.GRADIENTS,
    modalities=("text", "image"),
    params=Params,
    players={"text": "words"},
    signed=False,
    flavour=lambda params, reference: "all layers, positive gradient × attention",
    refuses=refuses,
)
