"""Numbers kept as small whole ones: read back exactly, and rounded to them.

Weights that are read back are constants, so a gradient passes them by; what is rounded on the way has no gradient.
"""

from __future__ import annotations

from typing import Any

import onnx
import torch

from model_zoo.formats._onnx.layers import convolution
from model_zoo.formats._onnx.registry import Node, Unsupported, operator
from model_zoo.formats._onnx.tensors import dtype

Tensor = torch.Tensor
ROUNDING = ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger")


def _spread(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    """A scale, or zero point, in the shape of x: one for all, one an axis, or one a block of an axis."""
    if scale.numel() == 1 and scale.ndim <= 1:
        return scale.reshape(())
    axis, block = node.get("axis", 1) % x.ndim, node.get("block_size", 0)
    if block:
        return scale.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    return scale.reshape([-1 if one == axis else 1 for one in range(x.ndim)])


@operator("DequantizeLinear")
def dequantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """(x - zero) · scale."""
    whole = x.to(torch.float32)
    if zero is not None:
        whole = whole - _spread(node, x, zero).to(torch.float32)
    return (whole * _spread(node, x, scale).to(torch.float32)).to(scale.dtype)


@operator("QuantizeLinear")
def quantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """round(x / scale) + zero within the type of zero."""
    kind = zero.dtype if zero is not None else dtype(node.get("output_dtype") or onnx.TensorProto.UINT8)
    if kind.is_floating_point:
        raise Unsupported("rounding to small floats")
    found = torch.round(x / _spread(node, x, scale))
    if zero is not None:
        found = found + _spread(node, x, zero).to(found.dtype)
    limits = torch.iinfo(kind)
    return found.clamp(limits.min, limits.max).to(kind)


@operator("DynamicQuantizeLinear")
def dynamic_quantize(node: Node, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x as uint8 over its own range, with the scale and zero point of that."""
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / 255
    zero = torch.round((0 - low) / scale).clamp(0, 255)
    return (torch.round(x / scale) + zero).clamp(0, 255).to(torch.uint8), scale, zero.to(torch.uint8)


@operator("MatMulInteger")
def matmul_integer(node: Node, a: Tensor, b: Tensor, az: Tensor | None = None, bz: Tensor | None = None) -> Tensor:
    """(A - its zero) (B - its zero), exactly."""
    left = a.int() - (0 if az is None else az.int()[..., None] if az.ndim == 1 and az.numel() > 1 else az.int())
    right = b.int() - (0 if bz is None else bz.int())
    return left @ right


@operator("ConvInteger")
def conv_integer(node: Node, x: Tensor, w: Tensor, xz: Tensor | None = None, wz: Tensor | None = None) -> Tensor:
    """The convolution of whole numbers, exactly: sums below 2^53 are exact in float64."""
    wide = x.double() - (0 if xz is None else xz.double())
    weight = w.double() - (0 if wz is None else wz.double().reshape(-1, *[1] * (w.ndim - 1)))
    return convolution(node, wide, weight).to(torch.int32)


@operator("QLinearMatMul")
def qlinear_matmul(
    node: Node, a: Tensor, sa: Tensor, za: Tensor, b: Tensor, sb: Tensor, zb: Tensor, *out: Any
) -> Tensor:
    """A product of quantised matrices, quantised."""
    left = (a.double() - za.double()) * sa.double()
    right = (b.double() - zb.double()) * sb.double()
    return _again(left @ right, *out)


@operator("QLinearConv")
def qlinear_conv(
    node: Node,
    x: Tensor,
    sx: Tensor,
    zx: Tensor,
    w: Tensor,
    sw: Tensor,
    zw: Tensor,
    sy: Tensor,
    zy: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    """A convolution of quantised numbers, quantised."""
    lead = [-1, *[1] * (w.ndim - 1)]
    weight = (w.double() - zw.double().reshape(lead)) * sw.double().reshape(lead)
    found = convolution(node, (x.double() - zx.double()) * sx.double(), weight)
    if bias is not None:
        found = found + (bias.double() * sx.double() * sw.double()).reshape(-1, *[1] * (w.ndim - 2))
    return _again(found, sy, zy)


def _again(found: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    limits = torch.iinfo(zero.dtype)
    return (torch.round(found / scale.double()) + zero.double()).clamp(limits.min, limits.max).to(zero.dtype)
