"""The workspace's database: one SQLite connection that threads share, and its troubles in sentences.

WAL and synchronous=FULL, so that what was committed outlives a crash. A transaction takes the write lock when it
begins, among threads and among processes, so that what it reads stays true until it ends.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from model_zoo.types import UserError

CURE = "Free some space, or choose another folder with --workspace."


class Database:
    """assay.db in a folder; safe to use from several threads."""

    def __init__(self, folder: Path, steps: Sequence[str], indices: str = "") -> None:
        """Open it, and take the steps that it has not taken yet, all or none; its version counts them.

        steps: statements that end in ; and never change, from a new database on; indices: made where they are missing.
        """
        self._folder = folder
        self._lock = threading.RLock()
        with told(folder):
            self._base = sqlite3.connect(folder / "assay.db", timeout=30, isolation_level=None, check_same_thread=False)
            try:
                self._base.execute("PRAGMA journal_mode=WAL")
                self._base.execute("PRAGMA synchronous=FULL")
                self._prepare(steps, indices)
            except BaseException:
                self._base.close()
                raise

    def close(self) -> None:
        """Let go of the file; once more does no harm."""
        with self._lock:
            self._base.close()

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """One transaction that holds the write lock from its start."""
        with told(self._folder), self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def run(self, statement: str, *given: Any) -> int:
        """Change something, inside write(); returns how many rows."""
        return self._base.execute(statement, given).rowcount

    def one(self, query: str, *given: Any) -> Any:
        """The first row, or None."""
        with told(self._folder), self._lock:
            return self._base.execute(query, given).fetchone()

    def all(self, query: str, *given: Any) -> list[Any]:
        """All rows."""
        with told(self._folder), self._lock:
            return self._base.execute(query, given).fetchall()

    def _prepare(self, steps: Sequence[str], indices: str) -> None:
        with self.write():
            (found,) = self._base.execute("PRAGMA user_version").fetchone()
            if found > len(steps):
                raise UserError(
                    f"The workspace {self._folder} was written by a newer Assay; update Assay, or choose another"
                    " with --workspace."
                )
            for statement in filter(str.strip, "".join((*steps[found:], indices)).split(";")):
                self._base.execute(statement)
            self._base.execute(f"PRAGMA user_version={len(steps)}")


@contextlib.contextmanager
def told(folder: Path) -> Iterator[None]:
    """What the disk or the database refuses, as a sentence; a file that is not there is for the caller to tell."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"The workspace {folder} cannot be used: {error.strerror}. {CURE}") from error
    except sqlite3.Error as error:
        raise UserError(f"The workspace {folder} cannot be used: {error}. {CURE}") from error
