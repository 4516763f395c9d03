"""Zips of arrays weighed before they are unpacked: what is declared must fit to what is there."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from typing import Any

from model_zoo.files import ModelFile
from model_zoo.types import UserError

SPARE = 16 << 20  # bytes that any archive may unpack to
EXPANSION = 50  # times its own size, beyond that


def bounded(file: ModelFile) -> None:
    """UserError where a zip unpacks to far more than its size, or an array in it claims more than its bytes."""
    most = SPARE + EXPANSION * file.size
    try:
        with zipfile.ZipFile(file.path) as archive:
            declared = 0
            for size in _sizes(archive):
                declared += size
                if declared > most:
                    raise UserError(
                        f"{file.name} unpacks to more than {most >> 20:,} MiB out of {file.size >> 10:,} KiB, so it is"
                        " damaged or made to fill the memory; save it again."
                    )
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError, NotImplementedError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file.name} is damaged or cut off: its parts cannot be read. Save it again.") from error


def _sizes(archive: zipfile.ZipFile, nested: bool = False) -> Iterator[int]:
    for one in archive.infolist():
        yield one.file_size
        if one.filename.endswith(".npy"):
            with archive.open(one) as stream:
                if _claimed(stream) > one.file_size:
                    raise ValueError("an array that is longer than its file")
        elif one.filename.endswith(".npz") and not nested:
            with archive.open(one) as stream, zipfile.ZipFile(io.BytesIO(stream.read())) as inner:
                yield from _sizes(inner, nested=True)


def _claimed(stream: Any) -> int:
    """Bytes that the header of a .npy claims; ValueError if it is none."""
    from numpy.lib import format as npy

    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return math.prod(shape) * dtype.itemsize
