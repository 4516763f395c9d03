"""Attention maps of any torch network, and the gradient of a score with respect to them.

Attention is softmax(Q Kᵀ · scale + mask), recomputed from what fused attention operators are given, or the output of a
softmax over square (tokens, tokens) matrices where it is written out. Backwards the same mode sees the gradient that
arrives: at a softmax it is that of the probabilities A; at fused attention, out = A V, so dy/dA = (dy/d out) Vᵀ,
exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from model_zoo.probe.watch import Number, Watch, unfused

SOFTMAX = ("aten::_softmax", "aten::_safe_softmax")
FUSED = "aten::_scaled_dot_product_"


@dataclass(frozen=True)
class Attention:
    """Attention of each layer in the order of computation; `gradients` are those of the target, if asked for.

    maps, gradients: one tensor (batch, heads, tokens, tokens) a layer; rows are who pays attention, columns to whom.
    A layer that the target does not depend on has a gradient of zeros.
    """

    maps: tuple[torch.Tensor, ...]
    gradients: tuple[torch.Tensor, ...] | None = None


def attention(forward: Callable[[], Any], batch: int = 1) -> Attention:
    """Attention maps seen while `forward()` runs; an empty tuple where there are none."""
    with unfused(), AttentionWatch(batch) as watch:
        forward()
    return Attention(tuple(one.map for one in watch.layers))


def attention_with_gradients(forward: Number, entry: torch.Tensor, batch: int = 1) -> Attention:
    """Attention maps A while `forward(entry)` runs, and dy/dA of its number y (batch,), summed over the batch.

    entry: the point where gradients live, with requires_grad; everything that depends on it is differentiated.
    """
    with unfused(), AttentionWatch(batch) as watch, torch.enable_grad():
        number = forward(entry).sum()
        if number.requires_grad:
            torch.autograd.grad(number, entry, allow_unused=True)
    gradients = [torch.zeros_like(one.map) if one.gradient is None else one.gradient for one in watch.layers]
    return Attention(tuple(one.map for one in watch.layers), tuple(gradients))


def fused(forward: Callable[[], Any]) -> int:
    """How many of the attention layers that run in `forward()` are one fused operator."""
    with unfused(), AttentionWatch(1) as watch, torch.no_grad():
        forward()
    return watch.fused


@dataclass
class _Layer:
    output: torch.Tensor  # of the operator; kept so that its address names it until the backward pass
    map: torch.Tensor
    gradient: torch.Tensor | None = None


class AttentionWatch(Watch):
    """Keeps the attention of each layer as it is computed, and its gradient as it arrives."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch
        self.layers: list[_Layer] = []
        self.fused = 0

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Attention forwards, its gradient backwards."""
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
                self.fused += 1
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
