"""Attention of any torch network: maps, what is mixed by them, and the gradient of a score with respect to the maps.

Attention is softmax(Q Kᵀ · scale + mask), recomputed from what fused attention operators are given, or the output of a
softmax that is written out: over square (tokens, tokens) matrices, or over others (targets, sources) of which the
product with values is taken. Backwards the same mode sees the gradient that arrives: at a softmax it is that of the
probabilities A; at fused attention, out = A V, so dy/dA = (dy/d out) Vᵀ, exactly, and so it is where A does not depend
on the input, and has no gradient of its own. Values V are the other factor of that
product; `projections.py` finds the linear map that takes the heads back to one state, and `lineage.py` tells attention
within a sequence from attention to another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from model_zoo.probe.lineage import Lineage, Sources, tensors
from model_zoo.probe.maps import Attention, Heads
from model_zoo.probe.projections import projection
from model_zoo.probe.watch import Number, Watch, unfused

SOFTMAX = ("aten::_softmax", "aten::_safe_softmax")
FUSED = "aten::_scaled_dot_product_"
PRODUCTS = {  # the factors among the arguments
    "aten::mm": ("self", "mat2"),
    "aten::bmm": ("self", "mat2"),
    "aten::addmm": ("mat1", "mat2"),
    "aten::baddbmm": ("batch1", "batch2"),
    "aten::matmul": ("self", "other"),
    "aten::linear": ("input", "weight"),
}


def attention(forward: Callable[[], Any], batch: int = 1, entry: torch.Tensor | None = None) -> Attention:
    """Attention seen while `forward()` runs; no layers where there is none. entry: what it starts from, if known."""
    with unfused(), AttentionWatch(batch, entry) as watch:
        forward()
    return Attention(watch.found(gradients=False), tuple(reversed(watch.sizes)))


def attention_with_gradients(forward: Number, entry: torch.Tensor, batch: int = 1) -> Attention:
    """Attention A while `forward(entry)` runs, and dy/dA of its number y (batch,), summed over the batch.

    entry: the point where gradients live, with requires_grad; everything that depends on it is differentiated.
    """
    with unfused(), AttentionWatch(batch, entry) as watch, torch.enable_grad():
        number = forward(entry).sum()
        watch.closed = True
        if number.requires_grad:
            torch.autograd.grad(number, entry, allow_unused=True)
    return Attention(watch.found(gradients=True), tuple(reversed(watch.sizes)))


@dataclass
class _Layer:
    output: torch.Tensor  # of the operator; kept so that its address names it until the backward pass
    map: torch.Tensor
    sources: tuple[Sources, Sources]  # of queries and of keys
    sure: bool  # attention by its form alone; else only once its product with values is seen
    windowed: bool
    fused: bool
    source: int
    gradient: torch.Tensor | None = None
    implied: torch.Tensor | None = None  # the gradient as it follows from that of the product with values
    value: torch.Tensor | None = None
    mixed: torch.Tensor | None = None  # (batch, heads, targets, width)
    projection: torch.Tensor | None = None
    taken: bool = False  # a linear map was seen to follow
    made_from: Sources = field(default_factory=frozenset)


class AttentionWatch(Watch):
    """Keeps the attention of each layer as it is computed, and its gradient as it arrives."""

    def __init__(self, batch: int, entry: torch.Tensor | None = None) -> None:
        super().__init__()
        self.batch = batch
        self.closed = False  # no longer forwards
        self.layers: list[_Layer] = []  # also those that are not sure to be attention yet
        self.sizes: dict[tuple[int, int], None] = {}
        self._lineage = Lineage()
        if entry is not None and entry.is_floating_point():  # ids may become several states
            self._lineage.mark(entry, sources=frozenset({self._lineage.fresh()}))

    def found(self, gradients: bool) -> tuple[Heads, ...]:
        """The layers that were seen, each with a gradient if they are asked for."""
        return tuple(_heads(one, gradients) for one in self.layers if one.sure)

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Attention forwards, its gradient backwards."""
        name = func._schema.name
        if name == "aten::_softmax_backward_data":
            given = _arguments(func, args, kwargs)
            self._arrives(given["output"], given["grad_output"])
        elif name.startswith(FUSED) and name.endswith("_backward"):
            given = _arguments(func, args, kwargs)
            out = given["grad_out_"] if "grad_out_" in given else given["grad_out"]
            self._arrives(given["out"], _wide(out) @ _wide(_each_head(given["value"], out)).mT)
        elif self.closed:
            if name in PRODUCTS:
                given = _arguments(func, args, kwargs)
                self._implies(*(given[one] for one in PRODUCTS[name]))
        else:
            self._lineage.follow(name.removeprefix("aten::"), tensors((*args, *kwargs.values())), result)
            if name in SOFTMAX or name in PRODUCTS or name.startswith(FUSED):
                self._forwards(name, _arguments(func, args, kwargs), result)
            elif "conv" in name or "pool" in name:
                map = result[0] if isinstance(result, tuple) else result
                if isinstance(map, torch.Tensor) and map.ndim == 4:
                    size = (map.shape[-2], map.shape[-1])
                    self.sizes.pop(size, None)
                    self.sizes[size] = None

    def _forwards(self, name: str, given: dict[str, Any], result: Any) -> None:
        if name in PRODUCTS:
            left, right = (given[one] for one in PRODUCTS[name])
            self._product(left, right.mT if name == "aten::linear" else right, result)
        elif name.startswith(FUSED):
            out = result[0] if isinstance(result, (tuple, list)) else result
            states = [self._lineage.of(given[one]) for one in ("query", "key", "value")]
            for one in states:
                self._no_projection(one.projected)
            found = _probabilities(given)
            self._add(out, found, (states[0].sources, states[1].sources), True, out.shape[0] != self.batch)
            self._mixes(len(self.layers) - 1, _each_head(given["value"], out), states[2].sources, out)
        elif result.ndim > 1 and given["dim"] in (-1, result.ndim - 1) and result.shape[-1] > 1:
            # A softmax may be anything: by form alone, attention is one over the columns of square matrices.
            batched = result.ndim > 2 and result.shape[:-2].numel() % self.batch == 0
            square = batched and result.shape[-1] == result.shape[-2]
            windowed = result.ndim > 4 or (result.ndim == 4 and result.shape[0] != self.batch)
            pair = self._lineage.of(given["self"]).pair or (frozenset(), frozenset())
            self._add(result, result, pair, square, batched and windowed)
            self._lineage.mark(result, chances=len(self.layers) - 1, pair=None)

    def _add(
        self, output: torch.Tensor, found: torch.Tensor, sources: tuple[Sources, Sources], sure: bool, windowed: bool
    ) -> None:
        fresh = self._lineage.fresh()
        made_from = sources[0] | sources[1]
        self.layers.append(
            _Layer(
                output, self._by_head(found), sources, sure, windowed, output is not found, fresh, made_from=made_from
            )
        )

    def _arrives(self, output: torch.Tensor, gradient: torch.Tensor) -> None:
        for one in self.layers:
            if one.output.data_ptr() == output.data_ptr() and one.output.shape == output.shape:
                one.gradient = self._by_head(gradient)

    def _implies(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Backwards the gradient of values is Aᵀ (dy/d out), from which that of A follows."""
        for own, other in ((left, right), (right.mT, left.mT)):
            place = self._lineage.of(own).chances
            layer = None if place is None else self.layers[place]
            if layer is None or layer.value is None or layer.implied is not None:
                continue
            shape = (*layer.map.shape[:3], layer.value.shape[-1])
            if other.shape[-2:] == shape[-2:] and other.numel() == torch.Size(shape).numel():
                layer.implied = (other.reshape(shape) @ layer.value.mT).detach()

    # -- what is mixed, and what becomes of it --------------------------------------------------------------------

    def _product(self, left: torch.Tensor, right: torch.Tensor, result: torch.Tensor) -> None:
        one, other = self._lineage.of(left), self._lineage.of(right)
        if one.chances is not None and self._mixing(one.chances, left, right, result):
            return
        if other.chances is not None and self._mixing(other.chances, right.mT, left.mT, result.mT):
            return
        self._lineage.mark(result, pair=(one.sources, other.sources))
        if one.sources and other.sources:  # of two states, as queries with keys: no linear map on its way back
            self._no_projection(one.projected)
            self._no_projection(other.projected)
        elif one.mixed is not None and not other.sources:
            self._projects(one.mixed, left, right, result)
        elif other.mixed is not None and not one.sources:
            self._projects(other.mixed, right.mT, left.mT, result)

    def _mixing(self, place: int, chances: torch.Tensor, values: torch.Tensor, result: torch.Tensor) -> bool:
        """Whether this product is that of a layer's probabilities (*, targets, sources) with values."""
        layer = self.layers[place]
        known = self._lineage.of(values)
        shape = self._shape(layer, chances)
        if layer.value is not None or shape is None or values.shape[-2] != shape[-1]:
            return False
        if not layer.sure and not known.sources:  # a choice among rows of weights
            return False
        found = layer.output.detach().reshape(-1, *shape[-2:])
        if shape[-1] == shape[-2]:
            first = chances.reshape(-1, *shape[-2:])[0]
            if torch.equal(first, found[0].mT) and not torch.equal(first, found[0]):  # a product with the columns
                return False
        shared = len(found) < shape[:2].numel()
        layer.map = found[None].expand(shape) if shared else found.reshape(shape)
        layer.sure = True
        self._no_projection(known.projected)
        if values.shape[:-2].numel() == shape[:2].numel():
            self._mixes(place, values.reshape(*shape[:2], *values.shape[-2:]), known.sources, result)
        return True

    def _shape(self, layer: _Layer, chances: torch.Tensor) -> torch.Size | None:
        """(batch, heads, targets, sources) of probabilities as they are multiplied; None if these are others."""
        own, (targets, sources) = layer.output.shape, chances.shape[-2:]
        count, maps = chances.shape[:-2].numel(), own[:-2].numel()
        if len(own) == 2 and own == (self.batch, sources) and count == self.batch and targets == 1:
            return torch.Size((self.batch, 1, 1, sources))  # a row of weights for each input
        if own[-2:] != (targets, sources):
            return None
        if count == maps and maps % self.batch == 0:
            return torch.Size((self.batch, maps // self.batch, targets, sources))
        if count in (maps, maps * self.batch):  # one map for the whole batch
            return torch.Size((self.batch, maps, targets, sources))
        return None

    def _mixes(self, place: int, values: torch.Tensor, sources: Sources, result: torch.Tensor) -> None:
        layer = self.layers[place]
        layer.value = values.detach()
        layer.made_from |= sources
        layer.mixed = result.detach().reshape(*layer.map.shape[:2], layer.map.shape[-2], -1)
        self._lineage.mark(result, sources=frozenset({layer.source}), pair=None, mixed=place, projected=None)

    def _projects(self, place: int, mixed: torch.Tensor, weight: torch.Tensor, result: torch.Tensor) -> None:
        layer = self.layers[place]
        if layer.taken:  # several linear maps follow: these are the queries, keys and values of the next layer
            layer.projection = None
            return
        layer.taken = True
        if layer.mixed is not None and self.batch == 1:
            layer.projection = projection(layer.mixed[0], mixed, weight)
        self._lineage.mark(result, projected=place, mixed=None)

    def _no_projection(self, place: int | None) -> None:
        """What follows the layer is a part of the next one, not its way back to the state."""
        if place is not None:
            self.layers[place].projection = None

    def _by_head(self, found: torch.Tensor) -> torch.Tensor:
        """(batch, heads, targets, sources), also where batch and heads share an axis, or there is no batch."""
        batch = self.batch if found.ndim > 2 and found.shape[:-2].numel() % self.batch == 0 else 1
        return found.detach().reshape(batch, -1, *found.shape[-2:])


def _heads(one: _Layer, gradients: bool) -> Heads:
    queries, keys = one.sources
    gradient = one.implied if one.gradient is None else one.gradient
    if gradients and gradient is None:
        gradient = torch.zeros_like(one.map)
    return Heads(
        one.map,
        gradient if gradients else None,
        one.value,
        one.projection,
        crossed=bool(queries and keys and not queries & keys),
        related=bool(queries & keys),
        windowed=one.windowed,
        fused=one.fused,
        source=one.source,
        made_from=one.made_from,
        keys_from=keys,
    )


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
