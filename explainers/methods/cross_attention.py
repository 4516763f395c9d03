"""Cross-attention: what one position of a decoder looks at in the input, in one layer.

A decoder's layer has queries from its own sequence and keys from the encoder's, so its map A_h = softmax(Q Kᵀ / √d) has
a row for each target position and a column for each token of the input. A token receives A_h[p, token] for the target
position p, averaged over heads: a share, special tokens get the rest. The same is read where a learned query looks at
the input (attention pooling). With measure "norm" it is ‖Σ_h A_h[p, j] f_h(x_j)‖ instead, the length of what the token
brings (see attention_norms), which follows word alignments more closely.
The maps of all layers and heads are in extras["cross_attention"], (layers, heads, targets, tokens).
Reference: Bahdanau, Cho and Bengio (2015), arXiv:1409.0473; Vaswani et al. (2017), arXiv:1706.03762.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explainers.engine.reading import chosen, fuse, heads_knob, interpolation_knob
from explainers.types import Attribution, Method, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

WEIGHT, NORM = "weight", "norm"


@dataclass(frozen=True)
class Params:
    """Who looks, and in which of the maps."""

    position: int = knob(-1, low=-1, high=99_999, help="Position of the decoder, counted from 0; -1 is the last.")
    layer: int = knob(-1, low=-1, high=999, help="Layer with cross-attention, counted from 0; -1 is the last.")
    head: int = knob(-1, low=-1, high=999, help="Head, counted from 0; -1 is all of them made one.")
    heads: str = heads_knob()
    measure: str = knob(
        WEIGHT,
        choices=(WEIGHT, NORM),
        advanced=True,
        help="The weight of attention, or the norm of what is brought by it; norms of heads are those of their sum.",
    )
    interpolation: str = interpolation_knob()


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Shares of a decoder position's attention; values (players,), a word's is the sum over its tokens."""
    from explainers.engine.attention import UNIT, across, arrays  # imports torch
    from explainers.engine.norms import norms
    from model_zoo import probe

    run.expect(1)
    found = run.evaluator.inside(
        model.tensor(sample.x[None]),
        target,
        lambda number, entry: probe.attention(lambda: number(entry), entry=entry),
        backward=False,
    )
    kept, place = across(found, sample, model)
    layers, title = arrays(kept), model.card.title
    layer = layers[chosen("layer", params.layer, len(layers), title)]
    head = chosen("head", params.head, len(layer.map), title) if params.head >= 0 else -1
    at = chosen("position", params.position, layer.map.shape[1], title)
    if params.measure == WEIGHT:
        shown, unit = (fuse(layer.map, params.heads) if head < 0 else layer.map[head]), UNIT
    elif layer.value is None:
        raise UserError(f"The probe did not see what {title} multiplies this attention with; choose measure='weight'.")
    else:
        shown, unit = norms(layer, "sum" if params.heads == "mean" else params.heads, head), "norm of attended values"
    row = shown[at]
    values, extras = place.values(row, sample, players, params.interpolation)
    extras |= place.extras(tuple(one.map for one in layers), "cross_attention")
    size = layer.map.shape[1]
    notes: tuple[str, ...] = (f"This is what position {at + 1} of {size} of the decoder attends to in the input.",)
    if size == 1:
        notes = ("One query reads the input: this is what it attends to.",)
    unit = f"{unit} per patch" if place.rows else unit
    if params.measure == WEIGHT:
        notes += place.nobodys(row, players)
    return Attribution(values, unit=unit, extras=extras, notes=notes)


def refuses(model: Model, sample: Sample) -> str | None:
    """A network in which nothing but the tokens themselves looks at them."""
    from explainers.engine.attention import refusal

    return refusal("across", model, sample)


def _flavour(params: Params, reference: Reference | None) -> str:
    layer = "last layer" if params.layer < 0 else f"layer {params.layer}"
    head = f"{params.heads} of heads" if params.head < 0 else f"head {params.head}"
    position = "last position" if params.position < 0 else f"position {params.position}"
    counted = ", counted from 0" if max(params.layer, params.head, params.position) >= 0 else ""
    return f"{position}, {layer}, {head}{counted}"


METHOD = Method(
    id="cross_attention",
    title="Cross-attention",
    family="attention",
    summary="Shows which words or patches of the input a position of the decoder looked at.",
    source="Bahdanau, Cho and Bengio (2015), arXiv:1409.0473",
    library="assay",
    explain=explain,
    needs=Capability.ATTENTION,
    modalities=("text", "image"),
    params=Params,
    players={"text": "words"},
    signed=False,
    flavour=_flavour,
    refuses=refuses,
)
