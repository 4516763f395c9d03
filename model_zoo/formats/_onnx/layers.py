"""The layers of a network: convolutions, pooling, normalisation."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from model_zoo.formats._onnx.registry import Node, Unsupported, operator

Tensor = torch.Tensor
CONVOLUTIONS: dict[int, Any] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED: dict[int, Any] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
LARGEST: dict[int, Any] = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


def _pads(node: Node, sizes: list[int], kernel: list[int], strides: list[int], dilations: list[int]) -> list[int]:
    """Numbers put before each axis, then after each, as the node or its auto_pad says."""
    kind = node.get("auto_pad", "NOTSET")
    axes = len(kernel)
    if kind == "NOTSET":
        return list(node.get("pads", [0] * 2 * axes))
    if kind == "VALID":
        return [0] * 2 * axes
    pads = [0] * 2 * axes
    for axis in range(axes):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        out = -(-sizes[axis] // strides[axis])
        need = max(0, (out - 1) * strides[axis] + reach - sizes[axis])
        small = need // 2
        pads[axis], pads[axis + axes] = (small, need - small) if kind == "SAME_UPPER" else (need - small, small)
    return pads


def _around(x: Tensor, pads: list[int], value: float = 0.0) -> Tensor:
    """x with pads (before each axis, then after each) put around its last axes."""
    axes = len(pads) // 2
    sides = [one for axis in reversed(range(axes)) for one in (pads[axis], pads[axis + axes])]
    return functional.pad(x, sides, value=value) if any(pads) else x


def _settings(node: Node, x: Tensor, kernel: list[int]) -> tuple[list[int], list[int], list[int]]:
    strides, dilations = list(node.get("strides", [1] * len(kernel))), list(node.get("dilations", [1] * len(kernel)))
    return strides, dilations, _pads(node, list(x.shape[2:]), kernel, strides, dilations)


@operator("Conv")
def convolution(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution over 1, 2 or 3 axes."""
    kernel = list(weight.shape[2:])
    axes = len(kernel)
    strides, dilations, pads = _settings(node, x, kernel)
    if axes not in CONVOLUTIONS:
        raise Unsupported(f"a convolution over {axes} axes")
    even = pads[:axes] == pads[axes:]
    if not even:
        x = _around(x, pads)
    return CONVOLUTIONS[axes](x, weight, bias, strides, pads[:axes] if even else 0, dilations, node.get("group", 1))


