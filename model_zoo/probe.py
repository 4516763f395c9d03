"""Sees attention maps and spatial feature maps of any torch network, at the level of operators.

A dispatch mode sees every aten operation of a module, a function or a script, whatever its parts are called, and
changes none. Attention is softmax(Q Kᵀ · scale + mask), recomputed from what fused attention operators are given, or
the output of a softmax over square (tokens, tokens) matrices where it is written out. Backwards the same mode sees the
gradient that arrives: at a softmax it is that of the probabilities A; at fused attention, out = A V, so
dy/dA = (dy/d out) Vᵀ, exactly.

A spatial map is the output of a convolution, or what elementwise, pooling and normalising operations make of it, while
it keeps two axes longer than 1; the last one that the score depends on is the one that Grad-CAM reads.
No hook, mode or flag stays behind, not even after an error.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.graph import GradientEdge
from torch.utils._python_dispatch import TorchDispatchMode

from model_zoo.modes import evaluating
from model_zoo.types import Capability, UserError

Number = Callable[[torch.Tensor], torch.Tensor]  # from an entry point to the number y (batch,) that is explained
SOFTMAX = ("aten::_softmax", "aten::_safe_softmax")
FUSED = "aten::_scaled_dot_product_"
# These bring a new meaning to the axes: what was a row of pixels may be a head or a token afterwards.
REARRANGING = ("view", "reshape", "permute", "transpose", "expand", "mm", "unfold", "squeeze")


@dataclass(frozen=True)
class Attention:
    """Attention of each layer in the order of computation; `gradients` are those of the target, if asked for.

    maps, gradients: one tensor (batch, heads, tokens, tokens) a layer; rows are who pays attention, columns to whom.
    A layer that the target does not depend on has a gradient of zeros.
    """

    maps: tuple[torch.Tensor, ...]
    gradients: tuple[torch.Tensor, ...] | None = None


@dataclass(frozen=True)
class Spatial:
    """A feature map (batch, channels, height, width), the target's gradient there, and where it is."""

    activation: torch.Tensor
    gradient: torch.Tensor
    layer: str  # dotted path of the module that made it; empty where no module did
    operator: str  # "relu", "convolution"; empty for a layer that was named


def attention(forward: Callable[[], Any], batch: int = 1) -> Attention:
    """Attention maps seen while `forward()` runs; an empty tuple where there are none."""
    with _unfused(), _AttentionWatch(batch) as watch:
        forward()
    return Attention(tuple(one.map for one in watch.layers))


def attention_with_gradients(forward: Number, entry: torch.Tensor, batch: int = 1) -> Attention:
    """Attention maps A while `forward(entry)` runs, and dy/dA of its number y (batch,), summed over the batch.

    entry: the point where gradients live, with requires_grad; everything that depends on it is differentiated.
    """
    with _unfused(), _AttentionWatch(batch) as watch, torch.enable_grad():
        number = forward(entry).sum()
        if number.requires_grad:
            torch.autograd.grad(number, entry, allow_unused=True)
    gradients = [torch.zeros_like(one.map) if one.gradient is None else one.gradient for one in watch.layers]
    return Attention(tuple(one.map for one in watch.layers), tuple(gradients))


def spatial(forward: Callable[[], torch.Tensor], network: Any = None, layer: str = "") -> Spatial:
    """The last spatial map that the number y = forward() depends on, or the output of `layer`, and dy/d map.

    forward: returns y (batch,), differentiable; its input wants a gradient, for parameters may be frozen.
    network: the module whose submodules give names; any callable will do without names.
    layer: dotted path of a module; UserError where there is none, with the nearest names.
    """
    with _unfused(), torch.enable_grad():
        return _named(forward, network, layer) if layer else _last(forward, network)


def capabilities(network: Callable[..., Any], inputs: torch.Tensor) -> Capability:
    """Whether ATTENTION and SPATIAL were seen in one forward pass of `inputs` (n, *x.shape)."""
    found = Capability.NONE
    batch = len(inputs)
    heads, maps = _AttentionWatch(batch), _SpatialWatch()
    with _unfused(), evaluating(network), torch.no_grad(), heads, maps:
        network(inputs)
    if heads.layers:
        found |= Capability.ATTENTION
    if inputs.ndim == 4 and maps.last is not None and len(maps.last) == batch:
        # A vision transformer's only spatial map is that of its first layer: where tokens take over, it does not count.
        cells = maps.last.shape[-1] * maps.last.shape[-2]
        if not any(one.map.shape[-1] >= cells for one in heads.layers):
            found |= Capability.SPATIAL
    return found


