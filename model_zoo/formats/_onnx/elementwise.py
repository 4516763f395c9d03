"""Operators that work element by element: arithmetic, comparisons, activations, casts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from model_zoo.formats._onnx.registry import Node, Unsupported, operator, plain
from model_zoo.formats._onnx.tensors import dtype

Tensor = torch.Tensor
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)  # torch has few operators for them: int64 has them all


def signed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function by way of int64 for unsigned numbers, which wraps around as they do."""

    def work(*inputs: Tensor) -> Tensor:
        if inputs[0].dtype not in UNSIGNED:
            return function(*inputs)
        found = function(*(one.long() for one in inputs))
        return found if found.dtype == torch.bool else found.to(inputs[0].dtype)

    return work


plain(
    {
        "Abs": torch.abs,
        "Acos": torch.acos,
        "Acosh": torch.acosh,
        "And": torch.logical_and,
        "Asin": torch.asin,
        "Asinh": torch.asinh,
        "Atan": torch.atan,
        "Atanh": torch.atanh,
        "BitwiseAnd": torch.bitwise_and,
        "BitwiseNot": signed(torch.bitwise_not),
        "BitwiseOr": torch.bitwise_or,
        "BitwiseXor": torch.bitwise_xor,
        "Ceil": torch.ceil,
        "Cos": torch.cos,
        "Cosh": torch.cosh,
        "Equal": torch.eq,
        "Erf": torch.erf,
        "Exp": torch.exp,
        "Floor": torch.floor,
        "Greater": signed(torch.gt),
        "GreaterOrEqual": signed(torch.ge),
        "HardSwish": functional.hardswish,
        "Identity": lambda x: x,
        "IsNaN": torch.isnan,
        "Less": signed(torch.lt),
        "LessOrEqual": signed(torch.le),
        "Log": torch.log,
        "Mish": functional.mish,
        "Mul": signed(torch.mul),
        "Neg": torch.neg,
        "Not": torch.logical_not,
        "Or": torch.logical_or,
        "PRelu": lambda x, slope: torch.where(x < 0, x * slope, x),
        "Reciprocal": torch.reciprocal,
        "Relu": torch.relu,
        "Round": torch.round,
        "Sigmoid": torch.sigmoid,
        "Sign": torch.sign,
        "Sin": torch.sin,
        "Sinh": torch.sinh,
        "Softplus": lambda x: functional.softplus(x, threshold=80.0),
        "Softsign": functional.softsign,
        "Sqrt": torch.sqrt,
        "Sub": signed(torch.sub),
        "Tan": torch.tan,
        "Tanh": torch.tanh,
        "Where": torch.where,
        "Xor": torch.logical_xor,
    }
)


