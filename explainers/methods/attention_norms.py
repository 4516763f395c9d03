"""Norms of attended values: how much each token really brings to the position that looks at it, in one layer.

A token with a small vector brings little however much it is attended to. With probabilities A_h, values v_j and W_h the
rows of the output projection that belong to head h, f_h(x_j) = v_j W_h, and a token receives
    ‖ Σ_h A_h[r, j] f_h(x_j) ‖
for the position r that the score is read from: the length of what it adds, without the bias of the projection and
without the residual connection. Where no projection is seen to follow, heads stand side by side: f_h(x_j) = v_j, and
the notes say so. Norms are no shares: they do not add up, since vectors may cancel.
Reference: Kobayashi et al. (2020), arXiv:2004.10102.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explainers.engine.reading import chosen, interpolation_knob, position_knob
from explainers.methods.attention import refuses
from explainers.types import Attribution, Method, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params:
    """Of which layer and heads, and what a value goes through."""

    layer: int = knob(-1, low=-1, high=999, help="Layer, counted from 0; -1 is the last.")
    head: int = knob(-1, low=-1, high=999, help="Head, counted from 0; -1 is all of them.")
    heads: str = knob(
        "sum",
        choices=("sum", "mean", "max", "min"),
        advanced=True,
        help="The norm of the sum of all heads' vectors, as in the paper; or the mean, maximum or minimum of theirs.",
    )
    projection: bool = knob(
        True, advanced=True, help="With the output projection, where it can be seen; else values alone."
    )
    position: int = position_knob()
    interpolation: str = interpolation_knob()


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Norms of what each token adds; values (players,), a word's is the sum over its tokens."""
    from explainers.engine.attention import look  # imports torch
    from explainers.engine.norms import norms

    seen = look(model, sample, target, players, run, params.position)
    title = model.card.title
    layer = seen.layers[chosen("layer", params.layer, len(seen.layers), title)]
    if layer.value is None:
        raise UserError(
            f"{title} was expected to multiply its attention with values; the probe did not see that product, so their"
            " norms are not known. Use attention or attention rollout."
        )
    head = chosen("head", params.head, len(layer.map), title) if params.head >= 0 else -1
    row = seen.read(norms(layer, params.heads, head, params.projection))
    if params.projection and layer.projection is not None:
        note = "Norms are of values after the output projection that was seen to follow."
    elif params.projection:
        note = "No output projection was seen to follow this layer, so norms are of the values alone."
    else:
        note = "Norms are of the values alone, without the output projection."
    return seen.attribution(row, sample, players, params.interpolation, "norm of attended values", note, shares=False)


def _flavour(params: Params, reference: Reference | None) -> str:
    layer = "last layer" if params.layer < 0 else f"layer {params.layer}"
    head = f"{params.heads} of heads" if params.head < 0 else f"head {params.head}"
    return f"{layer}, {head}, counted from 0" if max(params.layer, params.head) >= 0 else f"{layer}, {head}"


METHOD = Method(
    id="attention_norms",
    title="Norms of attended values",
    family="attention",
    summary="How much each word or patch really brings to where the score is read: attention times what is attended to,"
    " in one layer.",
    source="Kobayashi et al. (2020), arXiv:2004.10102",
    library="assay",
    aliases=("value_weighted_norms", "value_norms", "norms"),
    explain=explain,
    needs=Capability.ATTENTION,
    modalities=("text", "image"),
    params=Params,
    players={"text": "words"},
    signed=False,
    flavour=_flavour,
    refuses=refuses,
)
