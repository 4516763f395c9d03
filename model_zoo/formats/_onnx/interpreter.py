"""An ONNX graph as a torch module: its nodes run in order, each a function of tensors that autograd follows.

What depends on constants alone is worked out once. An operator that is not in the table but that its own
specification defines by others (Attention, RotaryEmbedding, losses) is replaced by these. Each node is a submodule
named after it, so that it can be named for Grad-CAM and takes hooks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, final

import onnx
import onnx.inliner
import torch
from torch import nn

from model_zoo.formats._onnx import (
    attention,
    contrib,
    elementwise,
    layers,
    pictures,
    quantised,
    recurrent,
    reductions,
    shapes,
)
from model_zoo.formats._onnx.registry import OPERATORS, Node, Unsupported
from model_zoo.formats._onnx.tensors import tensor

assert all(
    (attention, contrib, elementwise, layers, pictures, quantised, recurrent, reductions, shapes)
)  # they fill the table

Values = dict[str, Any]
CONTROL = ("If", "Loop", "Scan")
DOMAINS = ("", "ai.onnx", "com.microsoft")
DEEPEST = 4  # operators defined by operators that are defined by others
DATA_TYPES = {onnx.AttributeProto.FLOAT, onnx.AttributeProto.INT, onnx.AttributeProto.FLOATS, onnx.AttributeProto.INTS}


def converted(model: onnx.ModelProto) -> Interpreter:
    """The graph of a model as a torch module; Unsupported names what stands in the way."""
    model = _expanded(model)
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1)
    return Interpreter(model.graph, opset)


def missing(model: onnx.ModelProto) -> list[str]:
    """Operators of a model that are not in the table, also of the graphs inside its nodes."""
    found: dict[str, None] = {}
    for node in all_nodes(model.graph):
        if node.domain not in DOMAINS or (node.op_type not in OPERATORS and node.op_type not in CONTROL):
            found[f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type] = None
    return list(found)


def all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    nodes = list(graph.node)
    for node in graph.node:
        for one in node.attribute:
            nodes += [inner for body in (one.g, *one.graphs) for inner in all_nodes(body)]
    return nodes


def _expanded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its own functions, and operators that are defined by others, written out."""
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    lacking = missing(model)
    for _ in range(DEEPEST):
        wanted = [("", one) for one in lacking if "." not in one]
        if not wanted:
            break
        try:
            model = onnx.inliner.inline_selected_functions(model, wanted, inline_schema_functions=True)
        except RuntimeError:  # the inliner does not take optional inputs that are left out
            break
        before, lacking = lacking, missing(model)
        if before == lacking:
            break
    if lacking:
        raise Unsupported(f"the operator{'s' * (len(lacking) > 1)} {', '.join(lacking)}")
    return model


@final
class Operation(nn.Module):
    """One node, as a submodule: tensors in, a tensor or several out."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self._function = OPERATORS[node.operator]

    def forward(self, *inputs: Any) -> Any:
        """The node's operator on its inputs."""
        return self._function(self.node, *inputs)

    def extra_repr(self) -> str:
        """The operator, for a print of the tree."""
        return self.node.operator


@final
class Weights(nn.Module):
    """Tensors under names of their own: floats as parameters that nobody trains, all others as buffers."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = 0

    def keep(self, name: str, value: torch.Tensor) -> str:
        """Where a tensor is kept from now on: the name of an attribute."""
        place = f"{re.sub(r'[^0-9A-Za-z_]', '_', name)}_{self._kept}"
        self._kept += 1
        if value.is_floating_point():
            self.register_parameter(place, nn.Parameter(value, requires_grad=False))
        else:
            self.register_buffer(place, value)
        return place


@final
class Interpreter(nn.Module):
    """The graph; forward takes its inputs in order and returns its only output, or a tuple of all."""

    def __init__(self, graph: onnx.GraphProto, opset: int) -> None:
        super().__init__()
        self.weights = Weights()
        self.operations = nn.ModuleDict()
        self._plan = _Plan(graph, opset, self.operations, self.weights)

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Outputs of the graph."""
        found = self._plan({}, *inputs)
        return found[0] if len(found) == 1 else tuple(found)


class _Step:
    """One node in a plan: what it reads, what it makes, and what nobody reads after it."""

    def __init__(self, node: onnx.NodeProto, opset: int, operations: nn.ModuleDict, weights: Weights) -> None:
        attributes, graphs = _attributes(node, opset, operations, weights)
        self.inputs = tuple(node.input)
        self.outputs = tuple(node.output)
        self.node = Node(node.op_type, attributes, opset, self.outputs, graphs)
        self.reads = {one for one in node.input if one} | {name for body in graphs.values() for name in body.reads}
        self.free: tuple[str, ...] = ()
        self.name = node.name or node.op_type
        self.operation = None if node.op_type in CONTROL else _entered(operations, node, self.node)

    def run(self, values: Values) -> tuple[Any, ...]:
        """Outputs of the node, in order."""
        given = [values[one] if one else None for one in self.inputs]
        if self.operation is None:
            found = _CONTROL[self.node.operator](self.node, values, *given)
        else:
            found = self.operation(*given)
        return found if isinstance(found, tuple) else (found,)


def _entered(operations: nn.ModuleDict, node: onnx.NodeProto, read: Node) -> Operation:
    name = re.sub(r"[^0-9A-Za-z_]+", "_", node.name).strip("_") or f"{node.op_type}_{len(operations)}"
    if name in operations or hasattr(operations, name):
        name = f"{name}_{len(operations)}"
    operations[name] = Operation(read)
    return operations[name]  # type: ignore[return-value]


