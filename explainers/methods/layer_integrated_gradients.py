"""Layer integrated gradients: credit for the units of a layer, and for what moved them.

With y(x) what a layer gives and F what the rest makes of it, unit j receives, in units of F,
    a_j = (y_j(x) - y_j(b)) · m_j,    m_j = mean over t in [0, 1] of dF/dy_j at y(b) + t (y(x) - y(b)),
and the shares add up to F(x) less what F is when this layer alone is as it is for the baseline b. Where the layer is a
feature map of an image, or the embedding of tokens, a unit's share stays at its place: maps are summed over channels
and spread over the pixels that a cell stands for. From any other layer the shares go back to what moved the units:
input i receives the integrated gradient of Σ_j m_j y_j(x), and the sum is the same. extras["units"] are the shares of
channels or features, extras["map"] those of cells, extras["positions"] those of tokens.
Reference: Sundararajan, Taly and Yan (2017), arXiv:1703.01365; Leino et al. (2018), arXiv:1802.03788. Numbers of the
units: captum LayerIntegratedGradients, whose rules are finite sums of the same integral.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.credit import credit
from explainers.methods.integrated_gradients import Path, refined
from explainers.types import Attribution, Method, Settled, knob
from explainers.words import number as words
from model_zoo.types import Capability, Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.layers import Layer
    from explainers.engine.run import Run
    from model_zoo.model import Model

AROUND = 0.01  # of the change: so much that does not go through the layer is said


@dataclass(frozen=True)
class Params:
    """Which layer, and how finely the paths are followed."""

    layer: str = knob(
        "",
        help="Name of a layer, such as features.12; empty: an image's last feature map, the embedding of a text, the"
        " first hidden layer of a table.",
    )
    steps: int = knob(64, low=8, high=1024, help="Intervals on the path to begin with; cost grows with them.")
    most: int = knob(
        256, low=8, high=4096, label="At most", help="Keep doubling up to this many while the shares still move."
    )
    tolerance: float = knob(
        0.01, low=0.0, high=0.5, help="Settled once doubling moves the shares by less than this part.", advanced=True
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Share the target among a layer's units, and these among the players; values (players,) in the target's unit."""
    from explainers.engine import layers

    layer = layers.find(model, sample, params.layer, last=False)
    run.expect(2 * len(reference.rows) * (params.steps + 2))
    if layer.module is None:
        found = refined(Path(model, sample, target, players, reference.rows, run), params, run)
        return replace(found, notes=("The layer is the embedding: these are the integrated gradients of its output.",))
    each = [_from(row[None], model, sample, target, players, layer, params, run) for row in reference.rows]
    values = np.mean([one.values for one in each], 0)
    base = float(np.mean([one.base for one in each]))
    shares = np.mean([one.shares for one in each], 0).reshape(layer.shape)
    start = float(run.evaluator.values(reference.rows, target).mean())
    units = layer.units(shares)
    extras = {"units": units}
    if layer.as_map is not None:
        extras["map"] = layers.summed(layer, shares)
    elif sample.modality == "text" and shares.ndim == 2 and len(shares) == len(sample.x):
        extras["positions"] = shares.sum(1)
    notes = [layer.strongest(units, "shares")]
    whole = values.sum() + base - start
    if abs(base - start) > AROUND * max(abs(whole), np.abs(values).sum()):
        notes.append(
            f"Not all goes through {layer.title}: with this layer alone as it is for the baseline, the output is"
            f" {words(base)}; for the baseline itself it is {words(start)}."
        )
    return Attribution(
        values,
        base_value=base,
        settled=Settled("nested", max(one.moved for one in each)),
        extras=extras,
        notes=tuple(notes),
        flavour=f"{layer.title}, " + ("shares stay at their place" if layer.as_map else "shares go back to the inputs"),
        used={"layer": layer.name},
    )


@dataclass(frozen=True)
class _Shared:
    """What comes of one baseline: values (players,), the units' shares (units,), F with the layer as for it."""

    values: np.ndarray
    shares: np.ndarray
    base: float
    moved: float


def _from(
    row: np.ndarray,
    model: Model,
    sample: Sample,
    target: Target,
    players: Players,
    layer: Layer,
    params: Params,
    run: Run,
) -> _Shared:
    from explainers.engine import layer_paths, layers

    inner = layer_paths.Inner(model, sample, target, layer, row, run)
    quiet = run.branch(run.seed)
    found = refined(inner, params, quiet)
    moved = found.settled.value if found.settled is not None else 0.0
    if layer.as_map is not None:
        spread = layers.spread(layers.summed(layer, found.values.reshape(layer.shape)), sample.x.shape[-2:])
        return _Shared(credit(spread, players, 2), found.values, inner.base, moved)
    back = layer_paths.Back(model, sample, target, players, layer, row, inner.slopes(found.values), run)
    brought = refined(back, params, quiet)
    later = brought.settled.value if brought.settled is not None else 0.0
    return _Shared(brought.values, found.values, inner.base, moved + later)


def refuses(model: Model, sample: Sample) -> str | None:
    """A network without layers that have names."""
    from explainers.engine import layers

    try:
        with model.frozen():
            layers.find(model, sample, "", last=False)
    except UserError as error:
        return str(error)
    return None


METHOD = Method(
    id="layer_integrated_gradients",
    title="Layer integrated gradients",
    family="gradient",
    summary="Shares the output among the units of one layer, and shows where in the input what moved them lies.",
    source="Sundararajan, Taly and Yan (2017), arXiv:1703.01365; Leino et al. (2018), arXiv:1802.03788",
    library="captum",
    aliases=("layer_ig",),
    explain=explain,
    needs=Capability.GRADIENTS,
    params=Params,
    players={"text": "words"},
    absence="baseline",
    completeness="approximate",
    effort="most",
    evaluations=lambda params, players, rows: rows * 2 * (params.steps + 1),
    refuses=refuses,
)
