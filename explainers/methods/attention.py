"""Attention: how much the position that the score is read from looks at each token, in one layer.

Head h of a layer has probabilities A_h = softmax(Q Kᵀ / √d + mask), whose rows sum to 1. A token receives A_h[r, token]
for the reading position r (the classification token, or the mean where several are read), averaged over heads: a share
of attention, of which special tokens get the rest. The maps of all layers and heads are in extras["attention"].
Of a vision transformer tokens are patches: extras["map"] has their shares, and each pixel has that of its patch.
It shows what the model looked at, not what it concluded: the same attention may speak for either class.
Reference: Vaswani et al. (2017), arXiv:1706.03762; on its limits, Jain and Wallace (2019), arXiv:1902.10186.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explainers.engine.reading import chosen, fuse, heads_knob, interpolation_knob, position_knob
from explainers.types import Attribution, Method, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


@dataclass(frozen=True)
class Params:
    """Which of the maps the values are taken from."""

    layer: int = knob(-1, low=-1, high=999, help="Layer, counted from 0; -1 is the last.")
    head: int = knob(-1, low=-1, high=999, help="Head, counted from 0; -1 is all of them made one.")
    heads: str = heads_knob()
    position: int = position_knob()
    interpolation: str = interpolation_knob()


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Shares of attention; values (players,), a word's is the sum over its tokens."""
    from explainers.engine.attention import UNIT, look  # imports torch

    seen = look(model, sample, target, players, run, params.position)
    title = model.card.title
    heads = seen.maps[chosen("layer", params.layer, len(seen.maps), title)]
    head = chosen("head", params.head, len(heads), title)
    row = seen.read(fuse(heads, params.heads) if params.head < 0 else heads[head])
    return seen.attribution(row, sample, players, params.interpolation, UNIT)


def refuses(model: Model, sample: Sample) -> str | None:
    """A network that shows no attention among all tokens of its input."""
    from explainers.engine.attention import refusal

    return refusal("within", model, sample)


def _flavour(params: Params, reference: Reference | None) -> str:
    layer = "last layer" if params.layer < 0 else f"layer {params.layer}"
    head = f"{params.heads} of heads" if params.head < 0 else f"head {params.head}"
    return f"{layer}, {head}, counted from 0" if max(params.layer, params.head) >= 0 else f"{layer}, {head}"


METHOD = Method(
    id="attention",
    title="Attention",
    family="attention",
    summary="Shows which words or patches the model looked at, in each layer and head; not whether they spoke for or"
    " against.",
    source="Vaswani et al. (2017), arXiv:1706.03762",
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
