"""The workspace: what was asked and found, kept through crashes.

    assay.db         SQLite (WAL, synchronous=FULL): inputs and jobs
    blobs/ab/cdef…   bytes of inputs and records, named by their sha256
    runners/<id>     a file locked by each running Assay, so that others know which jobs are in living hands
    logs/            what the workers print

A blob is written before the row that names it and removed after, both under SQLite's write lock, so several processes
may share a workspace.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from explainers import codec, durable
from explainers.runtime.types import Job
from model_zoo.types import UserError, digest

VERSION = 1
LARGEST_INPUT = 100 << 20  # bytes
RESTARTS = 2  # a job that was under way in this many crashes of the server is not tried again
UNUSED = 24 * 3600  # seconds after which an input that no job uses is swept away, at the next start
LOST = "The input is no longer in the workspace; choose it again."
SCHEMA = """
    CREATE TABLE inputs(id TEXT PRIMARY KEY, name TEXT NOT NULL, blob TEXT NOT NULL, created REAL NOT NULL);
    CREATE TABLE jobs(
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, runner TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        input TEXT NOT NULL, request TEXT NOT NULL, title TEXT NOT NULL, created TEXT NOT NULL,
        status TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
        version INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '', seconds REAL NOT NULL DEFAULT 0,
        result TEXT NOT NULL DEFAULT '');
    CREATE INDEX jobs_of_owner ON jobs(owner);
