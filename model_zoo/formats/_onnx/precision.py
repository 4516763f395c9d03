"""The types of numbers in an ONNX graph: half precision computed as float32, and whole numbers that turn into floats.

onnxruntime and torch round half precision in different places, and a whole number has no gradient; what is made here
has the same scores, but for that rounding, and a gradient.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch

from model_zoo.formats._onnx.checking import tensors
from model_zoo.formats._onnx.interpreter import all_nodes

TYPES = (torch.float16, torch.bfloat16)
NUMBERS = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
FLOATS = (*NUMBERS, onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
TARGETS = ("to", "dtype")  # attributes that name the type of what an operator makes
SHAPING = ("Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")


def widened(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model with float32 in place of half precision; None where it has none."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    changed = False
    for one in tensors(found):
        if one.data_type in NUMBERS:
            one.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(one).astype(np.float32), one.name))
            changed = True
    nodes = [*all_nodes(found.graph), *(node for one in found.functions for node in one.node)]
    for attribute in (one for node in nodes for one in node.attribute):
        if attribute.name in TARGETS and attribute.i in NUMBERS:
            attribute.i = onnx.TensorProto.FLOAT
            changed = True
    for info in (*found.graph.input, *found.graph.output):
        if info.type.tensor_type.elem_type in NUMBERS:
            info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            changed = True
    del found.graph.value_info[:]
    return found if changed else None


def cast_first(model: onnx.ModelProto, name: str) -> bool:
    """Whether an input is turned into floats before anything is computed with it."""
    nodes, waiting = all_nodes(model.graph), [name]
    seen = False
    while waiting:
        name = waiting.pop()
        if name in (one.name for one in model.graph.output):
            return False
        for node in nodes:
            if name not in node.input:
                continue
            to = next((one.i for one in node.attribute if one.name == "to"), None)
            if node.op_type == "Cast" and to in FLOATS:
                seen = True
            elif node.op_type in SHAPING and node.input[0] == name and name not in list(node.input)[1:]:
                waiting.extend(node.output)
            else:
                return False
    return seen
