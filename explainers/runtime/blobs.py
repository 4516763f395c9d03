"""Bytes of inputs and records, in files named by their sha256: blobs/ab/cdef…

A blob is written before the row that names it and removed after, both under the database's write lock, so that several
processes may share a workspace and a crash leaves at most a file that no row names.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from explainers import durable
from explainers.runtime.database import Database, told


class Blobs:
    """The files of one workspace."""

    def __init__(self, folder: Path, base: Database) -> None:
        self._folder = folder
        self._base = base

    def path(self, blob: str) -> Path:
        """The file of a blob, by the hex digits of its sha256."""
        return self._folder / "blobs" / blob[:2] / blob[2:]

    def keep(self, data: bytes, note: Callable[[str], Any]) -> str:
        """Write a blob and, once it is safe, the row that names it, by note(blob); returns its hex digits."""
        blob = hashlib.sha256(data).hexdigest()
        path = self.path(blob)
        with told(self._folder):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            staged = None if path.exists() else durable.stage(path.parent, data)
            with self._base.write():  # whoever removes files holds this lock too
                if staged is not None:
                    durable.settle(staged, path)
                elif not path.exists():
                    durable.write(path, data)
                note(blob)
        return blob

    def drop(self, blobs: Iterable[str], used: Callable[[str], bool]) -> None:
        """Remove those of these blobs that are not used any more."""
        with told(self._folder), self._base.write():
            for blob in blobs:
                if blob and not used(blob):
                    self.path(blob).unlink(missing_ok=True)

    def sweep(self, named: set[str], old: float) -> None:
        """Inside write(): remove all blobs but these, and files that were never finished, last touched before `old`."""
        for path in (self._folder / "blobs").glob("??/*"):
            if path.parent.name + path.name in named:
                continue
            with contextlib.suppress(FileNotFoundError):
                if not path.name.endswith(durable.TEMPORARY) or path.stat().st_mtime < old:
                    path.unlink()
