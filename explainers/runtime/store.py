"""The workspace: what was asked and found, kept through crashes.

    assay.db         inputs and jobs (database.py), who gave inputs (samples.py), people's models (uploads.py)
    blobs/ab/cdef…   bytes of inputs, records and models, named by their sha256 (blobs.py)
    incoming/        models that are being uploaded
    runners/<id>     a file locked by each running Assay, so that others know which jobs are in living hands (claims.py)
    logs/            what the workers print

Several processes may share a workspace. An input is kept while its owner keeps it or a job uses it, and for a day after
it was last chosen or a job that used it was deleted, since a screen may still show it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from explainers import codec
from explainers.runtime import parts, samples, uploads
from explainers.runtime.blobs import Blobs
from explainers.runtime.claims import Claim
from explainers.runtime.database import Database, told
from explainers.runtime.room import Limits, Room
from explainers.runtime.samples import LOST, Samples
from explainers.runtime.types import COMMAND_LINE, Job
from explainers.runtime.uploads import Uploads
from model_zoo.types import UserError, digest

LARGEST_INPUT = 100 << 20  # bytes
RESTARTS = 2  # a job that was under way in this many crashes of the server is not tried again
UNUSED = 24 * 3600  # seconds that an input is kept without a job that uses it
RENEWED = UNUSED / 24  # seconds after which an input that is chosen once more is noted to be new again
STOPPED = "Assay stopped each time while this was computed, so it was not started again."
LEFT = "The command that asked for this was stopped before it was done; give the command again."
FIRST = """
    CREATE TABLE inputs(id TEXT PRIMARY KEY, name TEXT NOT NULL, blob TEXT NOT NULL, created REAL NOT NULL);
    CREATE TABLE jobs(
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, runner TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        input TEXT NOT NULL, request TEXT NOT NULL, title TEXT NOT NULL, created TEXT NOT NULL,
        status TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
        version INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '', seconds REAL NOT NULL DEFAULT 0,
        result TEXT NOT NULL DEFAULT '');
    CREATE INDEX jobs_of_owner ON jobs(owner);
"""
STEPS = (FIRST, uploads.TABLES + parts.TABLES + samples.TABLES)  # what was written is never changed: add one
NAMED = """
    SELECT blob FROM inputs UNION ALL SELECT result AS blob FROM jobs UNION ALL
    SELECT blob FROM uploads UNION ALL SELECT blob FROM texts
