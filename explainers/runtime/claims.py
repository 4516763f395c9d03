"""Which processes hold a workspace: runners/<id>, a file that its process keeps locked for as long as it lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path


class Claim:
    """This process's hold of a workspace."""

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(8)
        self._folder = folder / "runners"
        self._file = os.open(self._folder / self.id, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Let go; to be called once."""
        with contextlib.suppress(OSError):
            (self._folder / self.id).unlink()
        os.close(self._file)

    def dead(self, id: str) -> bool:
        """Whether another process that held this workspace is gone."""
        return id != self.id and _unlocked(self._folder / id)

    def sweep(self) -> None:
        """Remove the files of those that are gone."""
        for path in self._folder.iterdir():
            if self.dead(path.name):
                path.unlink(missing_ok=True)


def _unlocked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
