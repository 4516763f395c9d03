"""What an ONNX model takes and returns, inputs made up for it, and its own runtime."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import onnx
import torch

from model_zoo.facts import Facts
from model_zoo.formats import _graphs
from model_zoo.formats._onnx.checking import LARGEST_INPUT
from model_zoo.formats._onnx.tensors import TYPES, from_array
from model_zoo.types import UserError, quoted

SCORES = ("logits", "scores", "probabilities", "output_probability", "probs", "predictions", "output")
SHAPING = ("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten")  # the numbers stay as they are
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Signature:
    """The one input that a person's sample goes into, and the one output that is explained."""

    name: str
    shape: tuple[int | None, ...]
    dtype: torch.dtype
    names: tuple[str, ...]  # of all inputs
    roles: tuple[str, ...]
    output: str
    notes: tuple[str, ...]

    @property
    def type(self) -> str:
        """The type of the input in words."""
        return str(self.dtype)

    @property
    def batch(self) -> int | None:
        """Rows that it takes at once; None: any number."""
        return self.shape[0] if self.shape else None


def signature(model: onnx.ModelProto, title: str) -> Signature:
    """Inputs and outputs of a model; UserError where they are none that can be explained."""
    own = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in own]
    for one in inputs:
        if one.type.WhichOneof("value") != "tensor_type" or one.type.tensor_type.elem_type not in TYPES:
            raise UserError(
                f"{title} takes {one.name} as something else than a tensor of numbers; a model of one tensor is"
                " expected. Export the model without its own reading of texts or tables."
            )
    roles = _graphs.roles([one.name for one in inputs], title)
    main = inputs[roles.index("x")]
    sizes = tuple(_size(one) for one in main.type.tensor_type.shape.dim)
    if math.prod(one or 1 for one in sizes) > LARGEST_INPUT:
        raise UserError(f"{title} declares an input of the shape {list(sizes)}, larger than any sample.")
    output, notes = _output(model, title)
    return Signature(
        main.name,
        sizes,
        TYPES[main.type.tensor_type.elem_type],
        tuple(one.name for one in inputs),
        roles,
        output,
        notes,
    )


def _size(dimension: Any) -> int | None:
    return dimension.dim_value if dimension.HasField("dim_value") and dimension.dim_value > 0 else None


def _output(model: onnx.ModelProto, title: str) -> tuple[str, tuple[str, ...]]:
    """The output with the scores; a list of labels and chances (ZipMap, of scikit-learn) is undone."""
    maps = {one.output[0]: one.input[0] for one in model.graph.node if one.op_type == "ZipMap"}
    for one in model.graph.output:
        if one.name in maps:
            made = onnx.helper.make_tensor_value_info(maps[one.name], onnx.TensorProto.FLOAT, None)
            model.graph.output.remove(one)
            kept = [node for node in model.graph.node if node.op_type != "ZipMap"]
            del model.graph.node[:]
            model.graph.node.extend(kept)
            model.graph.output.append(made)
            break
    found = [
        one
        for one in model.graph.output
        if one.type.WhichOneof("value") == "tensor_type" and TYPES.get(one.type.tensor_type.elem_type) in FLOATS
    ]
    if not found:
        raise UserError(
            f"{title} returns no tensor of floats; expected scores (n, outputs). Export the scores with it."
        )
    flat = [one for one in found if len(one.type.tensor_type.shape.dim) in (0, 1, 2)] or found
    named = [one for one in flat if one.name.lower() in SCORES]
    best = min(named, key=lambda one: SCORES.index(one.name.lower())) if named else flat[0]
    others = [one.name for one in model.graph.output if one.name != best.name]
    note = f"It returns {len(others) + 1} outputs; {best.name} is explained, {', '.join(others[:4])} ignored."
    return best.name, (note,) if others else ()


def ends_in_sigmoid(model: onnx.ModelProto, output: str) -> bool:
    """Whether an output, but for its shape, comes out of a sigmoid."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found = makers.get(output)
    while found is not None and found.op_type in SHAPING:
        found = makers.get(found.input[0])
    return found is not None and found.op_type == "Sigmoid"


def described(model: onnx.ModelProto) -> str:
    """The model in a line."""
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    count = sum(math.prod(one.dims) for one in model.graph.initializer)
    made = f", written by {model.producer_name} {model.producer_version}".rstrip() if model.producer_name else ""
    return f"ONNX, opset {opset}{made}, {len(model.graph.node):,} operators, {count:,} weights"


@final
class Session(torch.nn.Module):
    """The model in onnxruntime: tensors in, scores out, no gradient."""

    def __init__(self, model: onnx.ModelProto, signature: Signature, title: str) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes of its own
            said = quoted(error, 400).rpartition(" : ")[2][:200]
            raise UserError(
                f"{title} cannot be run by onnxruntime {onnxruntime.__version__}; it said: {said}. Export it again with"
                " the operators and an opset that it knows, such as 17."
            ) from error
        self._signature = signature

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The output that is explained."""
        given = {
            name: one.detach().cpu().contiguous().numpy()
            for name, one in zip(self._signature.names, inputs, strict=True)
        }
        (found,) = self._session.run([self._signature.output], given)
        return from_array(np.asarray(found)).to(inputs[0].device)


def vocabulary(model: onnx.ModelProto, signature: Signature) -> int:
    """How many token ids it knows: rows of the smallest table that its ids are looked up in; 2 where none is seen."""
    tables = {one.name: one.dims[0] for one in model.graph.initializer if len(one.dims) == 2}
    ids = {signature.name}
    found = []
    for node in model.graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in ids:
            ids.add(node.output[0])
        elif node.op_type == "Gather" and node.input[1] in ids and node.input[0] in tables:
            found.append(tables[node.input[0]])
    return max(2, min(found, default=2))


def made_up(facts: Facts, signature: Signature, words: int) -> torch.Tensor | None:
    """Two made-up inputs of the declared shape, as the model of Assay gives them; None where it is not known."""
    kind = torch.float64 if signature.dtype == torch.float64 else torch.float32
    if facts.modality == "image" and facts.size is None:
        for side in (224, 64):
            if all(one is None for one in signature.shape[2:]):
                return _graphs.example(Facts(modality="image", channels=facts.channels, size=(side, side)), kind, 2)
        return None
    found = _graphs.example(facts, kind, 2, words)
    bytes_ = found is not None and facts.modality == "image" and signature.dtype == torch.uint8
    return (found * 255).round() if bytes_ and found is not None else found