# -- attention ---------------------------------------------------------------------------------------------------


@dataclass
class _Layer:
    output: torch.Tensor  # of the operator; kept so that its address names it until the backward pass
    map: torch.Tensor
    gradient: torch.Tensor | None = None


class _Watch(TorchDispatchMode):
    """A mode that looks on; operations made of others, which inference mode leaves whole, are taken apart."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        self.saw(func, args, kwargs, result)
        return result

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Called after each operation."""
        raise NotImplementedError


class _AttentionWatch(_Watch):
    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch
        self.layers: list[_Layer] = []

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        name = func._schema.name
        if name in SOFTMAX:
            # A softmax may be anything: attention is one over the columns of square matrices.
            dim = _arguments(func, args, kwargs)["dim"]
            if result.ndim > 2 and dim in (-1, result.ndim - 1) and result.shape[-1] > 1:
                self._add(result, result)
        elif name == "aten::_softmax_backward_data":
            given = _arguments(func, args, kwargs)
            self._arrives(given["output"], given["grad_output"])
        elif name.startswith(FUSED):
            given = _arguments(func, args, kwargs)
            if name.endswith("_backward"):
                out = given["grad_out_"] if "grad_out_" in given else given["grad_out"]
                self._arrives(given["out"], _wide(out) @ _wide(_each_head(given["value"], out)).mT)
            else:
                self._add(result[0], _probabilities(given))

    def _add(self, output: torch.Tensor, found: torch.Tensor) -> None:
        if found.shape[-1] == found.shape[-2] and found.shape[:-2].numel() % self.batch == 0:
            self.layers.append(_Layer(output, self._by_head(found)))

    def _arrives(self, output: torch.Tensor, gradient: torch.Tensor) -> None:
        for one in self.layers:
            if one.output.data_ptr() == output.data_ptr() and one.output.shape == output.shape:
                one.gradient = self._by_head(gradient)

    def _by_head(self, found: torch.Tensor) -> torch.Tensor:
        """(batch, heads, tokens, tokens), also where batch and heads share an axis."""
        return found.detach().reshape(self.batch, -1, *found.shape[-2:])


def _arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names of the operator's schema, defaults too."""
    found = {one.name: one.default_value for one in func._schema.arguments}
    found.update(zip(found, args, strict=False))
    return found | kwargs


def _probabilities(given: dict[str, Any]) -> torch.Tensor:
    """softmax(Q Kᵀ · scale + mask) of a fused attention operator; a row that may look nowhere is 0."""
    query = _wide(given["query"])
    key = _wide(_each_head(given["key"], query))
    scale = given.get("scale")
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    mask = given.get("attn_mask")
    if mask is None:
        mask = given.get("attn_bias")
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    if given.get("is_causal"):
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf)
    nowhere = (scores == -torch.inf).all(-1, keepdim=True)
    return scores.softmax(-1).masked_fill(nowhere, 0)


