"""Operators that make many numbers one: sums, extremes, products of matrices, the largest few."""

from __future__ import annotations

from collections.abc import Callable

import torch

from model_zoo.formats._onnx.registry import Node, operator
from model_zoo.formats._onnx.tensors import whole

Tensor = torch.Tensor
Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _max(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.amax(axes, keep) if x.numel() else _empty(x, axes, keep, largest=False)


def _min(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.amin(axes, keep) if x.numel() else _empty(x, axes, keep, largest=True)


def _empty(x: Tensor, axes: list[int], keep: bool, largest: bool) -> Tensor:
    """An extreme of nothing is the opposite end of its type."""
    if x.is_floating_point():
        value: float = torch.inf if largest else -torch.inf
    elif x.dtype == torch.bool:
        value = largest
    else:
        value = torch.iinfo(x.dtype).max if largest else torch.iinfo(x.dtype).min
    return torch.full_like(x.sum(axes, keep), value, dtype=x.dtype)


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keep)
    return x


REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keep),
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keep) if x.is_floating_point() else x.double().mean(axes, keep),
    "ReduceMax": _max,
    "ReduceMin": _min,
    "ReduceProd": _product,
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: torch.sqrt((x * x).sum(axes, keep)),
    "ReduceLogSum": lambda x, axes, keep: torch.log(x.sum(axes, keep)),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keep),
    "ReduceSumSquare": lambda x, axes, keep: (x * x).sum(axes, keep),
}


@operator(*REDUCTIONS)
def reduce(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Over some axes, or all; axes are an attribute in older opsets and an input in newer ones."""
    chosen = node.get("axes") if axes is None else whole(axes)
    if not chosen:
        if node.get("noop_with_empty_axes", 0) and node.operator not in ("ReduceL1", "ReduceL2"):
            chosen = []
            if node.operator == "ReduceLogSum":
                return torch.log(x)
            return x * x if node.operator == "ReduceSumSquare" else x
        chosen = list(range(x.ndim))
    if x.ndim == 0:
        x, chosen = x[None], [0]
        return REDUCTIONS[node.operator](x, chosen, False).to(x.dtype)
    chosen = sorted(axis % x.ndim for axis in chosen)
    keep = bool(node.get("keepdims", 1))
    return REDUCTIONS[node.operator](x, chosen, keep).to(x.dtype)


@operator("ArgMax", "ArgMin")
def arg_extreme(node: Node, x: Tensor) -> Tensor:
    """The place of an extreme along one axis: the first such place, or the last."""
    axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
    find = torch.argmax if node.operator == "ArgMax" else torch.argmin
    if not node.get("select_last_index", 0):
        extreme = x.amax(axis, True) if node.operator == "ArgMax" else x.amin(axis, True)
        found = torch.argmax((x == extreme).to(torch.int8), axis, keepdim=keep)
        return found
    return x.shape[axis] - 1 - find(x.flip(axis), axis, keepdim=keep)


@operator("TopK")
def top_k(node: Node, x: Tensor, count: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The largest or smallest few along one axis, in order, and their places; of equals the first comes first."""
    many = int(node.get("k") if count is None else count)
    axis, largest = node.get("axis", -1), bool(node.get("largest", 1))
    wide = x.long() if x.dtype in (torch.uint16, torch.uint32, torch.uint64) else x
    places = torch.sort(wide, dim=axis, descending=largest, stable=True).indices.narrow(axis, 0, many)
    return torch.gather(x, axis, places), places


@operator("MatMul")
def matmul(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """The product of matrices, or of stacks of them."""
    if not x.is_floating_point() and x.dtype not in (torch.int32, torch.int64):
        return (x.long() @ y.long()).to(x.dtype)
    return x @ y


@operator("Gemm")
def gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """alpha A B + beta C, with A or B transposed."""
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    a = a.mT if node.get("transA", 0) else a
    plain = alpha == 1.0 and beta == 1.0 and a.is_floating_point()
    if plain and node.get("transB", 0) and (c is None or c.ndim == 1):
        return torch.nn.functional.linear(a, b, c)
    b = b.mT if node.get("transB", 0) else b
    found = (a @ b) if alpha == 1.0 else (alpha * (a @ b)).to(a.dtype)
    return found if c is None else found + (c if beta == 1.0 else (beta * c).to(c.dtype))


@operator("Einsum")
def einsum(node: Node, *inputs: Tensor) -> Tensor:
    """Sums of products, as the equation says."""
    return torch.einsum(node.get("equation"), *inputs)


@operator("Det")
def determinant(node: Node, x: Tensor) -> Tensor:
    """The determinant of each matrix."""
    return torch.linalg.det(x)
