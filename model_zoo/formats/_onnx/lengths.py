"""The one number of tokens that a graph of token ids runs on, where its exporter has written it into the graph.

torch.onnx.export by tracing writes the length of its example into what nn.TransformerEncoder reshapes, and declares the
axis as of any size all the same.
"""

from __future__ import annotations

import math

import onnx
import torch

from model_zoo.formats import _graphs
from model_zoo.formats._onnx.checking import tensors
from model_zoo.formats._onnx.interpreter import all_nodes

USUAL = 8  # tokens
LONGEST = 4096  # tokens
MOST = 64  # lengths that are tried
FEW = 8  # numbers in a constant that says a shape


def only(model: onnx.ModelProto, graph: _graphs.Graph, words: int) -> int | None:
    """The length in tokens that a graph takes, no more and no fewer; None where others do, or none is found."""

    def alone(tokens: int) -> bool:
        return runs(graph, tokens, words) and not any(runs(graph, tokens + step, words) for step in (-1, 1))

    if runs(graph, USUAL, words) and not alone(USUAL):
        return None
    return next((one for one in (USUAL, *_written(model)) if alone(one)), None)


def runs(graph: _graphs.Graph, tokens: int, words: int) -> bool:
    """Whether a graph takes two texts, or as many as it does, of so many tokens."""
    if tokens < 1:
        return False
    made = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            graph(torch.randint(0, words, (2, tokens), generator=made))
    except Exception:  # onnxruntime raises classes of its own
        return False
    return True


def _written(model: onnx.ModelProto) -> list[int]:
    """Whole numbers in the small constants of a graph that may be a length, the smallest first."""
    small = [one for one in tensors(model) if one.data_type == onnx.TensorProto.INT64 and math.prod(one.dims) <= FEW]
    found = {int(one) for constant in small for one in onnx.numpy_helper.to_array(constant).reshape(-1)}
    for node in all_nodes(model.graph):
        if node.op_type == "Constant":
            found.update(number for one in node.attribute for number in (one.i, *one.ints))
    return sorted(one for one in found if 1 < one <= LONGEST)[:MOST]