"""
COLUMNS = "id, request, owner, status, done, total, version, message, created, seconds, result, title"


def default_workspace() -> Path:
    """ASSAY_WORKSPACE, else the platform's folder for a person's data."""
    given = os.environ.get("ASSAY_WORKSPACE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "assay"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "assay"


class Store:
    """One process's hold of a workspace; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runner = secrets.token_hex(8)
        self._lock = threading.RLock()
        self._closed = False
        with self._told():
            for name in ("blobs", "runners", "logs"):
                (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._claim = _locked(folder / "runners" / self.runner)
            self._base = sqlite3.connect(folder / "assay.db", timeout=30, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            self._prepare()

    def close(self) -> None:
        """Let go of the workspace; the jobs in it stay as they are."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._base.close()
            with contextlib.suppress(OSError):
                (self.folder / "runners" / self.runner).unlink()
            os.close(self._claim)

    # -- inputs ------------------------------------------------------------------------------------------------------

    def put(self, data: bytes, name: str) -> str:
        """Keep an input; the same bytes by another name are another input, so that no file name shows elsewhere."""
        if len(data) > LARGEST_INPUT:
            raise UserError(f"{name} is too large: an input has at most {LARGEST_INPUT >> 20} MiB. Give a smaller one.")
        name = name.encode("utf-8", "replace").decode()  # a file's name need not be text
        id = digest(name.encode(), data)
        known = self._one("SELECT blob FROM inputs WHERE id=?", id)
        if known is not None and self._path(known[0]).exists():
            return id
        self._keep(
            data,
            lambda blob: self._base.execute(
                "INSERT OR REPLACE INTO inputs VALUES(?,?,?,?)", (id, name, blob, time.time())
            ),
        )
        return id

    def read(self, id: str) -> tuple[bytes, str]:
        """Bytes and name of an input."""
        row = self._one("SELECT blob, name FROM inputs WHERE id=?", id)
        if row is None:
            raise UserError(LOST)
        try:
            with self._told():
                return self._path(row[0]).read_bytes(), row[1]
        except FileNotFoundError as error:
            raise UserError(LOST) from error

    def name(self, id: str) -> str:
        """Name of an input."""
        row = self._one("SELECT name FROM inputs WHERE id=?", id)
        if row is None:
            raise UserError(LOST)
        return row[0]

    # -- jobs --------------------------------------------------------------------------------------------------------

    def add(self, job: Job) -> None:
        """A new job of this process."""
        with self._write():
            if self._one("SELECT 1 FROM inputs WHERE id=?", job.request.input) is None:
                raise UserError(LOST)
            self._base.execute(
                "INSERT INTO jobs(id, owner, runner, input, request, title, created, status) VALUES(?,?,?,?,?,?,?,?)",
                (
                    job.id,
                    job.owner,
                    self.runner,
                    job.request.input,
                    _text(job.request),
                    job.title,
                    job.created,
                    job.status,
                ),
            )

    def start(self, job: Job) -> bool:
        """Note that a job of this process is under way; False if it is gone or in other hands."""
        with self._write():
            found = self._base.execute(
                "UPDATE jobs SET status='running', attempts=attempts+1, version=?"
                " WHERE id=? AND runner=? AND status='queued'",
                (job.version, job.id, self.runner),
            )
            return found.rowcount == 1

    def finish(self, job: Job, record: bytes = b"") -> Job:
        """Note how a job of this process ended, with its record; a job deleted meanwhile stays deleted."""

        def note(blob: str) -> None:
            self._base.execute(
                "UPDATE jobs SET status=?, done=?, total=?, version=?, message=?, seconds=?, result=?"
                " WHERE id=? AND runner=? AND status IN ('queued', 'running')",
                (job.status, job.done, job.total, job.version, job.message, job.seconds, blob, job.id, self.runner),
            )

        if record:
            return replace(job, result=f"sha256:{self._keep(record, note)}")
        with self._write():
            note("")
        return job

    def job(self, id: str) -> Job | None:
        """A job as it was last noted."""
        row = self._one(f"SELECT {COLUMNS} FROM jobs WHERE id=?", id)
        return None if row is None else _job(row)

    def jobs(self, owner: str | None) -> tuple[Job, ...]:
        """The jobs of an owner, or of everybody, newest first."""
        where, given = ("", ()) if owner is None else ("WHERE owner=?", (owner,))
        rows = self._all(f"SELECT {COLUMNS} FROM jobs {where} ORDER BY rowid DESC", *given)
        return tuple(_job(row) for row in rows)

    def path(self, result: str) -> Path:
        """The file of a job's record."""
        return self._path(result.removeprefix("sha256:"))

    def delete(self, id: str) -> None:
        """Remove a job, and its input and record unless another job uses them."""
        row = self._one("SELECT input, result FROM jobs WHERE id=?", id)
        if row is None:
            return
        blobs = {row[1]}
        with self._write():
            self._base.execute("DELETE FROM jobs WHERE id=?", (id,))
            if self._one("SELECT 1 FROM jobs WHERE input=?", row[0]) is None:
                blobs |= {one[0] for one in self._all("SELECT blob FROM inputs WHERE id=?", row[0])}
                self._base.execute("DELETE FROM inputs WHERE id=?", (row[0],))
        self._drop(blobs)

    def recover(self) -> tuple[Job, ...]:
        """Take over the jobs that a dead process left behind, and sweep away what nobody uses any more.

        Those that waited or were under way are queued again, oldest first; one that was under way in RESTARTS crashes
        is failed, since it may be the cause.
        """
        left = "status IN ('queued', 'running')"
        with self._write():
            for (runner,) in self._all(f"SELECT DISTINCT runner FROM jobs WHERE {left}"):
                if runner == self.runner or not _dead(self.folder / "runners" / runner):
                    continue
                self._base.execute(
                    "UPDATE jobs SET status='failed', version=version+1, message=?"
                    " WHERE runner=? AND status='running' AND attempts>=?",
                    ("Assay stopped each time while this was computed, so it was not started again.", runner, RESTARTS),
                )
                self._base.execute(
                    f"UPDATE jobs SET status='queued', version=version+1, runner=? WHERE runner=? AND {left}",
                    (self.runner, runner),
                )
        self._sweep()
        rows = self._all(f"SELECT {COLUMNS} FROM jobs WHERE runner=? AND status='queued' ORDER BY rowid", self.runner)
        return tuple(_job(row) for row in rows)

    # -- blobs -------------------------------------------------------------------------------------------------------

    def _path(self, blob: str) -> Path:
        return self.folder / "blobs" / blob[:2] / blob[2:]

    def _keep(self, data: bytes, note: Callable[[str], Any]) -> str:
        """Write a blob and, once it is safe, the row that names it; returns its hex digest."""
        blob = hashlib.sha256(data).hexdigest()
        path = self._path(blob)
        with self._told():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            staged = None if path.exists() else durable.stage(path.parent, data)
            with self._write():  # nobody can remove the blob between here and the row
                if staged is not None:
                    durable.settle(staged, path)
                elif not path.exists():
                    durable.write(path, data)
                note(blob)
        return blob

    def _drop(self, blobs: set[str]) -> None:
        """Remove blobs that no row names."""
        with self._told(), self._write():
            for blob in blobs - {""}:
                used = "SELECT 1 FROM inputs WHERE blob=?1 UNION SELECT 1 FROM jobs WHERE result=?1"
                if self._one(used, blob) is None:
                    self._path(blob).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove old inputs that no job uses, blobs that no row names and files that were never finished."""
        old = time.time() - UNUSED
        with self._told(), self._write():
            self._base.execute(
                "DELETE FROM inputs WHERE created<? AND id NOT IN (SELECT input FROM jobs)",
                (old,),
            )
            named = {row[0] for row in self._all("SELECT blob FROM inputs UNION SELECT result FROM jobs")}
            for path in (self.folder / "blobs").glob("??/*"):
                if path.parent.name + path.name in named:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if not path.name.endswith(durable.TEMPORARY) or path.stat().st_mtime < old:
                        path.unlink()
            for path in (self.folder / "runners").iterdir():
                if path.name != self.runner and _dead(path):
                    path.unlink(missing_ok=True)

    # -- the database ------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        with self._write():
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise UserError(
                    f"The workspace {self.folder} was written by a newer Assay; update Assay, or choose another"
                    " with --workspace."
                )
            if version == 0:
                for statement in filter(str.strip, SCHEMA.split(";")):
                    self._base.execute(statement)
                self._base.execute(f"PRAGMA user_version={VERSION}")

    @contextlib.contextmanager
    def _write(self) -> Iterator[None]:
        """One transaction that holds the write lock from its start, in this process and among processes."""
        with self._told(), self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def _one(self, query: str, *given: Any) -> Any:
        with self._told(), self._lock:
            return self._base.execute(query, given).fetchone()

    def _all(self, query: str, *given: Any) -> list[Any]:
        with self._told(), self._lock:
            return self._base.execute(query, given).fetchall()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the disk or the database refuses, as a sentence."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UserError(f"The workspace {self.folder} cannot be used: {error.strerror}. {_CURE}") from error
        except sqlite3.Error as error:
            raise UserError(f"The workspace {self.folder} cannot be used: {error}. {_CURE}") from error


_CURE = "Free some space, or choose another folder with --workspace."


def _text(request: Any) -> str:
    return json.dumps(codec.encode(request)[0])


def _job(row: Any) -> Job:
    id, request, owner, status, done, total, version, message, created, seconds, result, title = row
    return Job(
        id=id,
        request=codec.decode(json.loads(request), []),
        owner=owner,
        status=status,
        done=done,
        total=total,
        version=version,
        message=message,
        created=created,
        seconds=seconds,
        result=f"sha256:{result}" if result else "",
        title=title,
    )


def _locked(path: Path) -> int:
    """A descriptor that holds the lock of a file for as long as this process lives."""
    claim = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return claim


def _dead(path: Path) -> bool:
    """Whether the process that locked this file is gone."""
    try:
        claim = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(claim)
    return True
