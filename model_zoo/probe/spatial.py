"""The last map of features over an image that a score depends on, and the score's gradient there.

A map is the output of a convolution, or what elementwise, pooling and normalising operations make of it, while it keeps
two axes longer than 1. Where patches become tokens, a normalised state (batch, tokens, channels) whose tokens are the
cells of an earlier map, but for a few class tokens, is a map too; the last one with a gradient at its patches counts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.graph import GradientEdge

from model_zoo.probe.tokens import NORMS, WRITTEN_OUT, Layout, layout
from model_zoo.probe.watch import Watch, graph, path_of, unfused
from model_zoo.types import UserError

# These bring a new meaning to the axes: what was a row of pixels may be a head or a token afterwards.
REARRANGING = ("view", "reshape", "permute", "transpose", "expand", "mm", "unfold", "squeeze")


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


@dataclass(frozen=True)
class _Seen:
    """One map: what an operator returned, and how that lies over the image where it is made of tokens."""

    output: torch.Tensor
    layer: str
    operator: str
    layout: Layout | None = None

    def as_map(self, found: torch.Tensor) -> torch.Tensor:
        return found if self.layout is None else self.layout.as_map(found)


class SpatialWatch(Watch):
    """Follows feature maps from the convolutions on, and the tokens that their cells become.

    The engine numbers the nodes of the autograd graph in order, and an operation's node is made before it runs, so the
    latest number names the node of a map: where a gradient can be asked for, without a module to hook.
    """

    def __init__(self, path: Callable[[], str] = str) -> None:
        super().__init__()
        self.last: torch.Tensor | None = None
        self.tokens = False  # whether a normalised state of patches was seen
        self.plain: dict[int, _Seen] = {}  # by node
        self.custom: dict[int, _Seen] = {}  # the same for autograd functions of people's own
        self._sizes: dict[tuple[int, int], None] = {}  # of the maps, in the order in which they were seen
        self._path = path
        self._maps: dict[int, torch.Tensor] = {}  # by id; kept, so that no other tensor gets the id

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """A map is followed through what keeps its axes; a state of tokens is told by its shape."""
        outputs = result if isinstance(result, list) else [result[0] if isinstance(result, tuple) else result]
        name = func._schema.name.removeprefix("aten::").strip("_")
        if "conv" not in name and (any(word in name for word in REARRANGING) or not self._follows(args)):
            self._state(outputs[0] if outputs else None, func._schema.name.removeprefix("aten::"))
            return
        maps = [one for one in outputs if isinstance(one, torch.Tensor) and _is_map(one)]
        self._maps |= {id(one): one for one in maps}
        if len(maps) != 1 or isinstance(result, list):
            return
        self.last = maps[0]
        rows, columns = maps[0].shape[-2:]
        self._sizes.pop((rows, columns), None)
        self._sizes[rows, columns] = None
        self._keep(_Seen(maps[0], self._path(), name))

    def layout(self, found: Any) -> Layout | None:
        """How a state lies over the maps that were seen."""
        if not isinstance(found, torch.Tensor) or self.last is None or found.shape[:1] != self.last.shape[:1]:
            return None
        return layout(found, reversed(self._sizes))

    def at(self, node: Any) -> _Seen | None:
        """The map that this node of the graph made, with its layer and operator."""
        own = isinstance(node, torch.autograd.function.BackwardCFunction)
        found = (self.custom if own else self.plain).get(node._sequence_nr())
        if found is not None and found.operator in WRITTEN_OUT and found.layout is not None and self.tokens:
            return None
        return found

    def _state(self, output: Any, name: str) -> None:
        name = name.rstrip("_")
        if (name not in NORMS and name not in WRITTEN_OUT) or (found := self.layout(output)) is None:
            return
        self.tokens |= name in NORMS
        self._keep(_Seen(output, self._path(), name.removeprefix("native_"), found))

    def _keep(self, seen: _Seen) -> None:
        node = torch.autograd._get_sequence_nr() - 1
        if torch.is_grad_enabled():
            self.plain.setdefault(node, seen)  # a later one has no node of its own
        else:
            self.custom[node] = seen  # the last operation of a custom function gives its output

    def _follows(self, args: tuple[Any, ...]) -> bool:
        tensors = [one for arg in args for one in (arg if isinstance(arg, (list, tuple)) else (arg,))]
        return any(id(one) in self._maps for one in tensors)


def _is_map(found: torch.Tensor) -> bool:
    return found.ndim == 4 and found.is_floating_point() and min(found.shape[-2:]) > 1


def _last(forward: Callable[[], torch.Tensor], network: Any) -> Spatial:
    with path_of(network) as path, SpatialWatch(path) as watch:
        number = forward().sum()
    for node in sorted(graph(number.grad_fn), key=lambda one: -one._sequence_nr()):
        seen = watch.at(node)
        if seen is None:
            continue
        (gradient,) = torch.autograd.grad(number, GradientEdge(node, 0), retain_graph=True)
        if gradient.shape != seen.output.shape:
            continue
        gradient = seen.as_map(gradient)
        if seen.layout is not None and not gradient.any():
            continue  # after the last attention only the class token is read: no patch has a part in the score
        return Spatial(seen.as_map(seen.output.detach()), gradient, seen.layer, seen.operator)
    raise UserError(
        "Grad-CAM needs a feature map with two spatial axes before the score; this network has none."
        " Use another method, such as integrated gradients or occlusion."
    )


def _named(forward: Callable[[], torch.Tensor], network: Any, layer: str) -> Spatial:
    modules = dict(network.named_modules()) if isinstance(network, torch.nn.Module) else {}
    if layer not in modules:
        near = difflib.get_close_matches(layer, [one for one in modules if one], n=3, cutoff=0.0)
        listed = f"the nearest are {', '.join(map(repr, near))}" if near else "it has no named layers"
        raise UserError(f"The network has no layer {layer!r}; {listed}. Leave it empty to have the last one found.")
    kept: list[Any] = []

    def keep(module: Any, args: Any, output: Any) -> Any:
        kept.append(output)
        # What follows may work in place: it gets a copy, so that the map stays as the layer left it.
        return output.clone() if isinstance(output, torch.Tensor) else output

    handle = modules[layer].register_forward_hook(keep)
    try:
        with SpatialWatch() as watch:
            number = forward().sum()
    finally:
        handle.remove()
    state = watch.layout(kept[-1]) if kept else None
    if not kept or not isinstance(kept[-1], torch.Tensor) or not (_is_map(kept[-1]) or state):
        came = f"gives {tuple(getattr(kept[-1], 'shape', ()))}" if kept else "is not run for this input"
        raise UserError(
            f"Layer {layer!r} {came}; Grad-CAM needs a map (1, channels, height, width) with two spatial axes above 1."
            " Choose an earlier layer, or leave it empty to have the last one found."
        )
    gradient = None
    if kept[-1].requires_grad:
        (gradient,) = torch.autograd.grad(number, kept[-1], allow_unused=True)
    gradient = torch.zeros_like(kept[-1]) if gradient is None else gradient  # the score does not depend on it
    seen = _Seen(kept[-1].detach(), layer, "", state)
    return Spatial(seen.as_map(seen.output), seen.as_map(gradient), layer, "")
