"""The weights of a Hugging Face folder as named tensors: safetensors, in one file or in shards, else a state dict that
torch reads with weights_only. Other containers are told apart and refused with what to do.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.formats._hf_files import MIB, PLAIN, Files
from model_zoo.types import UserError

if TYPE_CHECKING:
    import torch

SINGLE = ("model.safetensors", "pytorch_model.bin")
INDEX = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
MOST_HEADER = 16 * MIB
MOST_TENSORS = 50_000
ELSEWHERE = {  # ending -> what it is
    ".h5": "TensorFlow's",
    ".msgpack": "Flax's",
    ".gguf": "llama.cpp's",
    ".onnx": "ONNX's",
    ".ot": "Rust's",
}
QUANTISED = {  # what the name of a tensor ends with -> who packed it
    ".SCB": "bitsandbytes",
    ".quant_map": "bitsandbytes",
    ".absmax": "bitsandbytes",
    ".qweight": "GPTQ or AWQ",
    ".qzeros": "GPTQ or AWQ",
    ".weight_packed": "compressed-tensors",
    ".weight_scale_inv": "FP8",
}


def load(files: Files, scratch: Path) -> dict[str, torch.Tensor]:
    """Every tensor by its name; UserError says what is missing, damaged or quantised."""
    tensors: dict[str, torch.Tensor] = {}
    for name in shards(files):
        path = files.path(name, scratch)
        tensors |= _safetensors(path, name, files) if name.endswith(".safetensors") else _pickled(path, name, files)
    refuse_quantised(tensors, files.name)
    return tensors


def shards(files: Files) -> tuple[str, ...]:
    """Names of the files that hold the weights; UserError where some or all are missing."""
    for single, index in zip(SINGLE, INDEX, strict=True):
        if single in files:
            return (single,)
        if index in files:
            return _indexed(files, index)
    others = [one for one in files.names if one.endswith(".safetensors") and not one.startswith(("adapter", "optim"))]
    if len(others) == 1:
        return (others[0],)
    if others:
        raise UserError(
            f"{files.name} has {len(others)} safetensors files and no model.safetensors.index.json that says how they"
            " belong together; save it again with model.save_pretrained(folder)."
        )
    for name in files.names:
        whose = next((who for ending, who in ELSEWHERE.items() if name.endswith(ending)), "")
        if whose:
            raise UserError(
                f"{files.name} has its weights in {name}, {whose} own format; load it there and save it as safetensors"
                " with model.save_pretrained(folder), or give that file alone."
            )
    raise UserError(
        f"{files.name} has a config.json and no weights: expected model.safetensors beside it; save both with"
        " model.save_pretrained(folder)."
    )


def _indexed(files: Files, index: str) -> tuple[str, ...]:
    placed = files.json(index, MOST_HEADER).get("weight_map")
    if not isinstance(placed, dict) or not placed or len(placed) > MOST_TENSORS:
        raise UserError(f"{index} in {files.name} does not say where the weights are; save the model again.")
    named = sorted({str(one) for one in placed.values()})
    ending = ".safetensors" if "safetensors" in index else ".bin"
    odd = next((one for one in named if not PLAIN.fullmatch(one) or not one.endswith(ending)), None)
    if odd is not None:
        raise UserError(f"{index} in {files.name} names {odd[:60]!r}, which is no file of weights; save it again.")
    missing = [one for one in named if one not in files]
    if missing:
        raise UserError(
            f"{files.name} lacks {len(missing)} of its {len(named)} files of weights, {missing[0]} for one; add"
            " every file that its index names."
        )
    return tuple(named)


def _safetensors(path: Path, name: str, files: Files) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            if length > MOST_HEADER:
                raise UserError(f"{name} in {files.name} has a header of {length >> 20} MiB; no model needs that.")
            count = len(json.loads(file.read(length)))
        if count > MOST_TENSORS:
            raise UserError(f"{name} in {files.name} has {count:,} tensors; no model needs more than {MOST_TENSORS:,}.")
        return load_file(path)
    except (SafetensorError, struct.error, OSError, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} in {files.name} is damaged or was cut off; copy or download it again.") from error


def _pickled(path: Path, name: str, files: Files) -> dict[str, torch.Tensor]:
    """A pickled state dict, by a reader that knows tensors alone; its code is never run."""
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # its reader raises errors of many kinds on bytes that are none of its own
        raise UserError(
            f"{name} in {files.name} holds more than tensors, or is damaged; save the model as safetensors with"
            " model.save_pretrained(folder)."
        ) from error
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(one, torch.Tensor) for key, one in found.items()
    ):
        raise UserError(f"{name} in {files.name} is no state dict; save the model with model.save_pretrained(folder).")
    for key, one in found.items():
        if one.layout == torch.strided and one.numel() * one.element_size() > one.untyped_storage().nbytes():
            raise UserError(
                f"{key[:60]} in {name} claims {one.numel():,} numbers and holds fewer; save the model again."
            )
    return found


def refuse_quantised(tensors: dict[str, torch.Tensor], name: str) -> None:
    """UserError where weights are packed in a way that only their own library runs."""
    for key in tensors:
        whose = next((who for ending, who in QUANTISED.items() if key.endswith(ending)), "")
        if whose:
            raise UserError(quantised(name, whose))


def quantised(name: str, whose: str) -> str:
    """What to do about quantised weights, in a sentence."""
    return (
        f"{name} has weights quantised by {whose}, which only that library runs; load it there, call"
        " model.dequantize() and model.save_pretrained(folder), or give the model before it was quantised."
    )
