"""People's own models in a workspace: files that they uploaded, and paths of the server that they attached.

An uploaded file is a blob by its digest, so that the same bytes of two owners lie there once; each has a row of their
own and neither learns of the other. It is written to incoming/<runner>.<number> first: what a dead process left there
goes when the next one opens the workspace. An attached path is only read, and watched for changes.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from explainers.runtime import attached
from explainers.runtime.blobs import Blobs
from explainers.runtime.claims import Claim
from explainers.runtime.database import Database, told
from explainers.runtime.parts import Parts
from explainers.runtime.room import Room
from explainers.runtime.types import Upload
from model_zoo.facts import Facts
from model_zoo.files import Reading
from model_zoo.types import ModelCard, UserError

CHUNK = 1 << 20  # bytes in memory of a file that comes in
LONGEST = 200  # characters of a name or a title
GONE = "This model is no longer in the workspace; it was removed, or belongs to somebody else."
TABLES = """
    CREATE TABLE uploads(
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, title TEXT NOT NULL, size INTEGER NOT NULL,
        digest TEXT NOT NULL, blob TEXT NOT NULL, path TEXT NOT NULL, stamp TEXT NOT NULL, created TEXT NOT NULL,
        facts TEXT NOT NULL DEFAULT '', reading TEXT NOT NULL DEFAULT '', card TEXT NOT NULL DEFAULT '',
        problem TEXT NOT NULL DEFAULT '');
    CREATE INDEX uploads_of_owner ON uploads(owner);
    CREATE INDEX uploads_blob ON uploads(blob);
