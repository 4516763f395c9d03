"""Where an ONNX model is kept: one file, or a folder or zip of one .onnx and the files that hold its weights.

torch.onnx.export writes m.onnx and m.onnx.data (external data of onnx.proto3: location, offset, length). Such data are
read from files that lie beside the model, under plain names, never through a link; what a tensor claims must be there.
"""

from __future__ import annotations

import math
import os
import zipfile
from typing import TYPE_CHECKING

from model_zoo.files import HEAD, ModelFile
from model_zoo.types import UserError

if TYPE_CHECKING:
    import onnx

LARGEST = 2 << 30  # bytes: what a protocol buffer, and so a model with its weights inside, can hold
SMALL = 64 << 20  # up to here a zip may unpack as far as it likes
INFLATED = 20  # trained weights never unpack to more than this many times their packed size
MOST_ENTRIES = 10_000
WEIGHTS = (".safetensors", "pytorch_model.bin", ".index.json")  # of a Hugging Face folder, which has other readers
ENDING = ".onnx"


def main(file: ModelFile) -> str:
    """The name of the one ONNX model in a folder or zip without weights of another kind; "" where there is none."""
    if not file.folder and not file.head.startswith(b"PK"):
        return ""
    entries = [one for one in file.entries[: MOST_ENTRIES + 1] if not one.startswith("__MACOSX/")]
    if len(entries) > MOST_ENTRIES or any(one.endswith(WEIGHTS) for one in entries):
        return ""
    found = [one for one in entries if one.endswith(ENDING) and one.count("/") < 2 and not _base(one).startswith(".")]
    return found[0] if len(found) == 1 else ""


def head(file: ModelFile) -> bytes:
    """The first bytes of the model itself; empty where there is none."""
    if not file.folder and not file.head.startswith(b"PK"):
        return file.head
    name = main(file)
    try:
        if not name or not _plain(file, name):
            return b""
        if file.folder:
            return ModelFile(file.path / name).head
        with zipfile.ZipFile(file.path) as archive, archive.open(name) as stream:
            return stream.read(HEAD)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, NotImplementedError):
        return b""


def data(file: ModelFile) -> bytes:
    """The bytes of the model itself, without what other files hold; UserError if they are too many or damaged."""
    name = main(file)
    if name:
        return _member(file, name)
    if file.size > LARGEST:
        raise UserError(f"{file.name} is larger than 2 GB, which an ONNX file cannot be; save it again as one file.")
    with file.open() as stream:
        return stream.read()


def filled(file: ModelFile, tensors: list[onnx.TensorProto]) -> None:
    """Put what other files hold into the tensors of a model; UserError where it is not there, or lies elsewhere."""
    name = main(file)
    folder = name[: -len(_base(name))]
    read: dict[str, bytes] = {}
    for one in tensors:
        place, offset, length = _told(one, file.name)
        if not name:
            raise UserError(
                f"{file.name} keeps its weights in {place}: give the folder or a zip with both, or export it with"
                " external_data=False."
            )
        if place not in read:
            if "/" in place or "\\" in place or folder + place not in file.entries:
                raise UserError(
                    f"{_base(name)} in {file.name} keeps its weights in {place!r}; a file beside it, in the same folder"
                    " or zip, is expected. Export it again, and give both files together."
                )
            read[place] = _member(file, folder + place)
            if sum(map(len, read.values())) > LARGEST:
                raise UserError(
                    f"{file.name} has more than 2 GB of weights, too many for one graph; use a smaller one."
                )
        size = _size(one)
        if size is None or length not in (None, size) or offset + size > len(read[place]):
            raise UserError(
                f"{file.name} claims weights of the shape {list(one.dims)[:8]} that {place} does not hold: it was cut"
                " off, or belongs to another model. Give both files as they were exported."
            )
        one.raw_data = read[place][offset : offset + size]
        one.ClearField("external_data")
        one.ClearField("data_location")


def _told(one: onnx.TensorProto, title: str) -> tuple[str, int, int | None]:
    """File, first byte and bytes of a tensor's data."""
    said = {entry.key: entry.value for entry in one.external_data}
    try:
        offset, length = int(said.get("offset") or 0), said.get("length")
        size = None if not length else int(length)
        if offset < 0 or not said["location"]:
            raise ValueError
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{title} keeps weights in other files and does not say where; export it with external_data=False."
        ) from error
    return said["location"][:200], offset, size


def _size(one: onnx.TensorProto) -> int | None:
    """Bytes that a tensor takes; None where it cannot be."""
    import onnx

    if any(size < 0 for size in one.dims) or one.data_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return None
    name = onnx.TensorProto.DataType.Name(one.data_type) if one.data_type in onnx.TensorProto.DataType.values() else ""
    bits = next((few for few in (2, 4) if name.endswith(f"INT{few}") or name.startswith(f"FLOAT{few}E")), None)
    if bits is None:
        try:
            bits = 8 * onnx.helper.tensor_dtype_to_np_dtype(one.data_type).itemsize
        except KeyError:
            return None
    return (math.prod(one.dims) * bits + 7) // 8


def _plain(file: ModelFile, name: str) -> bool:
    """Whether an entry is a file of the folder itself: a link in a zip is a text, in a folder it leads elsewhere."""
    return not file.folder or not os.path.islink(file.path / name)


def _member(file: ModelFile, name: str) -> bytes:
    if not _plain(file, name):
        raise UserError(f"{name} in {file.name} is a link to another place; put the file itself into the folder.")
    most = LARGEST
    if not file.folder:
        try:
            with zipfile.ZipFile(file.path) as archive:
                most = min(most, max(SMALL, INFLATED * archive.getinfo(name).compress_size))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise UserError(f"{file.name} is damaged: {name} in it cannot be read. Zip it again.") from error
    return file.member(name, most)


def _base(name: str) -> str:
    return name.rpartition("/")[2]
