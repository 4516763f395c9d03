"""What an HDF5 file declares, looked at before anything reads its numbers.

A hostile file may name other files to read from, and may declare arrays that are far larger than the file; h5py follows
both. Specification: HDF5 file format 3.0, external and virtual storage, sections IV.A.2.h and IV.A.2.i.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from model_zoo.types import UserError

MAGIC = b"\x89HDF\r\n\x1a\n"
MOST_OBJECTS = 50_000
SPARE = 16 << 20  # bytes that any file may declare
EXPANSION = 20  # times its own size that a file may declare beyond that: compressed weights reach 4, zeros 1,000


def check(file: Any, size: int, name: str) -> None:
    """UserError where an open h5py.File of `size` bytes reads other files, or declares more than it can hold."""
    import h5py

    declared = count = 0
    todo, seen = [file], set()
    while todo:
        group = todo.pop()
        for key in group:
            count += 1
            if count > MOST_OBJECTS:
                raise UserError(f"{name} has more than {MOST_OBJECTS:,} parts, which no model needs.")
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise UserError(f"{name} points to another place ({key}), which is not followed; save the model again.")
            one = group[key]
            if isinstance(one, h5py.Group):
                if one.id.__hash__() not in seen:  # a group may contain itself
                    seen.add(one.id.__hash__())
                    todo.append(one)
            elif isinstance(one, h5py.Dataset):
                if one.external or one.is_virtual:
                    raise UserError(f"{name} keeps {key} in another file, which is not read; save it as one file.")
                declared += one.size * one.dtype.itemsize if one.shape is not None else 0
            if declared > SPARE + EXPANSION * size:
                raise UserError(
                    f"{name} declares arrays of more than {declared >> 20:,} MiB in a file of {size >> 10:,} KiB, so it"
                    " is damaged or made to fill the memory."
                )


def opened(file: BinaryIO, size: int, name: str) -> Any:
    """The h5py.File, checked; UserError if it is none or was cut off."""
    import h5py

    try:
        found = h5py.File(file, "r")
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{name} starts like an HDF5 file and is damaged or cut off; save or upload it again."
        ) from error
    try:
        check(found, size, name)
    except UserError:
        found.close()
        raise
    except Exception as error:  # a damaged file may raise anything where it is looked into
        found.close()
        raise UserError(f"{name} is a damaged HDF5 file; save or upload it again.") from error
    return found
