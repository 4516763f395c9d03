"""LayerCAM: features weighted place by place, where more of them would raise the output.

With A_k the channels of a layer's feature map (height, width) and F the target,
    map = Σ_k ReLU(∂F/∂A_k) · A_k, place by place,
kept where positive. Since every place has its own weight, the map is of use in earlier and finer layers too, where
Grad-CAM's one weight a channel is not: name one with `layer`. Features that speak against the output are left out, so
nothing adds up to the score. extras["map"] has the layer's own resolution.
Reference: Jiang et al. (2021), doi:10.1109/TIP.2021.3089943.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.engine import activation
from explainers.types import Attribution, Method
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model


def explain(
    model: Model,
    sample: Sample,
    target: Target,
    players: Players,
    reference: Reference,
    params: activation.Params,
    run: Run,
) -> Attribution:
    """One map; values (players,): a pixel's own, or the mean over a segment's pixels."""
    run.expect(1)
    features = activation.look(model, sample, target, params.layer, run)
    small = np.maximum((np.maximum(features.gradient, 0) * features.activation).sum(0), 0)
    notes = activation.made_for_positive(features, METHOD.title)
    return activation.attribution(small, features, sample, target, players, activation.GRADED, *notes)


METHOD = Method(
    id="layer_cam",
    title="LayerCAM",
    family="activation",
    summary="Shows where features that raise the output are active; the one to choose for an earlier, finer layer.",
    source="Jiang et al. (2021), doi:10.1109/TIP.2021.3089943",
    library="assay",
    explain=explain,
    needs=activation.NEEDS,
    modalities=("image",),
    params=activation.Params,
    signed=False,
    flavour=lambda params, reference: activation.place(params),
)
