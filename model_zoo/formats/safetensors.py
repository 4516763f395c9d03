"""Bare weights as safetensors: a length, a JSON header with each tensor's type, shape and place, and the numbers.

https://github.com/huggingface/safetensors#format. The header is checked here before the library sees the file: its
size, the number of tensors (half a million took 12 s and 666 MB) and that their places neither overlap nor reach past
the end.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from math import prod
from typing import Any

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats._torchfile import MOST_AXES, MOST_TENSORS, WIDTHS, Claim, short
from model_zoo.types import UserError

MOST_HEADER = 16 << 20
KINDS = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8"},
    **{"U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64"},
}


def sniff(file: ModelFile) -> bool:
    """Whether it opens with the length of a JSON header."""
    if file.folder or len(file.head) < 10:
        return False
    length = int.from_bytes(file.head[:8], "little")
    return file.head[8:9] == b"{" and 2 <= length < 1 << 40 and b'"' in file.head[9 : 8 + min(length, 200)]


def claims(file: ModelFile) -> dict[str, Claim]:
    """What the file holds, checked and not read; UserError where it is cut off or not as it must be."""
    length = int.from_bytes(file.head[:8], "little")
    if length > MOST_HEADER:
        raise UserError(
            f"The header of {file.name} is {length:,} bytes long, and no model needs more than"
            f" {MOST_HEADER >> 20} MiB; save it again with safetensors.torch.save_file."
        )
    if 8 + length > file.size:
        raise _damaged(file, "its header is longer than the file")
    with file.open() as raw:
        raw.seek(8)
        text = raw.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "its header is no JSON") from error
    if not isinstance(header, dict):
        raise _damaged(file, "its header is no JSON object")
    header.pop("__metadata__", None)
    if len(header) > MOST_TENSORS:
        raise UserError(f"{file.name} holds {len(header):,} tensors, and no model needs more than {MOST_TENSORS:,}.")
    room = file.size - 8 - length
    places = []
    found = {}
    tensors = functools.cache(lambda: _tensors(file))  # the library reads all of them at once
    for name, one in header.items():
        begin, end, claim = _claim(file, name, one, tensors)
        if end > room:
            raise _damaged(file, f"{short(name)} reaches past its end, {end - room:,} bytes are missing")
        places.append((begin, end, name))
        found[name] = claim
    last = 0
    for begin, end, name in sorted(places):
        if begin < last:
            raise _damaged(file, f"{short(name)} overlaps the tensor before it")
        last = max(last, end)
    return found


def _claim(file: ModelFile, name: str, one: Any, tensors: Callable[[], dict[str, Any]]) -> tuple[int, int, Claim]:
    try:
        kind, shape, (begin, end) = KINDS[one["dtype"]], tuple(one["shape"]), one["data_offsets"]
        whole = len(shape) <= MOST_AXES and all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(file, f"{short(name)} has no dtype, shape and place that are known") from error
    if not whole or end - begin != prod(shape) * WIDTHS[kind]:
        raise _damaged(file, f"the shape and the place of {short(name)} do not agree")
    return begin, end, Claim(shape, kind, lambda: tensors()[name])


def _tensors(file: ModelFile) -> dict[str, Any]:
    import safetensors
    from safetensors.torch import load_file

    try:
        return load_file(file.path)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise _damaged(file, short(error)) from error


def _damaged(file: ModelFile, why: str) -> UserError:
    return UserError(f"{file.name} is cut off or damaged: {why}. Save or upload it again.")


def open_safetensors(file: ModelFile, said: Facts) -> Opened:
    """The network that the weights belong to."""
    from model_zoo.formats import _checkpoints
    from model_zoo.formats._weights import network_of

    return network_of(_checkpoints.weights(claims(file), file.name), said, file.name)


FORMAT = Format(
    id="safetensors",
    title="safetensors",
    endings=(".safetensors",),
    trust=Trust.DATA,
    sniff=sniff,
    open=open_safetensors,
    summary=(
        "Weights without their code: the architecture is recognised from names and shapes, as for a PyTorch state dict,"
        " and explained with gradients."
    ),
    order=20,
)
