"""Kinds of model file that are known by their bytes and never opened, each with what to export instead.

Signatures: the formats' own specifications (GGUF, FlatBuffers' TFL3 of TensorFlow Lite, protocol buffers of Core ML and
SavedModel, R's serialisation, PMML, NVIDIA TensorRT, PaddlePaddle, PyTorch Mobile, Darknet, MXNet).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import pickled
from model_zoo.types import UserError


@dataclass(frozen=True)
class Kind:
    """One kind of file: what it is called, how it is told, and what to do instead."""

    title: str
    told: Callable[[ModelFile], bool]
    instead: str


def _starts(*marks: bytes, at: int = 0) -> Callable[[ModelFile], bool]:
    return lambda file: file.head[at : at + 64].startswith(marks)


def _says(pattern: bytes) -> Callable[[ModelFile], bool]:
    wanted = re.compile(pattern)
    return lambda file: bool(wanted.search(file.head[:4096]))


def _holds(*names: str) -> Callable[[ModelFile], bool]:
    return lambda file: any(one.rpartition("/")[2] in names for one in file.entries)


def _core_ml(file: ModelFile) -> bool:
    package = any(one.endswith((".mlmodel", "weights/weight.bin", "model.mil")) for one in file.entries)
    return package or bool(re.match(rb"\x08[\x01-\x0c]\x12[\s\S]{1,400}?(?:coremltools|com\.github\.apple)", file.head))


def _r(file: ModelFile) -> bool:
    """R writes its objects bare or, as a rule, compressed."""
    marks = (b"RDX2\n", b"RDX3\n", b"X\n\x00\x00\x00", b"A\n3\n", b"A\n2\n")
    packed = file.head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ"))
    return (pickled.beginning(file) if packed else file.head).startswith(marks)


ONNX = "export it to ONNX"
KINDS = (
    Kind("GGUF", _starts(b"GGUF", b"GGML", b"ggjt", b"ggla"), "use the safetensors folder that it comes from, zipped"),
    Kind("TensorFlow Lite", _starts(b"TFL3", at=4), "use the Keras model that it was made from, or ONNX by tf2onnx"),
    Kind("Core ML", _core_ml, "export the model that it was made from to ONNX or by torch.export"),
    Kind(
        "TensorFlow SavedModel",
        _holds("saved_model.pb", "saved_model.pbtxt", "keras_metadata.pb"),
        "save the model with model.save('model.keras') in Keras 3, or convert it by: python -m tf2onnx.convert"
        " --saved-model FOLDER --output model.onnx",
    ),
    Kind(
        "TensorFlow checkpoint",
        _holds("variables.index", "model.ckpt.index", "variables.data-00000-of-00001"),
        "save the whole model with model.save('model.keras'), or convert it with tf2onnx",
    ),
    Kind(
        "PaddlePaddle",
        _says(rb"(?s)feed.*(?:paddle|fetch)"),
        "convert it by: paddle2onnx --model_dir FOLDER --save_file model.onnx",
    ),
    Kind("NVIDIA TensorRT", _starts(b"ftrt", b"ptrt"), "use the ONNX file that it was built from"),
    Kind("R data", _r, "save the booster from R in its own format (xgb.save, lgb.save), or as ONNX"),
    Kind("PMML", _says(rb"<PMML[\s>]"), "save it where it was trained, with skops or a booster's save_model"),
    Kind("MXNet", _says(rb'"mxnet_version"'), ONNX),
    Kind("Darknet", _says(rb"\A\s*\[net\]"), ONNX),
    Kind("OpenVINO", _says(rb'<net\s[^>]*version="1[01]"'), "use the ONNX or torch model that it was made from"),
    Kind("Spark ML", _says(rb'"sparkVersion"'), "convert it with onnxmltools"),
    Kind("H2O MOJO", _holds("model.ini"), "save a booster in its own format instead"),
)


def sniff(file: ModelFile) -> bool:
    """Whether it is one of them."""
    return _kind(file) is not None


def _kind(file: ModelFile) -> Kind | None:
    return next((one for one in KINDS if one.told(file)), None)


def refusal(file: ModelFile) -> str:
    """What it is, and what to export instead."""
    found = _kind(file)
    title, instead = ("unknown", ONNX) if found is None else (found.title, found.instead)
    return f"{file.name} is a {title} file, which Assay does not open; {instead}."


def open(file: ModelFile, said: Facts) -> Opened:
    """Never."""
    raise UserError(refusal(file))


FORMAT = Format(
    id="refused",
    title="format of another runtime",
    endings=(".gguf", ".tflite", ".mlmodel", ".pb", ".pdmodel", ".engine", ".rds", ".pmml"),
    trust=Trust.REFUSED,
    sniff=sniff,
    open=open,
    summary="GGUF, TensorFlow Lite, SavedModel, Core ML, PaddlePaddle, TensorRT, R, PMML: told what to export.",
    order=70,
    refusal=refusal,
)
