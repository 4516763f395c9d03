"""Records: explanations in one .assay file, which opens without the model and without torch.

A record is a zip archive: `record.json` holds the format's number and the codec's header, `arrays/<n>.npy` the arrays.
Nothing in it is code. Every size is checked before anything is unpacked. The bytes depend on the explanations alone, so
reading and saving again gives the same file.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from explainers import codec, durable
from explainers.consistency import consistent
from explainers.types import Explanation
from model_zoo.types import UserError

FORMAT = 1
LARGEST = 1 << 30  # bytes, unpacked, of all members together
MEMBERS = 10_000
HEADER = "record.json"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold; a real one would change the bytes
DELEGATED = {one.name for one in dataclasses.fields(Explanation)} | {"dense", "figure", "sentence"}
DAMAGED = "is not a record that Assay wrote, or it was damaged on the way; it was not opened"


@dataclass(frozen=True)
class Record:
    """What a .assay file holds; `values`, `evidence`, `figure()` and the rest are those of its only explanation."""

    explanations: tuple[Explanation, ...]

    @property
    def only(self) -> Explanation:
        """The explanation, if there is just one."""
        if len(self.explanations) != 1:
            count = len(self.explanations)
            raise UserError(f"This record holds {count} explanations; choose one of them from `explanations`.")
        return self.explanations[0]

    def __getattr__(self, name: str) -> Any:
        if name not in DELEGATED:
            raise AttributeError(f"a record has no {name!r}")
        return getattr(self.only, name)

    def save(self, path: str | Path) -> None:
        """Write all explanations to a .assay file."""
        save(path, self.explanations)


def save(path: str | Path, explanations: tuple[Explanation, ...]) -> None:
    """Write a .assay record, whole or not at all; UserError if it cannot be written, or could not be opened again."""
    if not all(map(consistent, explanations)):
        raise UserError(
            "The parts of this explanation do not fit one another, so its record could not be opened again and was not"
            " written. Record an explanation as explain() returns it, with players that lie on the input's positions."
        )
    data = dump(explanations)
    try:
        durable.write(Path(path), data)
    except OSError as error:
        raise UserError(f"The record {path} could not be written: {error.strerror}. Choose another place.") from error


def dump(explanations: tuple[Explanation, ...]) -> bytes:
    """The bytes of a record."""
    header, arrays = codec.encode(tuple(explanations))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        text = json.dumps({"format": FORMAT, "explanations": header}, separators=(",", ":"))
        archive.writestr(_entry(HEADER), text.encode("ascii"))
        for number, array in enumerate(arrays):
            found = io.BytesIO()
            np.lib.format.write_array(found, array, version=(1, 0), allow_pickle=False)
            archive.writestr(_entry(f"arrays/{number}.npy"), found.getvalue())
    return packed.getvalue()


def open_record(source: str | Path | bytes) -> Record:
    """Read a record from a path or its bytes; UserError if it is anything else."""
    name, data = ("This file", source) if isinstance(source, bytes) else (str(source), b"")
    try:
        if not isinstance(source, bytes):
            data = Path(source).read_bytes()
        return Record(_load(data, name))
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"The record {name} could not be read: {error.strerror}.") from error
    except Exception as error:  # a stranger's file may raise anything
        raise UserError(f"{name} {DAMAGED}.") from error


def _load(data: bytes, name: str) -> tuple[Explanation, ...]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        size = sum(one.file_size for one in members)
        if size > LARGEST or len(members) > MEMBERS:
            raise UserError(f"{name} unpacks to {size / 2**20:,.0f} MiB; a record has at most {LARGEST >> 20:,} MiB.")
        expected = [HEADER, *(f"arrays/{number}.npy" for number in range(len(members) - 1))]
        if [one.filename for one in members] != expected:
            raise UserError(f"{name} {DAMAGED}.")
        top = json.loads(archive.read(members[0]))
        arrays = [_array(archive.read(one)) for one in members[1:]]
    if not isinstance(top, dict) or not isinstance(top.get("format"), int):
        raise UserError(f"{name} {DAMAGED}.")
    if top["format"] > FORMAT:
        raise UserError(f"{name} was written by a newer Assay (format {top['format']}); update Assay to open it.")
    found = codec.decode(top["explanations"], arrays)
    if not isinstance(found, tuple) or not found or not all(consistent(one) for one in found):
        raise UserError(f"{name} {DAMAGED}.")
    return found


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # the same bytes on every platform
    return entry


def _array(data: bytes) -> np.ndarray:
    """An array of an .npy member, whose claim about its shape is checked before any memory is taken."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an unknown version of npy")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    body = data[file.tell() :]
    count = 1
    for length in shape:
        count *= length
    if fortran or dtype.kind not in codec.KINDS or count * dtype.itemsize != len(body):
        raise ValueError("an array that does not fit its header")
    return np.frombuffer(bytearray(body), dtype).reshape(shape)
