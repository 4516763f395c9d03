"""Sees attention maps and spatial feature maps of any torch network, at the level of operators.

A dispatch mode sees every aten operation of a module, a function or a script, whatever its parts are called, and
changes none. No hook, mode or flag stays behind, not even after an error.

`heads.py` is attention (`maps.py` has its nouns, `lineage.py` and `projections.py` what is known of states around it),
`spatial.py` feature maps, which `follow.py` follows, `tokens.py` tokens as maps, `watch.py` the mode that both are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from model_zoo.modes import evaluating
from model_zoo.probe.follow import SpatialWatch
from model_zoo.probe.heads import AttentionWatch, attention, attention_with_gradients
from model_zoo.probe.maps import Attention, Heads
from model_zoo.probe.spatial import Spatial, spatial
from model_zoo.probe.watch import Number, unfused
from model_zoo.types import Capability

__all__ = [
    "Attention",
    "Heads",
    "Number",
    "Spatial",
    "attention",
    "attention_with_gradients",
    "capabilities",
    "spatial",
]


def capabilities(network: Callable[..., Any], inputs: torch.Tensor) -> Capability:
    """Whether ATTENTION and SPATIAL were seen in one forward pass of `inputs` (n, *x.shape)."""
    found = Capability.NONE
    batch = len(inputs)
    heads = AttentionWatch(batch, inputs)
    maps = SpatialWatch(moment=lambda: len(heads.layers))
    with unfused(), evaluating(network), torch.no_grad(), heads, maps:
        network(inputs)
    if any(one.within or one.across for one in heads.found(gradients=False)):
        found |= Capability.ATTENTION
    if inputs.ndim == 4 and maps.batch == batch:
        # Where tokens take over, the map of the first layer does not count: their states do.
        later = [one for one in heads.layers[maps.when :] if one.sure and one.map.shape[-1] == one.map.shape[-2]]
        if maps.grid or maps.tokens or not any(one.map.shape[-1] >= maps.cells for one in later):
            found |= Capability.SPATIAL
    return found