"""
COLUMNS = "id, owner, name, title, size, digest, path, created, facts, reading, card, problem"


class Uploads:
    """The models of a workspace that people gave; safe to use from several threads."""

    def __init__(self, folder: Path, base: Database, blobs: Blobs, claim: Claim, room: Room) -> None:
        self._folder = folder
        self._base = base
        self._blobs = blobs
        self._parts = Parts(base, blobs)
        self._claim = claim
        self._room = room
        self._numbers = itertools.count()
        self.shared = os.environ.get("ASSAY_SHARED", "") not in ("", "0")
        with told(folder):
            for path in self._incoming.iterdir():
                if claim.dead(path.name.partition(".")[0]):
                    path.unlink(missing_ok=True)

    @property
    def _incoming(self) -> Path:
        return self._folder / "incoming"

    # -- coming ------------------------------------------------------------------------------------------------------

    def receive(self, file: BinaryIO, name: str, owner: str) -> Upload:
        """Take a file in, chunk by chunk; the same bytes of the same owner again are the Upload that is there."""
        name = base(name) or "model"
        size = length(file)
        if size == 0:
            raise UserError(f"{name} is empty (0 bytes); save or upload it again.")
        again = self._again(file, size, owner)
        if again is not None:
            return again
        staged = self._incoming / f"{self._claim.id}.{next(self._numbers)}"
        try:
            digest, written = self._write(file, staged, name, owner, size)
            upload = _new(owner, name, written, f"sha256:{digest}")

            def note() -> None:
                nonlocal upload
                known = self._mine(upload.digest, owner)
                if known is not None:
                    upload = known
                else:
                    self._room.check(owner, name, written)  # once more, since other processes write as well
                    self._add(upload)

            self._blobs.take(staged, digest, note)
        finally:
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)
        return upload

    def _write(self, file: BinaryIO, staged: Path, name: str, owner: str, size: int | None) -> tuple[str, int]:
        """Digest (hex) and number of the bytes, once they are safe in `staged`."""
        found, written = hashlib.sha256(), 0
        with told(self._folder), self._room.coming(owner, name, size) as grow, open(staged, "xb") as kept:
            os.fchmod(kept.fileno(), 0o600)
            while chunk := _read(file, name):
                grow(len(chunk))
                found.update(chunk)
                written += kept.write(chunk)
            kept.flush()
            os.fsync(kept.fileno())
        if not written:
            raise UserError(f"{name} is empty (0 bytes); save or upload it again.")
        return found.hexdigest(), written

    def _again(self, file: BinaryIO, size: int | None, owner: str) -> Upload | None:
        """The Upload of this file, where an owner who has one of its size gives it again: no room is needed for it."""
        alike = "SELECT 1 FROM uploads WHERE owner=? AND size=? AND path=''"
        if size is None or self._base.one(alike, owner, size) is None:
            return None
        start, found = file.tell(), hashlib.sha256()
        while chunk := file.read(CHUNK):
            found.update(chunk)
        file.seek(start)
        return self._mine(f"sha256:{found.hexdigest()}", owner)

    def attach(self, path: str | Path, owner: str) -> Upload:
        """Note a file or folder of this server, which stays where it is; one that changed is taken as it is now."""
        found = attached.located(path, owner)
        stamp = attached.stamp(found)
        row = self._base.one("SELECT id, stamp FROM uploads WHERE owner=? AND path=?", owner, str(found))
        if row is not None and row[1] == stamp:
            return self.find(row[0], owner)
        size, digest = attached.size(found), attached.digest(found)
        if size == 0:
            raise UserError(f"{found.name} is empty (0 bytes); name another file or folder.")
        fresh = replace(_new(owner, base(str(path)) or found.name, size, digest), path=str(found))
        with self._base.write():
            row = self._base.one("SELECT id, digest FROM uploads WHERE owner=? AND path=?", owner, fresh.path)
            if row is None:
                self._add(fresh, stamp)
                return fresh
            self._base.run("UPDATE uploads SET stamp=?, size=?, digest=? WHERE id=?", stamp, size, digest, row[0])
            if row[1] != digest:
                self._base.run("UPDATE uploads SET reading='', card='', problem='' WHERE id=?", row[0])
        return self.find(row[0], owner)

    def _add(self, upload: Upload, stamp: str = "") -> None:
        self._base.run(
            "INSERT INTO uploads(id, owner, name, title, size, digest, blob, path, stamp, created)"
            " VALUES(?,?,?,?,?,?,?,?,?,?)",
            *(upload.id, upload.owner, upload.name, upload.title, upload.size, upload.digest),
            "" if upload.path else upload.digest.removeprefix("sha256:"),
            *(upload.path, stamp, upload.created),
        )

    def _mine(self, digest: str, owner: str) -> Upload | None:
        row = self._base.one(f"SELECT {COLUMNS} FROM uploads WHERE digest=? AND owner=? AND path=''", digest, owner)
        return None if row is None else self._upload(row, owner)

    # -- there -------------------------------------------------------------------------------------------------------

    def list(self, owner: str) -> tuple[Upload, ...]:
        """An owner's models, or in a shared workspace everybody's; newest first."""
        rows = self._base.all(
            f"SELECT {COLUMNS} FROM uploads WHERE owner=? OR ? ORDER BY rowid DESC", owner, self.shared
        )
        return tuple(self._upload(row, owner) for row in rows)

    def find(self, id: str, owner: str) -> Upload:
        """One model; UserError, the same for one that is not there and for somebody else's."""
        row = self._base.one(f"SELECT {COLUMNS} FROM uploads WHERE id=? AND (owner=? OR ?)", id, owner, self.shared)
        if row is None:
            raise UserError(GONE)
        return self._upload(row, owner)

    def cards(self, owner: str) -> tuple[ModelCard, ...]:
        """Cards of the models that can be explained, newest first."""
        rows = self._base.all(
            "SELECT id, card FROM uploads WHERE card<>'' AND (owner=? OR ?) ORDER BY rowid DESC", owner, self.shared
        )
        return tuple(self._parts.value(id, "card", header) for id, header in rows)

    def card(self, id: str, owner: str) -> ModelCard | None:
        """The card of one of them; None if there is none, or it is somebody else's."""
        row = self._base.one("SELECT card FROM uploads WHERE id=? AND (owner=? OR ?)", id, owner, self.shared)
        found: ModelCard | None = None if row is None else self._parts.value(id, "card", row[0])
        return found

    def where(self, upload: Upload) -> Path:
        """The file or folder, as it was when it came; UserError if an attached one is gone or has changed."""
        if not upload.path:
            return self._blobs.path(upload.digest.removeprefix("sha256:"))
        row = self._base.one("SELECT stamp, owner FROM uploads WHERE id=?", upload.id)
        if row is None:
            raise UserError(GONE)
        path = attached.located(upload.path, row[1])  # once more: what may be named changes, and so do links
        stamp = attached.stamp(path)
        if stamp != row[0]:
            if attached.digest(path) != upload.digest:
                raise UserError(f"{path} has changed since it was attached; attach it again to use it as it is now.")
            with self._base.write():  # written again, with the same bytes
                self._base.run("UPDATE uploads SET stamp=? WHERE id=?", stamp, upload.id)
        return path

    # -- changed -----------------------------------------------------------------------------------------------------

    def read(self, id: str, owner: str, reading: Reading | None, problem: str = "") -> None:
        """Keep what was found in a file, or why it cannot be opened."""
        before = self.own(id, owner).reading
        self._fits(owner, None if reading is None else reading.guess, None if before is None else before.guess)
        self._keep(id, {"reading": reading}, problem=problem)

    def describe(self, id: str, owner: str, facts: Facts, card: ModelCard) -> None:
        """Keep what its owner said, with the card that came of it."""
        self._fits(owner, facts, self.own(id, owner).facts)
        self._keep(id, {"facts": facts, "card": card}, title=card.title, problem="")

    def complete(self, id: str, facts: Facts, card: ModelCard) -> None:
        """Put a card that says more, by the same facts, in the place of the kept one."""
        row = self._base.one("SELECT facts, card FROM uploads WHERE id=? AND card<>''", id)
        if row is None or self._parts.value(id, "card", row[1]) == card:
            return
        if (self._parts.value(id, "facts", row[0]) or Facts()) == facts:
            with contextlib.suppress(UserError):  # it was changed or removed meanwhile
                self._keep(id, {"card": card}, was=row[1])

    def rename(self, id: str, title: str, owner: str) -> Upload:
        """Give a model another title."""
        title = clean(title)
        if not title:
            raise UserError("A model's title has at least one letter; write one.")
        upload = self.own(id, owner)
        parts: dict[str, Any] = {}
        if upload.card is not None:
            parts["card"] = replace(upload.card, title=title)
        if upload.facts.title:
            parts["facts"] = replace(upload.facts, title=title)
        self._keep(id, parts, title=title)
        return self.find(id, owner)

    def remove(self, id: str, owner: str) -> None:
        """Forget a model; its bytes go at once unless somebody else's are the same. Attached ones are not touched."""
        self.own(id, owner)
        with self._base.write():
            row = self._base.one("SELECT blob FROM uploads WHERE id=?", id)
            blobs = {*(row or ()), *self._parts.forget(id)}
            self._base.run("DELETE FROM uploads WHERE id=?", id)
        self._parts.clear()
        self._blobs.drop(blobs)

    def own(self, id: str, owner: str) -> Upload:
        """A model that this owner may change."""
        upload = self.find(id, owner)
        if upload.owner != owner:
            raise UserError(f"{upload.title} was given by somebody else, who alone can change or remove it.")
        return upload

    # -- within ------------------------------------------------------------------------------------------------------

    def _keep(self, id: str, parts: dict[str, Any], was: str | None = None, **plain: str) -> None:
        """Change parts and plain columns of a row together; UserError if it is gone, or its card's JSON not `was`."""

        def note(headers: dict[str, str]) -> None:
            changes = {**headers, **plain}
            changed = ", ".join(f"{name}=?" for name in changes)
            given = (*changes.values(), id, was, was)
            if not self._base.run(f"UPDATE uploads SET {changed} WHERE id=? AND (? IS NULL OR card=?)", *given):
                raise UserError(GONE)

        self._parts.keep(id, parts, note)

    def _fits(self, owner: str, facts: Facts | None, before: Facts | None) -> None:
        """UserError if there is no room for the long texts of these facts in the place of others."""
        more = _texts(facts) - _texts(before)
        if more > 0:
            self._room.check(owner, "What is said of this model", more)

    def _upload(self, row: Any, owner: str) -> Upload:
        id, whose, name, title, size, digest, path, created, facts, reading, card, problem = row
        return Upload(
            id=id,
            owner=whose if whose == owner else "",  # in a shared workspace nobody learns who another is
            name=name,
            title=title,
            size=size,
            digest=digest,
            created=created,
            facts=self._parts.value(id, "facts", facts) or Facts(),
            reading=self._parts.value(id, "reading", reading),
            card=self._parts.value(id, "card", card),
            path=path,
            problem=problem,
        )


def _new(owner: str, name: str, size: int, digest: str) -> Upload:
    return Upload(
        id=secrets.token_hex(16),
        owner=owner,
        name=name,
        title=Path(name).stem or name,
        size=size,
        digest=digest,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def clean(text: str) -> str:
    """A name or a title as it can be kept and shown: one line of text."""
    text = text.encode("utf-8", "replace").decode()
    return "".join(one if one.isprintable() else " " for one in text).strip()[:LONGEST]


def base(name: str) -> str:
    """A file's name without the folders of somebody's machine."""
    return clean(name.replace("\\", "/").rstrip("/").rpartition("/")[2])


def length(file: BinaryIO) -> int | None:
    """Bytes from here to the end, for a file that tells."""
    try:
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (OSError, ValueError, AttributeError):
        return None
    return end - here


def _texts(facts: Facts | None) -> int:
    return 0 if facts is None else len(facts.tokenizer) + len(facts.background)


def _read(file: BinaryIO, name: str) -> bytes:
    try:
        return file.read(CHUNK)
    except (OSError, ValueError) as error:  # closed by whoever sent it
        raise UserError(f"{name} broke off before its end and was not kept; upload it again.") from error
