"""Operators that onnxruntime adds (com.microsoft) when it simplifies a transformer (its ContribOperators.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from model_zoo.formats._onnx.registry import Node, operator

Tensor = torch.Tensor


@operator("FastGelu", "BiasGelu")
def gelu_with_bias(node: Node, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Gelu of x + bias; the fast one by tanh."""
    return functional.gelu(
        x if bias is None else x + bias, approximate="tanh" if node.operator == "FastGelu" else "none"
    )


@operator("QuickGelu")
def quick_gelu(node: Node, x: Tensor) -> Tensor:
    """x sigmoid(alpha x)."""
    return x * torch.sigmoid(node.get("alpha", 1.702) * x)


@operator("FusedMatMul")
def fused_matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """alpha A B, with A or B transposed."""
    a = a.mT if node.get("transA", 0) else a
    b = b.mT if node.get("transB", 0) else b
    return node.get("alpha", 1.0) * (a @ b)


@operator("SkipLayerNormalization")
def skip_layer_normalization(
    node: Node, x: Tensor, skip: Tensor, scale: Tensor, shift: Tensor | None = None, bias: Tensor | None = None
) -> Any:
    """The layer normalisation of x + skip + bias; the fourth output is that sum."""
    whole = x + skip if bias is None else x + skip + bias
    found = functional.layer_norm(whole, (whole.shape[-1],), scale, shift, node.get("epsilon", 1e-12))
    return found if len(node.outputs) < 4 else (found, None, None, whole)
