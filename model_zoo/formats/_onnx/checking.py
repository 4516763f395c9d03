"""An ONNX file read and weighed before any of it is run: UserError says in a sentence what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx

from model_zoo.files import ModelFile
from model_zoo.formats._onnx import source
from model_zoo.types import UserError, quoted

LARGEST_INPUT = 1 << 27  # numbers in one row of a declared input
LARGEST_VALUE = 1 << 30  # numbers in any tensor on the way, as far as its sizes are known
MOST_NODES = 200_000


def checked(file: ModelFile) -> onnx.ModelProto:
    """The model in a file, valid, whole and of a size that can be."""
    data = source.data(file)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # DecodeError of whichever protobuf is installed
        raise UserError(
            f"{file.name} begins like an ONNX file and cannot be read to its end: it was cut off or damaged. Save or"
            " upload it again."
        ) from error
    elsewhere = [one for one in tensors(model) if one.data_location == onnx.TensorProto.EXTERNAL or one.external_data]
    source.filled(file, elsewhere)
    for one in tensors(model):
        if any(size < 0 for size in one.dims) or math.prod(one.dims) > 16 * max(1, file.size):
            raise UserError(f"{file.name} claims a tensor of the shape {list(one.dims)}, more than the file can hold.")
    if sum(1 for _ in _nodes(model)) > MOST_NODES:
        raise UserError(f"{file.name} has more than {MOST_NODES:,} operators, which no such model needs.")
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # ValidationError, and what its parts raise
        raise UserError(
            f"{file.name} is not a valid ONNX model; the checker said: {quoted(error)}. Export it again,"
            f" with an opset from 17 to {onnx.defs.onnx_opset_version()}."
        ) from error
    _weighed(model, file.name)
    return model


def _weighed(model: onnx.ModelProto, name: str) -> None:
    """UserError where a tensor on the way is larger than any of a network: a few bytes can ask for terabytes."""
    try:
        found = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # what it cannot follow, the runtime refuses
        return
    for one in (*found.value_info, *found.output):
        sizes = [size.dim_value for size in one.type.tensor_type.shape.dim if size.HasField("dim_value")]
        if math.prod(sizes) > LARGEST_VALUE:
            raise UserError(
                f"{name} asks for a tensor of the shape {sizes}, which is too large; export a smaller model."
            )


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a model holds: weights, constants, those of graphs inside nodes."""
    graphs = [model.graph]
    nodes = [node for one in model.functions for node in one.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield sparse.values
                yield sparse.indices
            nodes.extend(graph.node)
            continue
        for one in nodes.pop().attribute:
            yield from (one.t, *one.tensors) if one.HasField("t") else one.tensors
            for sparse in (one.sparse_tensor, *one.sparse_tensors) if one.HasField("sparse_tensor") else ():
                yield sparse.values
                yield sparse.indices
            graphs.extend((one.g, *one.graphs) if one.HasField("g") else one.graphs)


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    waiting = [*model.graph.node, *(node for one in model.functions for node in one.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for one in node.attribute:
            for graph in (one.g, *one.graphs) if one.HasField("g") else one.graphs:
                waiting.extend(graph.node)
