"""Files that are written whole or not at all: temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

TEMPORARY = ".part"  # ending of a file that is still being written; a leftover may be removed


def write(path: Path, data: bytes) -> None:
    """Put `data` at `path`; after a crash at any moment the old file or the new one is there. OSError as usual."""
    settle(stage(path.parent, data), path)


def stage(folder: Path, data: bytes) -> Path:
    """Write `data` to a temporary name in the folder and sync it."""
    temporary = folder / f".{secrets.token_hex(8)}{TEMPORARY}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def settle(temporary: Path, path: Path) -> None:
    """Give a staged file its name, for good."""
    try:
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