@operator("ConvTranspose")
def transposed_convolution(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The transposed convolution, cut or padded to the output that is asked for."""
    kernel = list(weight.shape[2:])
    axes = len(kernel)
    strides, dilations = list(node.get("strides", [1] * axes)), list(node.get("dilations", [1] * axes))
    more = list(node.get("output_padding", [0] * axes))
    pads = list(node.get("pads", [0] * 2 * axes))
    whole = [(x.shape[2 + a] - 1) * strides[a] + (kernel[a] - 1) * dilations[a] + 1 + more[a] for a in range(axes)]
    kind, wanted = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if wanted is not None or kind in ("SAME_UPPER", "SAME_LOWER"):
        out = list(wanted)[-axes:] if wanted is not None else [x.shape[2 + a] * strides[a] for a in range(axes)]
        for a in range(axes):
            surplus = whole[a] - out[a]
            first = surplus // 2 if kind == "SAME_UPPER" else surplus - surplus // 2
            pads[a], pads[a + axes] = first, surplus - first
    found = TRANSPOSED[axes](x, weight, None, strides, 0, 0, node.get("group", 1), dilations)
    found = _around(found, [*[-pads[a] for a in range(axes)], *[more[a] - pads[a + axes] for a in range(axes)]])
    return found if bias is None else found + bias.reshape(-1, *[1] * axes)


@operator("DeformConv")
def deformable_convolution(
    node: Node, x: Tensor, weight: Tensor, offset: Tensor, bias: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """A convolution whose places are moved by offsets."""
    raise Unsupported("DeformConv")


@operator("MaxPool")
def max_pool(node: Node, x: Tensor) -> Any:
    """The largest number of each window, and its place in x if wanted."""
    kernel = list(node.get("kernel_shape"))
    axes = len(kernel)
    strides, dilations, pads = _settings(node, x, kernel)
    if axes not in LARGEST:
        raise Unsupported(f"pooling over {axes} axes")
    sizes = x.shape[2:]
    pads, ceil = _rounded_up(node, sizes, kernel, strides, dilations, pads)
    wants = len(node.outputs) > 1 and node.outputs[1] != ""
    whole = x if x.is_floating_point() else x.float()
    even = pads[:axes] == pads[axes:] and all(2 * one <= side for one, side in zip(pads, kernel, strict=False))
    if not even or ceil:
        whole = _around(whole, pads, -torch.inf)
    inside = pads[:axes] if even and not ceil else 0
    found = LARGEST[axes](whole, kernel, strides, inside, dilations, False, wants)
    if not wants:
        return found.to(x.dtype)
    values, places = found
    if not even or ceil:
        places = _unpadded(places, whole.shape[2:], sizes, pads)
    if node.get("storage_order", 0) and axes == 2:
        places = places // sizes[1] + places % sizes[1] * sizes[0]
    lead = torch.arange(x.shape[0] * x.shape[1], device=x.device).reshape(*x.shape[:2], *[1] * axes)
    return values.to(x.dtype), places + lead * math.prod(sizes)


def _rounded_up(
    node: Node, sizes: Any, kernel: list[int], strides: list[int], dilations: list[int], pads: list[int]
) -> tuple[list[int], bool]:
    """Pads with what ceil_mode adds after each axis; a window that begins in the last pads does not count."""
    if not node.get("ceil_mode", 0):
        return pads, False
    axes = len(kernel)
    pads = list(pads)
    for a in range(axes):
        reach = (kernel[a] - 1) * dilations[a] + 1
        full = sizes[a] + pads[a] + pads[a + axes]
        count = -(-(full - reach) // strides[a]) + 1
        if (count - 1) * strides[a] >= sizes[a] + pads[a]:
            count -= 1
        pads[a + axes] += max(0, (count - 1) * strides[a] + reach - full)
    return pads, True


def _unpadded(places: Tensor, padded: Any, sizes: Any, pads: list[int]) -> Tensor:
    """Places in a padded picture as places in the picture itself."""
    found, rest = torch.zeros_like(places), places
    factor = 1
    for axis in reversed(range(len(sizes))):
        found = found + (rest % padded[axis] - pads[axis]) * factor
        rest = rest // padded[axis]
        factor *= sizes[axis]
    return found


@operator("AveragePool")
def average_pool(node: Node, x: Tensor) -> Tensor:
    """The mean of each window; pads count where count_include_pad says so."""
    return _window_sums(node, x, mean=True)


@operator("LpPool")
def lp_pool(node: Node, x: Tensor) -> Tensor:
    """The p-norm of each window."""
    p = node.get("p", 2)
    return _window_sums(node, x.abs() ** p, mean=False) ** (1 / p)


def _window_sums(node: Node, x: Tensor, mean: bool) -> Tensor:
    kernel = list(node.get("kernel_shape"))
    axes = len(kernel)
    strides, dilations, pads = _settings(node, x, kernel)
    own = list(pads)
    pads, _ = _rounded_up(node, x.shape[2:], kernel, strides, dilations, pads)
    if axes not in CONVOLUTIONS:
        raise Unsupported(f"pooling over {axes} axes")
    fits = axes == 2 and pads == own and pads[:2] == pads[2:] and dilations == [1, 1]
    if mean and fits and all(2 * pad <= side for pad, side in zip(pads, kernel, strict=False)):
        return functional.avg_pool2d(x, kernel, strides, pads[:2], False, bool(node.get("count_include_pad", 0)))
    ones = torch.ones(1, 1, *kernel, dtype=x.dtype, device=x.device)

    def sums(of: Tensor, pads: list[int]) -> Tensor:
        flat = of.reshape(-1, 1, *of.shape[2:])
        found = CONVOLUTIONS[axes](_around(flat, pads), ones, None, strides, 0, dilations)
        return found.reshape(*of.shape[:2], *found.shape[2:])

    if not mean:
        return sums(x, pads)
    there = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    if node.get("count_include_pad", 0):  # what ceil_mode adds never counts
        there = _around(there, own, 1.0)
        return sums(x, pads) / sums(there, [more - had for more, had in zip(pads, own, strict=True)])
    return sums(x, pads) / sums(there, pads)


@operator("GlobalAveragePool")
def global_average_pool(node: Node, x: Tensor) -> Tensor:
    """The mean of each channel."""
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(node: Node, x: Tensor) -> Tensor:
    """The largest number of each channel."""
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


@operator("GlobalLpPool")
def global_lp_pool(node: Node, x: Tensor) -> Tensor:
    """The p-norm of each channel."""
    p = node.get("p", 2)
    return (x.abs() ** p).sum(tuple(range(2, x.ndim)), keepdim=True) ** (1 / p)


@operator("MaxUnpool")
def max_unpool(node: Node, x: Tensor, places: Tensor, sizes: Tensor | None = None) -> Tensor:
    """Numbers put back to the places that they were pooled from, 0 elsewhere."""
    kernel = list(node.get("kernel_shape"))
    axes = len(kernel)
    strides, pads = list(node.get("strides", [1] * axes)), list(node.get("pads", [0] * 2 * axes))
    natural = [(x.shape[2 + a] - 1) * strides[a] + kernel[a] - pads[a] - pads[a + axes] for a in range(axes)]
    shape = [*x.shape[:2], *natural]
    flat = torch.zeros(math.prod(shape), dtype=x.dtype, device=x.device)
    found = flat.scatter(0, places.reshape(-1), x.reshape(-1)).reshape(shape)
    if sizes is None:
        return found
    wanted = sizes.tolist()[2:]
    return _around(found, [*[0] * axes, *[w - n for w, n in zip(wanted, natural, strict=True)]])


# -- normalisation -----------------------------------------------------------------------------------------------


@operator("BatchNormalization")
def batch_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Any:
    """(x - mean) / sqrt(var + epsilon) · scale + bias by channel; with training_mode the batch's own mean."""
    epsilon = node.get("epsilon", 1e-5)
    if node.get("training_mode", 0):
        axes = [one for one in range(x.ndim) if one != 1]
        own_mean, own_var = x.mean(axes), x.var(axes, unbiased=False)
        keep = node.get("momentum", 0.9)
        found = functional.batch_norm(x, own_mean, own_var, scale, bias, False, 0.0, epsilon)
        return found, mean * keep + own_mean * (1 - keep), var * keep + own_var * (1 - keep)
    if scale.dtype != x.dtype or mean.dtype != x.dtype:
        scale, bias, mean, var = (one.to(x.dtype) for one in (scale, bias, mean, var))
    return functional.batch_norm(x, mean, var, scale, bias, False, 0.0, epsilon)


@operator("InstanceNormalization")
def instance_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Each channel of each element by its own mean and variance."""
    return functional.instance_norm(x, weight=scale, bias=bias, eps=node.get("epsilon", 1e-5))


@operator("LayerNormalization")
def layer_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Any:
    """Over the axes from `axis` on; also its mean and the inverse of its deviation if they are wanted."""
    axis, epsilon = node.get("axis", -1) % x.ndim, node.get("epsilon", 1e-5)
    shape = x.shape[axis:]
    if scale.shape == shape and (bias is None or bias.shape == shape):
        found = functional.layer_norm(x, shape, scale, bias, epsilon)
    else:
        found = functional.layer_norm(x, shape, None, None, epsilon) * scale
        found = found if bias is None else found + bias
    if len(node.outputs) < 2:
        return found
    axes = tuple(range(axis, x.ndim))
    mean = x.float().mean(axes, keepdim=True)
    return found, mean, torch.rsqrt(x.float().var(axes, unbiased=False, keepdim=True) + epsilon)


@operator("RMSNormalization", "SimplifiedLayerNormalization")
def rms_normalization(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    """x / sqrt(mean x² + epsilon) · scale over the axes from `axis` on."""
    axes = tuple(range(node.get("axis", -1) % x.ndim, x.ndim))
    wide = x if x.dtype == torch.float64 else x.float()
    found = wide * torch.rsqrt((wide * wide).mean(axes, keepdim=True) + node.get("epsilon", 1e-5))
    return found.to(x.dtype) * scale


@operator("GroupNormalization")
def group_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Groups of channels by their own mean and variance; the scale was one a group up to opset 20."""
    groups, epsilon = node.get("num_groups"), node.get("epsilon", 1e-5)
    if node.opset < 21:
        scale, bias = (one.repeat_interleave(x.shape[1] // groups) for one in (scale, bias))
    return functional.group_norm(x, groups, scale, bias, epsilon)


@operator("LRN")
def local_response_normalization(node: Node, x: Tensor) -> Tensor:
    """x by the squares of the channels around it."""
    size = node.get("size")
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    squares = (x * x).transpose(1, -1)
    flat = squares.reshape(-1, 1, squares.shape[-1])
    flat = functional.pad(flat, [(size - 1) // 2, size // 2])
    sums = functional.conv1d(flat, torch.ones(1, 1, size, dtype=x.dtype, device=x.device))
    return x / (bias + alpha / size * sums.reshape(squares.shape).transpose(1, -1)) ** beta


@operator("LpNormalization")
def lp_normalization(node: Node, x: Tensor) -> Tensor:
    """x by its p-norm along an axis; 0 where that is 0."""
    norm = x.norm(node.get("p", 2), node.get("axis", -1), keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


@operator("MeanVarianceNormalization")
def mean_variance_normalization(node: Node, x: Tensor) -> Tensor:
    """(x - mean) / deviation over some axes."""
    axes = tuple(node.get("axes", [0, 2, 3]))
    return (x - x.mean(axes, keepdim=True)) / (x.std(axes, unbiased=False, keepdim=True) + 1e-9)