def _attributes(
    node: onnx.NodeProto, opset: int, operations: nn.ModuleDict, weights: Weights
) -> tuple[dict[str, Any], dict[str, Any]]:
    found: dict[str, Any] = {}
    graphs: dict[str, Any] = {}
    for one in node.attribute:
        if one.type == onnx.AttributeProto.GRAPH:
            graphs[one.name] = _Plan(one.g, opset, operations, weights)
        elif one.type == onnx.AttributeProto.TENSOR:
            found[one.name] = tensor(one.t)
        elif one.type == onnx.AttributeProto.STRING:
            found[one.name] = one.s.decode("utf-8", "replace")
        elif one.type == onnx.AttributeProto.STRINGS:
            found[one.name] = [text.decode("utf-8", "replace") for text in one.strings]
        elif one.type in DATA_TYPES:
            value = onnx.helper.get_attribute_value(one)
            found[one.name] = list(value) if hasattr(value, "__len__") else value
        else:
            raise Unsupported(f"the attribute {one.name} of {node.op_type}")
    return found, graphs


class _Plan:
    """The nodes of one graph in order; a graph inside a node sees the values around it.

    Its constants, and what depends on these alone, are among the weights of the module and read from there whenever it
    is run: so they follow it to another device or type, and whoever changes them changes what it computes.
    """

    def __init__(self, graph: onnx.GraphProto, opset: int, operations: nn.ModuleDict, weights: Weights) -> None:
        if graph.sparse_initializer:
            raise Unsupported("sparse weights")
        known: Values = {one.name: tensor(one) for one in graph.initializer}
        self.inputs = tuple(one.name for one in graph.input if one.name not in known)
        self.outputs = tuple(one.name for one in graph.output)
        steps = [_Step(node, opset, operations, weights) for node in graph.node]
        self.steps = [step for step in steps if not _folded(step, known)]
        last = {name: step for step in self.steps for name in step.reads}
        for step in self.steps:
            made = [one for one in step.outputs if one and one not in last and one not in self.outputs]
            ended = [one for one, at in last.items() if at is step and one not in self.outputs and one not in known]
            step.free = (*made, *ended)
        needed = last.keys() | set(self.outputs)
        self.reads = needed - {one for step in self.steps for one in step.outputs} - set(self.inputs) - known.keys()
        self._weights = weights
        self._places = {name: weights.keep(name, value) for name, value in known.items() if name in needed}

    def __call__(self, around: Mapping[str, Any], *inputs: Any) -> list[Any]:
        """Outputs of the graph, with the values around its node."""
        values = dict(around) | {name: getattr(self._weights, place) for name, place in self._places.items()}
        values |= zip(self.inputs, inputs, strict=True)
        for step in self.steps:
            found = step.run(values)
            for name, value in zip(step.outputs, found, strict=False):
                if name:
                    values[name] = value
            for name in step.free:
                values.pop(name, None)
        return [values[one] for one in self.outputs]


def _folded(step: _Step, known: Values) -> bool:
    """Whether a step was worked out now, since all that it reads is known: what it makes is known then, too."""
    if step.operation is None or not all(one in known for one in step.reads):
        return False
    try:
        with torch.no_grad():
            found = step.run(known)
    except Exception:  # what goes wrong is told when it is run
        return False
    if not all(isinstance(one, torch.Tensor) for one in found):
        return False
    known.update((name, value.contiguous()) for name, value in zip(step.outputs, found, strict=False) if name)
    return True


# -- control -----------------------------------------------------------------------------------------------------


def _if(node: Node, values: Values, condition: torch.Tensor) -> Any:
    return tuple(node.graphs["then_branch" if bool(condition) else "else_branch"](values))


def _loop(node: Node, values: Values, most: Any = None, condition: Any = None, *carried: Any) -> Any:
    body: _Plan = node.graphs["body"]
    state, scanned = list(carried), [[] for _ in range(len(body.outputs) - 1 - len(carried))]  # type: ignore[var-annotated]
    count, going = 0, True if condition is None else bool(condition)
    while going and (most is None or count < int(most)):
        found = body(values, torch.tensor(count), torch.tensor(going), *state)
        going, state = bool(found[0]), found[1 : 1 + len(state)]
        for kept, one in zip(scanned, found[1 + len(state) :], strict=True):
            kept.append(one)
        count += 1
    if any(not kept for kept in scanned):
        raise Unsupported("a loop that is never run")
    return (*state, *(torch.stack(kept) for kept in scanned))


def _scan(node: Node, values: Values, *inputs: Any) -> Any:
    if node.opset < 9:
        raise Unsupported("Scan before opset 9")
    body: _Plan = node.graphs["body"]
    many = node.get("num_scan_inputs")
    state, given = list(inputs[: len(inputs) - many]), inputs[len(inputs) - many :]
    axes = node.get("scan_input_axes", [0] * many)
    back = node.get("scan_input_directions", [0] * many)
    parts = [
        one.flip(axis).unbind(axis) if turned else one.unbind(axis)
        for one, axis, turned in zip(given, axes, back, strict=True)
    ]
    scanned: list[list[Any]] = [[] for _ in range(len(body.outputs) - len(state))]
    for place in range(len(parts[0])):
        found = body(values, *state, *(one[place] for one in parts))
        state = found[: len(state)]
        for kept, one in zip(scanned, found[len(state) :], strict=True):
            kept.append(one)
    out_axes = node.get("scan_output_axes", [0] * len(scanned))
    out_back = node.get("scan_output_directions", [0] * len(scanned))
    made = []
    for kept, axis, turned in zip(scanned, out_axes, out_back, strict=True):
        whole = torch.stack(kept[::-1] if turned else kept, axis)
        made.append(whole)
    return (*state, *made)


_CONTROL: dict[str, Callable[..., Any]] = {"If": _if, "Loop": _loop, "Scan": _scan}
