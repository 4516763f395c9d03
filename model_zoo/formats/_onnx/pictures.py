"""Operators on grids: resizing, sampling at places, patches put together again."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from model_zoo.formats._onnx.registry import Node, Unsupported, operator
from model_zoo.formats._onnx.shapes import bounded
from model_zoo.formats._onnx.tensors import whole

Tensor = torch.Tensor


@operator("Resize", "Upsample")
def resize(node: Node, x: Tensor, *given: Tensor | None) -> Tensor:
    """x with other sizes: nearest, linear or cubic along one axis after the other.

    Each axis is a product with a matrix (new, old) of weights, so that every mode and its gradient are exact.
    """
    roi, scales, sizes = _wanted(node, given)
    axes = [one % x.ndim for one in node.get("axes", range(x.ndim))]
    if scales is None:
        assert sizes is not None
        scales, sizes = _by_sizes(node, [x.shape[one] for one in axes], sizes)
    else:
        sizes = [math.floor(x.shape[axis] * scale) for axis, scale in zip(axes, scales, strict=True)]
    bounded([*[x.shape[one] for one in range(x.ndim) if one not in axes], *sizes])
    for place, axis in enumerate(axes):
        part = (roi[place], roi[place + len(axes)]) if roi else None
        if scales[place] == 1.0 and sizes[place] == x.shape[axis] and part is None:
            continue
        x = _along(node, x, axis, sizes[place], scales[place], part)
    return x


def _wanted(node: Node, given: tuple[Tensor | None, ...]) -> tuple[Any, list[float] | None, list[int] | None]:
    if node.operator == "Upsample" or node.opset < 11:
        scales = given[0].tolist() if given and given[0] is not None else list(node.get("scales"))
        return None, scales, None
    roi, factors, sizes = (*given, None, None, None)[:3]
    crop = node.get("coordinate_transformation_mode") == "tf_crop_and_resize" and roi is not None and roi.numel()
    return (
        roi.tolist() if crop and roi is not None else None,
        factors.tolist() if factors is not None and factors.numel() else None,
        whole(sizes) if sizes is not None and sizes.numel() else None,
    )


def _by_sizes(node: Node, old: list[int], sizes: list[int]) -> tuple[list[float], list[int]]:
    scales = [new / was for new, was in zip(sizes, old, strict=True)]
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return scales, sizes
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [scale] * len(old), [math.floor(was * scale + 0.5) for was in old]


def _along(node: Node, x: Tensor, axis: int, new: int, scale: float, roi: tuple[float, float] | None) -> Tensor:
    old = x.shape[axis]
    places, outside = _places(node, old, new, scale, roi)
    weights = _weights(node, places, old, scale).to(x.dtype if x.is_floating_point() else torch.float64)
    found = torch.movedim(torch.movedim(x.to(weights.dtype), axis, -1) @ weights.T.to(x.device), -1, axis)
    if outside is not None and bool(outside.any()):
        mask = outside.to(x.device).reshape([-1 if one == axis else 1 for one in range(x.ndim)])
        found = torch.where(mask, torch.full_like(found, node.get("extrapolation_value", 0.0)), found)
    return found if x.is_floating_point() else found.round().to(x.dtype)


def _places(
    node: Node, old: int, new: int, scale: float, roi: tuple[float, float] | None
) -> tuple[Tensor, Tensor | None]:
    """Where in x each new number lies, (new,), and which lie outside a crop."""
    usual = "asymmetric" if node.operator == "Upsample" or node.opset < 11 else "half_pixel"
    kind = node.get("coordinate_transformation_mode", usual)
    at = torch.arange(new, dtype=torch.float64)
    length = scale * old  # a float: the sizes were rounded
    if kind == "asymmetric":
        return at / scale, None
    if kind == "align_corners":
        return (at * (old - 1) / (length - 1) if length > 1 else at * 0), None
    if kind == "pytorch_half_pixel":
        return ((at + 0.5) / scale - 0.5 if length > 1 else at * 0), None
    if kind == "half_pixel_symmetric":
        centre = old / 2
        return centre * (1 - new / length) + (at + 0.5) / scale - 0.5, None
    if kind == "tf_crop_and_resize" and roi is not None:
        first, last = roi
        step = (last - first) * (old - 1) / (new - 1) if new > 1 else 0.0
        begin = first * (old - 1) if new > 1 else 0.5 * (first + last) * (old - 1)
        places = begin + at * step
        return places, (places < 0) | (places > old - 1)
    if kind == "tf_half_pixel_for_nn":
        return (at + 0.5) / scale, None
    return (at + 0.5) / scale - 0.5, None


def _weights(node: Node, places: Tensor, old: int, scale: float) -> Tensor:
    """How much each old number gives to each new one, (new, old)."""
    mode = node.get("mode", "nearest")
    if mode == "nearest":
        near = _nearest(node, places).clamp(0, old - 1).long()
        return functional.one_hot(near, old).double()
    wide = min(1.0, scale) if node.get("antialias", 0) else 1.0  # a window as wide as what it stands for
    reach = (1 if mode == "linear" else 2) / wide
    taps = torch.arange(-math.ceil(reach), math.ceil(reach) + 2, dtype=torch.float64)
    base = torch.floor(places)[:, None] + taps
    far = (places[:, None] - base) * wide
    shares = (1 - far.abs()).clamp(min=0) if mode == "linear" else _cubic(far.abs(), node.get("cubic_coeff_a", -0.75))
    inside = (base >= 0) & (base <= old - 1)
    if node.get("exclude_outside", 0):
        shares = torch.where(inside, shares, torch.zeros_like(shares))
    shares = shares / shares.sum(1, keepdim=True)
    return torch.zeros(len(places), old, dtype=torch.float64).scatter_add(1, base.clamp(0, old - 1).long(), shares)


def _nearest(node: Node, places: Tensor) -> Tensor:
    old = node.operator == "Upsample" or node.opset < 11
    kind = node.get("nearest_mode", "floor" if old else "round_prefer_floor")
    if kind == "floor":
        return torch.floor(places)
    if kind == "ceil":
        return torch.ceil(places)
    return torch.floor(places + 0.5) if kind == "round_prefer_ceil" else torch.ceil(places - 0.5)


def _cubic(d: Tensor, a: float) -> Tensor:
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


@operator("GridSample")
def grid_sample(node: Node, x: Tensor, grid: Tensor) -> Tensor:
    """x at the places of a grid from -1 to 1."""
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(node.get("mode", "linear"), node.get("mode", "linear"))
    return functional.grid_sample(x, grid, mode, node.get("padding_mode", "zeros"), bool(node.get("align_corners", 0)))


@operator("AffineGrid")
def affine_grid(node: Node, theta: Tensor, sizes: Tensor) -> Tensor:
    """The grid of places that an affine map makes."""
    return functional.affine_grid(theta, bounded(whole(sizes)), align_corners=bool(node.get("align_corners", 0)))


@operator("Col2Im")
def col2im(node: Node, x: Tensor, image: Tensor, block: Tensor) -> Tensor:
    """Patches added up to pictures."""
    sides, kernel = whole(image), whole(block)
    if len(sides) != 2:
        raise Unsupported(f"Col2Im over {len(sides)} axes")
    pads = list(node.get("pads", [0, 0, 0, 0]))
    full = [sides[0] + pads[0] + pads[2], sides[1] + pads[1] + pads[3]]
    found = functional.fold(
        x, (full[0], full[1]), (kernel[0], kernel[1]), node.get("dilations", [1, 1]), 0, node.get("strides", [1, 1])
    )
    return found[..., pads[0] : full[0] - pads[2], pads[1] : full[1] - pads[3]]
