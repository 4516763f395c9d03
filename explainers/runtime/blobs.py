"""Bytes of inputs, records and models, in files named by their sha256: blobs/ab/cdef…

A blob is written before the row that names it and removed after, both under the database's write lock, so that several
processes may share a workspace and a crash leaves at most a file that no row names.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from explainers import durable
from explainers.runtime.database import Database, told


class Blobs:
    """The files of one workspace; `named` is a query for the blobs (hex digits, as `blob`) that rows name."""

    def __init__(self, folder: Path, base: Database, named: str) -> None:
        self.folder = folder
        self._base = base
        self._named = named

    def path(self, blob: str) -> Path:
        """The file of a blob, by the hex digits of its sha256."""
        return self.folder / "blobs" / blob[:2] / blob[2:]

    def keep(self, data: bytes, note: Callable[[str], Any]) -> str:
        """Write a blob and, once it is safe, the row that names it, by note(blob); returns its hex digits."""
        return self.keep_all((data,), lambda blobs: note(blobs[0]))[0]

    def keep_all(self, parts: Sequence[bytes], note: Callable[[tuple[str, ...]], Any]) -> tuple[str, ...]:
        """Write blobs and then, in one transaction, the rows that name them, by note(blobs)."""
        blobs = tuple(hashlib.sha256(data).hexdigest() for data in parts)
        found = dict(zip(blobs, parts, strict=True))
        staged: dict[str, Path] = {}
        with told(self.folder):
            try:
                for blob, data in found.items():
                    self.path(blob).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    if not self.path(blob).exists():
                        staged[blob] = durable.stage(self.path(blob).parent, data)
                with self._base.write():  # whoever removes files holds this lock too
                    for blob, data in found.items():
                        if blob in staged:
                            durable.settle(staged.pop(blob), self.path(blob))
                        elif not self.path(blob).exists():
                            durable.write(self.path(blob), data)
                    note(blobs)
            finally:
                for temporary in staged.values():
                    temporary.unlink(missing_ok=True)
        return blobs

    def take(self, staged: Path, blob: str, note: Callable[[], Any]) -> None:
        """Make a file that was written and synced elsewhere in the workspace this blob, then write the rows, by note().

        If note() raises, the transaction is undone and the blob is not there, unless it was before.
        """
        path = self.path(blob)
        with told(self.folder):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._base.write():
                note()
                if not path.exists():
                    durable.settle(staged, path)
        staged.unlink(missing_ok=True)

    def drop(self, blobs: Iterable[str]) -> None:
        """Remove those of these blobs that no row names any more."""
        with told(self.folder), self._base.write():
            for blob in filter(None, blobs):
                if self._base.one(f"SELECT 1 FROM ({self._named}) WHERE blob=?", blob) is None:
                    self.path(blob).unlink(missing_ok=True)

    def sweep(self, old: float) -> None:
        """Inside write(): remove all blobs that no row names, and files never finished, last touched before `old`."""
        named = {blob for (blob,) in self._base.all(self._named)}
        for path in (self.folder / "blobs").glob("??/*"):
            if path.parent.name + path.name in named:
                continue
            with contextlib.suppress(FileNotFoundError):
                if not path.name.endswith(durable.TEMPORARY) or path.stat().st_mtime < old:
                    path.unlink()
