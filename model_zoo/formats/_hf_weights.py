"""The weights of a Hugging Face folder as named tensors: safetensors, in one file or in shards, else a state dict of
torch.save. Both are read as bare weights are. Other containers are told apart and refused with what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.files import ModelFile
from model_zoo.formats import _checkpoints, _torchfile, safetensors
from model_zoo.formats._checkpoints import Weights
from model_zoo.formats._hf_files import MIB, PLAIN, Files
from model_zoo.formats._torchfile import MOST_TENSORS, Claim
from model_zoo.types import UserError

if TYPE_CHECKING:
    import torch

SINGLE = ("model.safetensors", "pytorch_model.bin")
INDEX = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
MOST_INDEX = 16 * MIB
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


def load(files: Files, scratch: Path) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Every tensor by its name, and notes; UserError says what is missing, damaged or quantised."""
    claims: dict[str, Claim] = {}
    notes: dict[str, None] = {}
    for name in shards(files):
        found = _weights(ModelFile(files.path(name, scratch), f"{name} in {files.name}"))
        claims |= found.claims
        notes |= dict.fromkeys(found.notes)
    refuse_quantised(claims, files.name)
    return {name: one.read() for name, one in claims.items()}, tuple(notes)


def _weights(file: ModelFile) -> Weights:
    """What one file holds, by the readers of bare weights: no code in it is run."""
    if file.path.suffix == ".safetensors":
        return Weights(safetensors.claims(file))
    if not _torchfile.is_torch(file):
        raise UserError(
            f"{file.name} was not written by torch.save, or is damaged; save the model as safetensors with"
            " model.save_pretrained(folder)."
        )
    found = _torchfile.contents(file)
    return _checkpoints.weights(found.tree, file.name, found.foreign)


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
    placed = files.json(index, MOST_INDEX).get("weight_map")
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


def refuse_quantised(names: Iterable[str], name: str) -> None:
    """UserError where weights are packed in a way that only their own library runs."""
    for key in names:
        whose = next((who for ending, who in QUANTISED.items() if key.endswith(ending)), "")
        if whose:
            raise UserError(quantised(name, whose))


def quantised(name: str, whose: str) -> str:
    """What to do about quantised weights, in a sentence."""
    return (
        f"{name} has weights quantised by {whose}, which only that library runs; load it there, call"
        " model.dequantize() and model.save_pretrained(folder), or give the model before it was quantised."
    )
