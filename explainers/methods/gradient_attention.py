"""Gradient attention: attention that raises the score, followed through the layers.

With the probabilities A of a layer's heads and their gradient ∇A = ∂F/∂A, each layer from the first to the last adds
    R ← R + mean over heads of (∇A ⊙ A)⁺ · R,    R = I at the start,
and a token receives (R - I)[r, token] for the position r that the score is read from. Taking I off again changes
nothing for other tokens than r itself, and leaves 0 for a token that nobody reads.
Reference: Chefer, Gur and Wolf (2021), arXiv:2103.15679, the rule for self-attention.
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
    """Gradient-weighted attention; values (players,), a word's is the sum over its tokens."""
    from explainers.engine.attention import look  # imports torch
    from explainers.engine.credit import credit

    seen = look(model, sample, target, players, run)
    assert seen.gradients is not None  # needs GRADIENTS
    row = seen.read(relevance(seen.maps, seen.gradients))
    notes = seen.notes(row, players)
    if not row.any():
        notes += ("There is no attention that raises this score, so every value is 0.",)
    return Attribution(credit(row, players, 1), unit="gradient-weighted attention", extras=seen.extras, notes=notes)


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
    summary="Follows the attention that raises this class's score through all layers down to the words.",
    source="Chefer, Gur and Wolf (2021), arXiv:2103.15679",
    library="assay",
    explain=explain,
    needs=Capability.ATTENTION | Capability.GRADIENTS,
    modalities=("text",),
    players={"text": "words"},
    signed=False,
    flavour=lambda params, reference: "all layers, positive gradient × attention",
)
