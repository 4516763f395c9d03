"""The last map of features over an image that a score depends on, and the score's gradient there.

What a map is, `follow.py` says: of a convolutional network or of a transformer's patches. The last one counts at which
the score has a gradient: behind a transformer's last attention, a class token may be all that is read.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.graph import GradientEdge

from model_zoo.probe.follow import Seen, SpatialWatch, is_map
from model_zoo.probe.watch import graph, path_of, unfused
from model_zoo.types import UserError

EMPTY = "Leave the layer empty to have the last one found."
AT_ONCE = (1, 8)  # the last map first; the last eight if it has no gradient; then all of them


@dataclass(frozen=True)
class Spatial:
    """A feature map (batch, channels, height, width), the target's gradient there, and where it is."""

    activation: torch.Tensor
    gradient: torch.Tensor
    layer: str  # dotted path of the module that made it; empty where no module did
    operator: str  # "relu", "convolution"; empty for a layer that was named


def spatial(forward: Callable[[], torch.Tensor], network: Any = None, layer: str = "") -> Spatial:
    """The last spatial map that the number y = forward() depends on, or the output of `layer`, and dy/d map.

    forward: returns y (batch,), differentiable; its input wants a gradient, for parameters may be frozen.
    network: the module whose submodules give names; any callable will do without names.
    layer: dotted path of a module; UserError where there is none, with the nearest names.
    """
    with unfused(), torch.enable_grad():
        return _named(forward, network, layer) if layer else _last(forward, network)


def _last(forward: Callable[[], torch.Tensor], network: Any) -> Spatial:
    with path_of(network) as path, SpatialWatch(path) as watch:
        numbers = forward()
    number, found = numbers.sum(), None
    nodes = sorted(graph(number.grad_fn), key=lambda one: -one._sequence_nr())
    maps = [(node, seen) for node in nodes if (seen := watch.at(node)) and len(seen.output) == len(numbers)]
    for start, stop in itertools.pairwise((0, *AT_ONCE, len(maps))):
        edges = [GradientEdge(node, 0) for node, _ in maps[start:stop]]
        gradients = torch.autograd.grad(number, edges, retain_graph=True, allow_unused=True) if edges else ()
        for (_, seen), gradient in zip(maps[start:stop], gradients, strict=True):
            if gradient is None or gradient.shape != seen.output.shape:
                continue
            one = _spatial(seen, gradient)
            if one.gradient.any():
                return one
            found = found or one
    if found is None:
        raise UserError(
            "A class activation map needs a feature map with two spatial axes before the score; this network has none."
            " Use another method, such as integrated gradients or occlusion."
        )
    return found


def _named(forward: Callable[[], torch.Tensor], network: Any, layer: str) -> Spatial:
    modules = dict(network.named_modules()) if isinstance(network, torch.nn.Module) else {}
    if layer not in modules:
        near = difflib.get_close_matches(layer, [one for one in modules if one], n=3, cutoff=0.0)
        listed = f"the nearest are {', '.join(map(repr, near))}" if near else "it has no named layers"
        raise UserError(f"The network has no layer {layer!r}; {listed}. {EMPTY}")
    if isinstance(modules[layer], torch.jit.ScriptModule):
        raise UserError(f"{layer!r} is a part of a script (TorchScript), which shows no layer by its name. {EMPTY}")
    kept: list[Any] = []

    def keep(module: Any, args: Any, output: Any) -> Any:
        kept.append(output)
        # What follows may work in place: it gets a copy, so that the map stays as the layer left it.
        return output.clone() if isinstance(output, torch.Tensor) else output

    handle = modules[layer].register_forward_hook(keep)
    try:
        with SpatialWatch() as watch:
            numbers = forward()
    finally:
        handle.remove()
    if not kept:
        raise UserError(
            f"Layer {layer!r} is not run by itself for this input: it only holds other layers, as those of an exported"
            f" program (.pt2) do, or belongs to a branch that was not taken. {EMPTY}"
        )
    lies = watch.layout(kept[-1])
    if lies is None and not (isinstance(kept[-1], torch.Tensor) and is_map(kept[-1]) and len(kept[-1]) == len(numbers)):
        came = tuple(kept[-1].shape) if isinstance(kept[-1], torch.Tensor) else type(kept[-1]).__name__
        raise UserError(
            f"Layer {layer!r} gives {came}; a class activation map needs features (1, channels, height, width) with two"
            f" spatial axes above 1, or a grid of tokens. Choose an earlier layer. {EMPTY}"
        )
    gradient = None
    if kept[-1].requires_grad:
        (gradient,) = torch.autograd.grad(numbers.sum(), kept[-1], allow_unused=True)
    gradient = torch.zeros_like(kept[-1]) if gradient is None else gradient  # the score does not depend on it
    return _spatial(Seen(kept[-1], layer, "", lies), gradient)


def _spatial(seen: Seen, gradient: torch.Tensor) -> Spatial:
    return Spatial(seen.as_map(seen.output.detach()), seen.as_map(gradient), seen.layer, seen.operator)