def _each_head(shared: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Keys or values once for each query head, where groups of heads share them."""
    heads, groups = query.shape[-3], shared.shape[-3]
    return shared if heads == groups else shared.repeat_interleave(heads // groups, -3)


def _wide(found: torch.Tensor) -> torch.Tensor:
    """Half precision is too coarse to recompute a softmax in."""
    return found if found.dtype == torch.float64 else found.float()


# -- spatial maps ------------------------------------------------------------------------------------------------


class _SpatialWatch(_Watch):
    """Follows feature maps from the convolutions on.

    The engine numbers the nodes of the autograd graph in order, and an operation's node is made before it runs, so the
    latest number names the node of a map: where a gradient can be asked for, without a module to hook.
    """

    def __init__(self, path: Callable[[], str] = str) -> None:
        super().__init__()
        self.last: torch.Tensor | None = None
        self.plain: dict[int, tuple[torch.Tensor, str, str]] = {}  # node -> map, layer, operator
        self.custom: dict[int, tuple[torch.Tensor, str, str]] = {}  # the same for autograd functions of people's own
        self._path = path
        self._maps: dict[int, torch.Tensor] = {}  # by id; kept, so that no other tensor gets the id

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        outputs = result if isinstance(result, list) else [result[0] if isinstance(result, tuple) else result]
        name = func._schema.name.removeprefix("aten::")
        if "conv" not in name and (any(word in name for word in REARRANGING) or not self._follows(args)):
            return
        maps = [one for one in outputs if isinstance(one, torch.Tensor) and _is_map(one)]
        self._maps |= {id(one): one for one in maps}
        if len(maps) != 1 or isinstance(result, list):
            return
        self.last = maps[0]
        entry = (maps[0], self._path(), name.strip("_"))
        node = torch.autograd._get_sequence_nr() - 1
        if torch.is_grad_enabled():
            self.plain.setdefault(node, entry)  # a later one has no node of its own
        else:
            self.custom[node] = entry  # the last operation of a custom function gives its output

    def _follows(self, args: tuple[Any, ...]) -> bool:
        tensors = [one for arg in args for one in (arg if isinstance(arg, (list, tuple)) else (arg,))]
        return any(id(one) in self._maps for one in tensors)

    def at(self, node: Any) -> tuple[torch.Tensor, str, str] | None:
        """The map that this node of the graph made, with its layer and operator."""
        own = isinstance(node, torch.autograd.function.BackwardCFunction)
        return (self.custom if own else self.plain).get(node._sequence_nr())


def _is_map(found: torch.Tensor) -> bool:
    return found.ndim == 4 and found.is_floating_point() and min(found.shape[-2:]) > 1


def _last(forward: Callable[[], torch.Tensor], network: Any) -> Spatial:
    with _path_of(network) as path, _SpatialWatch(path) as watch:
        number = forward().sum()
    for node in sorted(_graph(number.grad_fn), key=lambda one: -one._sequence_nr()):
        found = watch.at(node)
        if found is not None:
            activation, layer, operator = found
            (gradient,) = torch.autograd.grad(number, GradientEdge(node, 0))
            if gradient.shape == activation.shape:
                return Spatial(activation.detach(), gradient, layer, operator)
    raise UserError(
        "Grad-CAM needs a convolutional feature map with two spatial axes before the score; this network has none."
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
        number = forward().sum()
    finally:
        handle.remove()
    if not kept or not isinstance(kept[-1], torch.Tensor) or not _is_map(kept[-1]):
        came = f"gives {tuple(getattr(kept[-1], 'shape', ()))}" if kept else "is not run for this input"
        raise UserError(
            f"Layer {layer!r} {came}; Grad-CAM needs a map (1, channels, height, width) with two spatial axes above 1."
            " Choose an earlier layer, or leave it empty to have the last one found."
        )
    gradient = None
    if kept[-1].requires_grad:
        (gradient,) = torch.autograd.grad(number, kept[-1], allow_unused=True)
    gradient = torch.zeros_like(kept[-1]) if gradient is None else gradient  # the score does not depend on it
    return Spatial(kept[-1].detach(), gradient, layer, "")


def _graph(root: Any) -> list[Any]:
    """All nodes of the autograd graph below `root`; none where nothing is differentiable."""
    waiting = [] if root is None else [root]
    seen = set(waiting)
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in seen:
                seen.add(node)
                waiting.append(node)
    return list(seen)


# -- the network, left as it was ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _path_of(network: Any) -> Iterator[Callable[[], str]]:
    """A function that says which module of the network is running, innermost, as a dotted path."""
    running: list[str] = []
    handles: list[Any] = []
    named = network.named_modules() if isinstance(network, torch.nn.Module) else ()

    def leave(module: Any, args: Any, output: Any) -> None:
        running.pop()

    try:
        for name, module in named:
            if not isinstance(module, torch.jit.ScriptModule):  # the parts of a script take no hooks
                handles.append(module.register_forward_pre_hook(lambda *_, name=name: running.append(name)))
                handles.append(module.register_forward_hook(leave, always_call=True))
        yield lambda: running[-1] if running else ""
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _unfused() -> Iterator[None]:
    """Without the fused transformer layer, whose one operator hides its attention."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)
