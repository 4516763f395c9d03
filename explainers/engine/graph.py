"""The autograd graph between an entry point and a number: every operation on the way, whoever called it.

A hook on a module misses F.relu, a module that is used twice, and what a script or an exported program computes; the
graph has a node for each of them. A node is named after its operation ("Relu", "Addmm") and belongs to one run, so
what is changed at it never touches the model.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch.autograd.graph import get_gradient_edge

from model_zoo.probe.watch import graph

# One number in, one out, and never falling: DeepLIFT's rescale rule is made for these.
ACTIVATIONS = {
    "Relu", "LeakyRelu", "PreluKernel", "Elu", "Celu", "Sigmoid", "Tanh", "Softplus", "Hardtanh", "Clamp", "ClampMin",
    "ClampMax", "Threshold", "Hardsigmoid", "LogSigmoid", "Maximum", "Minimum",
}  # fmt: skip
MAXIMA = {"MaxPool2DWithIndices", "MaxPool3DWithIndices", "AdaptiveMaxPool2D", "AdaptiveMaxPool3D", "Max", "Amax"}
# Sums, and what moves numbers about.
LINEAR = {
    "Add", "Sub", "Rsub", "Neg", "Sum", "Mean", "Cumsum", "Clone", "Copy", "Copys", "ToCopy", "Alias", "Contiguous",
    "View", "UnsafeView", "Reshape", "ReshapeAlias", "Unflatten", "Permute", "Transpose", "T", "Mt", "Squeeze",
    "Unsqueeze", "Expand", "Repeat", "RepeatInterleave", "Cat", "Stack", "Slice", "Select", "Split", "SplitWithSizes",
    "UnsafeSplit", "UnsafeSplitWithSizes", "Unbind", "Narrow", "Index", "IndexSelect", "IndexPut",
    "IndexAdd", "Gather", "ScatterAdd", "Scatter", "SliceScatter", "SelectScatter", "TakeAlongDim",
    "MaskedFill", "MaskedSelect", "Where", "Flip", "Roll", "Rot90", "Diagonal", "Tril", "Triu", "AsStrided", "Unfold",
    "Im2Col", "Col2Im", "PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "NativeChannelShuffle", "ConstantPadNd",
    "ReflectionPad1D", "ReflectionPad2D", "ReflectionPad3D", "ReplicationPad1D", "ReplicationPad2D",
    "ReplicationPad3D", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "MkldnnAdaptiveAvgPool2D",
    "UpsampleNearest1D", "UpsampleNearest2D", "UpsampleNearest3D", "UpsampleNearestExact1D", "UpsampleNearestExact2D",
    "UpsampleLinear1D", "UpsampleBilinear2D", "UpsampleBilinear2DAa", "UpsampleBicubic2D", "UpsampleTrilinear3D",
    "NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "NativeBatchNormLegitNoTraining", "AccumulateGrad",
}  # fmt: skip
# Linear in each of these places among what they are given, so long as the others do not depend on the entry.
FACTORS = {
    "Mul": (0, 1), "Mm": (0, 1), "Bmm": (0, 1), "Mv": (0, 1), "Dot": (0, 1), "Vdot": (0, 1), "Linear": (0, 1),
    "Addmm": (1, 2), "Baddbmm": (1, 2), "Addbmm": (1, 2), "Addmv": (1, 2), "Addcmul": (1, 2), "Convolution": (0, 1),
    "ConvolutionOverrideable": (0, 1), "MkldnnLinear": (0, 1), "CudnnConvolution": (0, 1), "Div": (0, 1),
}  # fmt: skip

PRODUCT = "products of numbers that both depend on the input (as in attention, gates and recurrent layers)"
WORDS = {
    "Gelu": "GELU",
    "Silu": "SiLU",
    "Mish": "Mish",
    "Hardswish": "hard swish",
    "Softmax": "a softmax",
    "LogSoftmax": "a log-softmax",
    "NativeLayerNorm": "layer normalisation",
    "FusedRmsNorm": "RMS normalisation",
    "NativeGroupNorm": "group normalisation",
    "Pow": "powers",
    "Abs": "absolute values",
    "Exp": "exponentials",
    "Sqrt": "square roots",
    "Rsqrt": "square roots",
    "LeakyRelu": "leaky ReLU",
    "PreluKernel": "PReLU",
    "Elu": "ELU",
    "Celu": "CELU",
    "Hardsigmoid": "hard sigmoid",
    "LogSigmoid": "log-sigmoid",
    "CopySlices": "numbers written into a part of a tensor in place",
}
# Words inside a name.
PARTS = {"Attention": "attention", "Rnn": "a recurrent layer", "LstmCell": "a recurrent layer"}


def kind(node: Any) -> str:
    """The operation that a node takes back: "Relu" of ReluBackward0."""
    return re.sub(r"Backwards?\d*$", "", node.name().rsplit("::", 1)[-1])


def between(number: torch.Tensor, entry: torch.Tensor) -> list[Any]:
    """The nodes on some way from `number` down to the leaf `entry`, latest first; none where it does not depend."""
    users: dict[Any, list[Any]] = {}
    for node in graph(number.grad_fn):
        for below, _ in node.next_functions:
            if below is not None:
                users.setdefault(below, []).append(node)
    leaf = get_gradient_edge(entry).node
    waiting, found = [leaf], {leaf} if leaf in users else set()
    while waiting:
        for node in users.get(waiting.pop(), ()):
            if node not in found:
                found.add(node)
                waiting.append(node)
    return sorted(found, key=lambda node: -node._sequence_nr())


def without_rule(nodes: list[Any]) -> tuple[str, ...]:
    """What the rescale rule does not cover among these nodes, in plain words, each once; empty where it covers all."""
    inside = set(nodes)
    found = (_objection(node, [below in inside for below, _ in node.next_functions]) for node in nodes)
    return tuple(dict.fromkeys(one for one in found if one))


def _objection(node: Any, depends: list[bool]) -> str:
    """Why the rule does not cover one node, of which these inputs depend on the entry; empty where it does."""
    name = kind(node)
    if _opaque(node):
        return f"an operation with a backward pass of its own ({name})"
    if name in FACTORS:
        places = [place < len(depends) and depends[place] for place in FACTORS[name]]
        if name == "Div" and places[1]:
            return "division by numbers that depend on the input"
        return PRODUCT if all(places) else ""
    if name in ("Maximum", "Minimum") and sum(depends) > 1:
        return "the larger or smaller of two numbers that both depend on the input"
    if "BatchNorm" in name and getattr(node, "_saved_training", False):
        return "normalisation by the statistics of its own input"
    if name in LINEAR or name in ACTIVATIONS or name in MAXIMA:
        return ""
    part = next((said for word, said in PARTS.items() if word in name), "")
    return part or WORDS.get(name, f"the operation {name}")


def opaque(nodes: list[Any]) -> tuple[str, ...]:
    """Operations among these nodes that hide what they compute: people's own functions, compiled or scripted parts."""
    return tuple(dict.fromkeys(kind(node) for node in nodes if _opaque(node)))


def _opaque(node: Any) -> bool:
    return isinstance(node, torch.autograd.function.BackwardCFunction) or "DifferentiableGraph" in node.name()


def rectifiers(nodes: list[Any]) -> list[Any]:
    """The nodes that are ReLUs, whatever they are called: zero below zero, the identity just above."""
    return [node for node in nodes if _rectifies(node)]


def _rectifies(node: Any) -> bool:
    name = kind(node)
    if name in ("Hardtanh", "Clamp", "ClampMin"):  # ReLU6, clamp(min=0)
        low = getattr(node, "_saved_min_val", None) if name == "Hardtanh" else getattr(node, "_saved_min", None)
        return isinstance(low, (int, float)) and low == 0
    return name == "Relu" or (name == "Threshold" and node._saved_threshold == 0)


def other_activations(nodes: list[Any]) -> list[str]:
    """The activations among these nodes that are no ReLUs, by name."""
    names = [kind(node) for node in nodes if not _rectifies(node)]
    curves = ACTIVATIONS - {"Maximum", "Minimum", "ClampMax"} | {"Gelu", "Silu", "Mish", "Hardswish", "Softmax"}
    return [WORDS.get(name, name.lower()).removeprefix("a ") for name in names if name in curves]
