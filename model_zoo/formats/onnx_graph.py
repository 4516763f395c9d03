"""ONNX, opset 7 and newer: one file, or a folder or zip of it and of the files that hold its weights.

The graph is run by torch where it can be, so that gradients reach the input: by our own interpreter (_onnx/), else by
onnx2torch or onnx2pytorch. A conversion counts only if its scores are those of onnxruntime, on made-up inputs when the
file is opened and on the first real one; else onnxruntime itself is asked, a black box (docs/onnx.md).
The file is read from its bytes (_onnx/source.py), and what it claims is weighed before it runs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from model_zoo import guessing
from model_zoo.facts import Facts
from model_zoo.files import Choice, Format, ModelFile, Opened, Trust

# Fields of ModelProto (onnx.proto3) and how each is written: 0 a number, 2 bytes of a given length.
FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
GRAPH = 7
BLACK_BOX = "onnxruntime"


def _sniff(file: ModelFile) -> bool:
    """Whether the fields of the file, up to the graph, are those of an ONNX model, its version first."""
    from model_zoo.formats._onnx import source

    head, at = source.head(file), 0
    while at < len(head):
        tag, at = _number(head, at)
        field, kind = tag >> 3, tag & 7
        if FIELDS.get(field) != kind:
            return False
        value, at = _number(head, at)
        if field == 1 and not 1 <= value <= 64:
            return False
        if field == GRAPH:
            return head[0] == 8 and value > 0
        at += value if kind == 2 else 0
    return False


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for place in range(10):
        if at >= len(data):
            return 0, at
        byte = data[at]
        at += 1
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            break
    return value, at


def _open(file: ModelFile, said: Facts) -> Opened:
    from model_zoo.formats import _graphs
    from model_zoo.formats._onnx import checking, converting, lengths, opening

    model = checking.checked(file)
    signature = opening.signature(model, file.name)
    session = opening.Session(model, signature, file.name)
    guess = guessing.by_shape(signature.shape, signature.type, signature.name)
    if len(signature.roles) > 1:
        guess = dataclasses.replace(guess, modality="text")
    facts = said.over(guess)
    settings: dict[str, Any] = {
        "roles": signature.roles,
        "pad": _graphs.pad_of(said.tokenizer),
        "last": facts.modality == "image" and guessing.layout(signature.shape) == "NHWC",
        "length": signature.shape[1] if facts.modality == "text" and len(signature.shape) == 2 else None,
        "kind": signature.dtype,
        "mark": _graphs.mark(file),
    }
    original = _graphs.Graph(session, **settings)
    original.batch = signature.batch
    words = opening.vocabulary(model, signature)
    if facts.modality == "text" and original.length is None:
        original.length = settings["length"] = lengths.only(model, original, words)
    if original.length is not None:
        guess = dataclasses.replace(guess, limit=original.length)
        facts = said.over(guess)
    inputs = opening.made_up(facts, signature, words)
    found = converting.Found(None, "", "it was asked for")
    if said.architecture != BLACK_BOX:
        found = converting.converted(model, original, settings, inputs)
    notes = [*signature.notes, *found.notes]
    graph = found.graph
    if graph is None:
        graph = original
        notes.append(f"It is explained as a black box, without gradients, since {found.reason}.")
        if inputs is not None and graph.batch is None:
            _graphs.fit(graph, inputs)
    elif found.by:
        notes.append(f"It was converted by {found.by}, and agrees with onnxruntime.")
    graph.columns = len(guess.columns) or None
    width, _ = _graphs.returned(graph, inputs)
    guess = _graphs.scored(guess, said, opening.ends_in_sigmoid(model, signature.output), width)
    return Opened(
        graph,
        guess,
        opening.described(model),
        (
            *notes,
            *_graphs.labelled(guess, width),
            *_graphs.notes(graph, found.graph is not None and facts.modality != "text"),
        ),
        _choices(found) if found.graph is not None or said.architecture == BLACK_BOX else (),
        settle=None if found.graph is None else converting.settled(found.graph, original, found.close),
    )


def _choices(found: Any) -> tuple[Choice, ...]:
    by_torch = Choice("torch", "Run by torch, with gradients", "its scores were those of onnxruntime")
    by_itself = Choice(BLACK_BOX, "Run by onnxruntime, a black box", "the format's own runtime, without gradients")
    return (by_itself, by_torch) if found.graph is None else (by_torch, by_itself)


FORMAT = Format(
    id="onnx",
    title="ONNX",
    endings=(".onnx",),
    trust=Trust.SANDBOX,
    sniff=_sniff,
    open=_open,
    summary=(
        "Graphs, with their weights inside or beside them in a folder or zip; explained with gradients where torch's"
        " scores are onnxruntime's, else as a black box."
    ),
    order=19,  # a zip or folder of one is told by what is in it, before those that look at names alone
)