"""
MODEL, METHOD, GROUP, OF = (f"json_extract(request, '$.fields.{one}')" for one in ("model", "method", "group", "of"))
INDICES = f"CREATE INDEX IF NOT EXISTS jobs_done ON jobs({MODEL}, {METHOD}) WHERE status='done';"
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
        with told(folder):
            for name in ("blobs", "incoming", "runners", "logs"):
                (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._claim = Claim(folder)
        try:
            limits = Limits.of_environment()
            self._base = Database(folder, STEPS, INDICES)
        except BaseException:
            self._claim.close()
            raise
        self._blobs = Blobs(folder, self._base, NAMED)
        self.room = Room(folder, self._base, limits)
        self.samples = Samples(self._base, self._blobs, self.room)
        self.uploads = Uploads(folder, self._base, self._blobs, self._claim, self.room)
        self._open = threading.Lock()

    @property
    def runner(self) -> str:
        """This process among those that share the workspace."""
        return self._claim.id

    def close(self) -> None:
        """Let go of the workspace; the jobs in it stay as they are. Once more does no harm."""
        if self._open.acquire(blocking=False):  # never released: open no more
            self._base.close()
            self._claim.close()

    # -- inputs ------------------------------------------------------------------------------------------------------

    def put(self, data: bytes, name: str, owner: str = "") -> str:
        """Keep an input; the same bytes by another name are another input, so that no file name shows elsewhere."""
        if len(data) > LARGEST_INPUT:
            raise UserError(f"{name} is too large: an input has at most {LARGEST_INPUT >> 20} MiB. Give a smaller one.")
        name = name.encode("utf-8", "replace").decode()  # a file's name need not be text
        id = digest(name.encode(), data)
        listed = self.samples.check(owner, id, name, len(data))
        known = self._base.one("SELECT blob, created FROM inputs WHERE id=?", id)
        fresh = known is not None and self._blobs.path(known[0]).exists() and known[1] > time.time() - RENEWED
        if fresh and self.samples.known(owner, id, listed):
            return id

        def note(blob: str) -> None:
            self._base.run("INSERT OR REPLACE INTO inputs VALUES(?,?,?,?)", id, name, blob, time.time())
            self.samples.note(owner, id, name, len(data), listed)

        self.room.check_disk(name, len(data))
        self._blobs.keep(data, note)
        return id

    def read(self, id: str, owner: str | None = None) -> tuple[bytes, str]:
        """Bytes and name of an input; with an owner, if they may read it, and as they call it."""
        name = self.name(id, owner)
        row = self._base.one("SELECT blob FROM inputs WHERE id=?", id)
        try:
            with told(self.folder):
                return self._blobs.path(row[0]).read_bytes(), name
        except (FileNotFoundError, TypeError) as error:  # TypeError: gone since
            raise UserError(LOST) from error

    def name(self, id: str, owner: str | None = None) -> str:
        """Name of an input; with an owner, if they may read it, and as they call it."""
        row = self._base.one("SELECT name FROM inputs WHERE id=?", id)
        if row is None or (owner is not None and not self.samples.may_read(owner, id)):
            raise UserError(LOST)
        return (None if owner is None else self.samples.name(owner, id)) or row[0]

    # -- jobs --------------------------------------------------------------------------------------------------------

    def add(self, job: Job) -> None:
        """A new job of this process."""
        with self._base.write():
            if self._base.one("SELECT 1 FROM inputs WHERE id=?", job.request.input) is None:
                raise UserError(LOST)
            self._base.run(
                "INSERT INTO jobs(id, owner, runner, input, request, title, created, status) VALUES(?,?,?,?,?,?,?,?)",
                *(job.id, job.owner, self.runner, job.request.input),
                *(_text(job.request), job.title, job.created, job.status),
            )

    def start(self, job: Job) -> bool:
        """Note that a job of this process is under way; False if it is gone or in other hands."""
        with self._base.write():
            changed = self._base.run(
                "UPDATE jobs SET status='running', attempts=attempts+1, version=?"
                " WHERE id=? AND runner=? AND status='queued'",
                job.version,
                job.id,
                self.runner,
            )
            return changed == 1

    def finish(self, job: Job, record: bytes = b"") -> Job:
        """Note how a job of this process ended, with its record; a job deleted meanwhile stays deleted."""

        def note(blob: str) -> None:
            self._base.run(
                "UPDATE jobs SET status=?, done=?, total=?, version=?, message=?, seconds=?, result=?"
                " WHERE id=? AND runner=? AND status IN ('queued', 'running')",
                *(job.status, job.done, job.total, job.version, job.message, job.seconds, blob, job.id, self.runner),
            )

        if record:
            self.room.check_disk("The record of this run", len(record))
            return replace(job, result=f"sha256:{self._blobs.keep(record, note)}")
        with self._base.write():
            note("")
        return job

    def job(self, id: str) -> Job | None:
        """A job as it was last noted."""
        row = self._base.one(f"SELECT {COLUMNS} FROM jobs WHERE id=?", id)
        return None if row is None else _job(row)

    def jobs(
        self, owners: tuple[str, ...] | None, limit: int | None = None, group: str | None = None
    ) -> tuple[Job, ...]:
        """The jobs of these owners, or of everybody, newest first; `group`: of one click, or the job of this id."""
        where, given = ["1"], list[Any]()
        if owners is not None:
            where.append(f"owner IN ({', '.join('?' * len(owners))})")
            given += owners
        if group is not None:
            where.append(f"? IN (id, {GROUP})")
            given.append(group)
        chosen = f"SELECT rowid FROM jobs WHERE {' AND '.join(where)} ORDER BY rowid DESC LIMIT ?"  # of the index alone
        rows = self._base.all(
            f"SELECT {COLUMNS} FROM jobs WHERE rowid IN ({chosen}) ORDER BY rowid DESC",
            *given,
            -1 if limit is None else limit,
        )
        return tuple(_job(row) for row in rows)

    def past(self, model: str, method: str) -> Job | None:
        """The newest job of this model and method that is done, whoever asked for it."""
        row = self._base.one(
            f"SELECT {COLUMNS} FROM jobs WHERE status='done' AND {MODEL}=? AND {METHOD}=?"
            f" AND COALESCE({OF}, '')='' ORDER BY rowid DESC LIMIT 1",  # what tested another one took another time
            model,
            method,
        )
        return None if row is None else _job(row)

    def path(self, result: str) -> Path:
        """The file of a job's record."""
        return self._blobs.path(result.removeprefix("sha256:"))

    def delete(self, id: str) -> None:
        """Remove a job with its record, unless another has the same; its input goes a day later if nothing uses it."""
        row = self._base.one("SELECT input, result FROM jobs WHERE id=?", id)
        if row is None:
            return
        with self._base.write():
            self._base.run("DELETE FROM jobs WHERE id=?", id)
            self._base.run("UPDATE inputs SET created=? WHERE id=?", time.time(), row[0])
            blobs = {row[1], *self._forget()}
        self._blobs.drop(blobs)

    def recover(self) -> tuple[Job, ...]:
        """Take over the jobs that a dead process left behind, and sweep away what nobody uses any more.

        Those that waited or were under way are queued again, oldest first. Failed are those of a command line, where
        nobody waits any more, and one that was under way in RESTARTS crashes, since it may be the cause.
        """
        left = "status IN ('queued', 'running')"
        failed = f"UPDATE jobs SET status='failed', version=version+1, message=? WHERE runner=? AND {left}"
        with self._base.write():
            for (runner,) in self._base.all(f"SELECT DISTINCT runner FROM jobs WHERE {left}"):
                if not self._claim.dead(runner):
                    continue
                self._base.run(f"{failed} AND owner=?", LEFT, runner, COMMAND_LINE)
                self._base.run(f"{failed} AND status='running' AND attempts>=?", STOPPED, runner, RESTARTS)
                self._base.run(
                    f"UPDATE jobs SET status='queued', version=version+1, runner=? WHERE runner=? AND {left}",
                    self.runner,
                    runner,
                )
        self._sweep()
        rows = self._base.all(
            f"SELECT {COLUMNS} FROM jobs WHERE runner=? AND status='queued' ORDER BY rowid", self.runner
        )
        return tuple(_job(row) for row in rows)

    def _forget(self) -> set[str]:
        """Inside write(): remove old inputs that no job uses; the blobs that they named."""
        kept = "SELECT input FROM jobs UNION ALL SELECT input FROM samples WHERE listed"
        unused = f"created<? AND id NOT IN ({kept})"
        old = time.time() - UNUSED
        blobs = {row[0] for row in self._base.all(f"SELECT blob FROM inputs WHERE {unused}", old)}
        self._base.run(f"DELETE FROM inputs WHERE {unused}", old)
        self.samples.forget()
        return blobs

    def _sweep(self) -> None:
        """Remove old inputs that no job uses, blobs that no row names and files that were never finished."""
        with told(self.folder), self._base.write():
            self._forget()
            self._blobs.sweep(time.time() - UNUSED)
            self._claim.sweep()


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
