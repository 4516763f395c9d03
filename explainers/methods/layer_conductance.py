"""Layer conductance: how much of the output flows through each unit of a layer.

On the straight path x(t) from a baseline b to the input, unit j of a layer y conducts, in units of F,
    C_j = ∫ dF/dy_j · dy_j/dt dt    over t in [0, 1],
and input i sends through the layer
    C_i = (x_i - b_i) · ∫ Σ_j dF/dy_j · dy_j/dx_i dt.
Both add up to what the path changes F by way of this layer: to all of F(x) - F(b) where every way leads through it; the
values of the inputs are then their integrated gradients. extras["units"] are the conductances of channels or features,
extras["map"] those of the cells of a feature map, extras["positions"] those of tokens.
Reference: Dhamdhere, Sundararajan and Yan (2018), arXiv:1805.12233. Numbers of the units: captum LayerConductance,
whose sums over left ends tend to the same integral.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from explainers.methods.integrated_gradients import refined
from explainers.types import Attribution, Method, Settled, knob
from explainers.words import percent
from model_zoo.types import Capability, Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

HELD = 2**26  # numbers of a layer's outputs and slopes that are kept along the path
AROUND = 0.01  # of the change: so much that does not go through the layer is said
ROUGH = 0.02  # of the flow: so far may the units' sum be from it unsaid


@dataclass(frozen=True)
class Params:
    """Which layer, and how finely the path is followed."""

    layer: str = knob(
        "", help="Name of a layer, such as features.12; empty: an image's last feature map, else the last hidden layer."
    )
    steps: int = knob(64, low=8, high=1024, help="Intervals on the path to begin with; cost grows with them.")
    most: int = knob(
        256, low=8, high=4096, label="At most", help="Keep doubling up to this many while the values still move."
    )
    tolerance: float = knob(
        0.01, low=0.0, high=0.5, help="Settled once doubling moves the values by less than this share.", advanced=True
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """What each player sends through the layer; values (players,) in the target's unit."""
    from explainers.engine import layer_paths, layers

    layer = layers.find(model, sample, params.layer, last=True)
    room = max(16, HELD // (2 * int(np.prod(layer.shape))))
    capped = replace(params, steps=min(params.steps, room), most=min(params.most, room))
    run.expect(len(reference.rows) * (capped.steps + 1))
    quiet = run if len(reference.rows) == 1 else run.branch(run.seed)
    values, shares, moved, change = np.zeros(players.count), np.zeros(layer.shape), 0.0, 0.0
    for row in reference.rows:
        path = layer_paths.Through(model, sample, target, players, layer, row[None], run)
        found = refined(path, capped, quiet)
        values += found.values / len(reference.rows)
        shares += path.conductance() / len(reference.rows)
        change += (path.said[1.0] - path.said[0.0]) / len(reference.rows)
        moved = max(moved, found.settled.value if found.settled is not None else 0.0)
    units = layer.units(shares)
    extras = {"units": units}
    if layer.as_map is not None:
        extras["map"] = layers.summed(layer, shares)
    elif sample.modality == "text" and shares.ndim == 2 and len(shares) == len(sample.x):
        extras["positions"] = shares.sum(1)
    return Attribution(
        values,
        settled=Settled("nested", moved),
        extras=extras,
        notes=(layer.strongest(units, "conductance"), *_notes(values, units, change, moved, layer.title)),
        flavour=f"through {layer.title}, {len(units):,} units",
        used={"layer": layer.name},
    )


def _notes(values: np.ndarray, units: np.ndarray, change: float, moved: float, title: str) -> list[str]:
    notes = []
    flow, mass = float(values.sum()), float(np.abs(values).sum()) or 1.0
    if abs(flow - change) > max(AROUND, 2 * moved) * max(mass, abs(change)):  # and no error of the finite sum
        share = f"{percent(flow / change)} of the change" if change and 0 <= flow / change <= 1 else "not all"
        notes.append(f"There are ways around {title}: {share} goes through it, and that is what the values add up to.")
    if abs(float(units.sum()) - flow) > ROUGH * mass:
        notes.append(
            f"The units add up to the flow but for {percent(abs(float(units.sum()) - flow) / mass)}; more steps make"
            " them more exact."
        )
    return notes


def refuses(model: Model, sample: Sample) -> str | None:
    """A network without layers that have names."""
    from explainers.engine import layers

    try:
        with model.frozen():
            layers.find(model, sample, "", last=True)
    except UserError as error:
        return str(error)
    return None


METHOD = Method(
    id="layer_conductance",
    title="Layer conductance",
    family="gradient",
    summary="Names the units of a layer through which most of the output flows, and what each input sends there.",
    source="Dhamdhere, Sundararajan and Yan (2018), arXiv:1805.12233",
    library="captum",
    aliases=("conductance",),
    explain=explain,
    needs=Capability.GRADIENTS,
    params=Params,
    players={"text": "words"},
    absence="baseline",
    completeness="approximate",
    effort="most",
    evaluations=lambda params, players, rows: rows * (params.steps + 1),
    refuses=refuses,
)