@operator("Add")
def add(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """x + y."""
    return signed(torch.add)(x, y)


@operator("Div")
def div(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """x / y; of whole numbers the part before the point."""
    return x / y if x.is_floating_point() else signed(functools.partial(torch.div, rounding_mode="trunc"))(x, y)


@operator("Pow")
def power(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """x to the power y, of the type of x."""
    if y.ndim == 0 or y.numel() == 1:  # a number, so that the gradient at 0 is that of x², not of a general power
        if y.ndim > x.ndim:
            x = x.reshape((1,) * (y.ndim - x.ndim) + tuple(x.shape))
        exponent = y.item()
        return torch.pow(x if x.is_floating_point() or isinstance(exponent, int) else x.double(), exponent).to(x.dtype)
    return torch.pow(x if x.is_floating_point() else x.double(), y).to(x.dtype)


@operator("Mod")
def mod(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """The remainder: with the sign of x for fmod=1, of y otherwise."""
    if node.get("fmod", 0):
        return torch.fmod(x, y)
    return signed(torch.remainder)(x, y)


@operator("BitShift")
def bit_shift(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """x shifted by y bits."""
    a, b = x.long(), y.long()
    return (a << b if node.get("direction") == "LEFT" else a >> b).to(x.dtype)


@operator("Max")
def maximum(node: Node, *inputs: Tensor) -> Tensor:
    """The largest of the inputs, element by element."""
    return functools.reduce(signed(torch.maximum), inputs)


@operator("Min")
def minimum(node: Node, *inputs: Tensor) -> Tensor:
    """The smallest of the inputs, element by element."""
    return functools.reduce(signed(torch.minimum), inputs)


@operator("Sum")
def total(node: Node, *inputs: Tensor) -> Tensor:
    """The sum of the inputs, element by element."""
    return functools.reduce(torch.add, inputs)


@operator("Mean")
def mean(node: Node, *inputs: Tensor) -> Tensor:
    """The mean of the inputs, element by element."""
    return functools.reduce(torch.add, inputs) / len(inputs)


@operator("Clip")
def clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """x between two bounds, which were attributes up to opset 10."""
    least = node.get("min") if low is None else low
    most = node.get("max") if high is None else high
    if least is not None:
        x = torch.maximum(x, torch.as_tensor(least, dtype=x.dtype, device=x.device))
    if most is not None:
        x = torch.minimum(x, torch.as_tensor(most, dtype=x.dtype, device=x.device))
    return x


@operator("Cast")
def cast(node: Node, x: Tensor) -> Tensor:
    """x as another type."""
    return x.to(dtype(node.get("to")))


@operator("CastLike")
def cast_like(node: Node, x: Tensor, like: Tensor) -> Tensor:
    """x as the type of another tensor."""
    return x.to(like.dtype)


@operator("BitCast")
def bit_cast(node: Node, x: Tensor) -> Tensor:
    """The bits of x read as another type of the same size."""
    return x.view(dtype(node.get("to")))


@operator("IsInf")
def is_infinite(node: Node, x: Tensor) -> Tensor:
    """Whether x is infinite, on the sides that are asked for."""
    up, down = node.get("detect_positive", 1), node.get("detect_negative", 1)
    if up and down:
        return torch.isinf(x)
    if not up and not down:
        return torch.zeros_like(x, dtype=torch.bool)
    return torch.isposinf(x) if up else torch.isneginf(x)


@operator("Elu")
def elu(node: Node, x: Tensor) -> Tensor:
    """x, below 0: alpha (exp x - 1)."""
    return functional.elu(x, node.get("alpha", 1.0))


@operator("Celu")
def celu(node: Node, x: Tensor) -> Tensor:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""
    return functional.celu(x, node.get("alpha", 1.0))


@operator("Selu")
def selu(node: Node, x: Tensor) -> Tensor:
    """gamma x, below 0: gamma alpha (exp x - 1)."""
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    return gamma * functional.elu(x, alpha)


@operator("LeakyRelu")
def leaky_relu(node: Node, x: Tensor) -> Tensor:
    """x, below 0: alpha x."""
    return functional.leaky_relu(x, node.get("alpha", 0.01))


@operator("ThresholdedRelu")
def thresholded_relu(node: Node, x: Tensor) -> Tensor:
    """x above alpha, else 0."""
    return torch.where(x > node.get("alpha", 1.0), x, torch.zeros_like(x))


@operator("HardSigmoid")
def hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    """alpha x + beta between 0 and 1."""
    return (node.get("alpha", 0.2) * x + node.get("beta", 0.5)).clamp(0, 1)


@operator("Shrink")
def shrink(node: Node, x: Tensor) -> Tensor:
    """x moved towards 0 by bias, 0 within lambd of 0."""
    bias, border = node.get("bias", 0.0), node.get("lambd", 0.5)
    found = torch.where(x < -border, x + bias, torch.where(x > border, x - bias, torch.zeros_like(x)))
    return found.to(x.dtype)


@operator("Gelu")
def gelu(node: Node, x: Tensor) -> Tensor:
    """x Phi(x), exactly or by its approximation with tanh."""
    return functional.gelu(x, approximate=node.get("approximate", "none"))


@operator("Swish")
def swish(node: Node, x: Tensor) -> Tensor:
    """x sigmoid(alpha x)."""
    return x * torch.sigmoid(node.get("alpha", 1.0) * x)


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, x: Tensor) -> Tensor:
    """Along one axis; up to opset 12 over all axes from that one on."""
    old = node.opset < 13
    axis = node.get("axis", 1 if old else -1)
    shape = x.shape
    if old:
        axis = axis % x.ndim if x.ndim else 0
        if axis != x.ndim - 1:
            x, axis = x.flatten(axis), axis
    if node.operator == "Hardmax":
        found = torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1)
    else:
        found = torch.softmax(x, axis) if node.operator == "Softmax" else torch.log_softmax(x, axis)
    return found.reshape(shape)


@operator("Dropout")
def dropout(node: Node, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None) -> Any:
    """x itself: nothing is dropped in evaluation."""
    if training is not None and bool(training) and (ratio is None or float(ratio) > 0):
        raise Unsupported("dropout in training mode")
    return x, torch.ones_like(x, dtype=torch.bool)


@operator("CumSum", "CumProd")
def cumulative(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    """Sums or products up to each element; exclusive leaves it out, reverse begins at the end."""
    along = int(axis)
    turned = x.flip(along) if node.get("reverse", 0) else x
    product = node.operator == "CumProd"
    found = torch.cumprod(turned, along) if product else torch.cumsum(turned, along)
    if node.get("exclusive", 0):
        first = torch.full_like(found.narrow(along, 0, 1), 1 if product else 0)
        found = torch.cat([first, found.narrow(along, 0, found.shape[along] - 1)], along)
    found = found.flip(along) if node.get("reverse", 0) else found
    return found.to(x.dtype)
