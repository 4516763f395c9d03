"""Who gave an input, and which of them its owner keeps.

An input may be read by those who gave it or had it explained, and by everybody where it was put without an owner, as
bundled examples are. A file (what has a name with an ending) is kept and listed until its owner removes it, and counts
towards their room; typed texts and rows, and what nobody owns, go a day after they were last used.
"""

from __future__ import annotations

import datetime
import re
import time

from explainers.runtime.blobs import Blobs
from explainers.runtime.database import Database
from explainers.runtime.room import Room
from explainers.runtime.types import COMMAND_LINE, Kept
from model_zoo.types import UserError

LOST = "The input is no longer in the workspace; choose it again."
FILE = re.compile(r".*\.\w+")  # the name of a file; "typed text" and "rows.csv, row 3" are none
TABLES = """
    CREATE TABLE samples(
        owner TEXT NOT NULL, input TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, created REAL NOT NULL,
        listed INTEGER NOT NULL, PRIMARY KEY(owner, input));
    CREATE INDEX samples_of_input ON samples(input);
    INSERT INTO samples SELECT '', id, name, 0, created, 0 FROM inputs;
"""
MAY = """(EXISTS (SELECT 1 FROM samples WHERE input=?1 AND owner IN ('', ?2))
    OR EXISTS (SELECT 1 FROM jobs WHERE input=?1 AND owner IN (?2, ?3)))"""


class Samples:
    """The inputs of a workspace by their owners; safe to use from several threads."""

    def __init__(self, base: Database, blobs: Blobs, room: Room) -> None:
        self._base = base
        self._blobs = blobs
        self._room = room

    def check(self, owner: str, input: str, name: str, size: int) -> bool:
        """Whether a file is to be listed as its owner's; UserError if there is no room for it."""
        if owner in ("", COMMAND_LINE) or not FILE.fullmatch(name):
            return False
        if self._base.one("SELECT 1 FROM samples WHERE owner=? AND input=? AND listed", owner, input) is None:
            self._room.check(owner, name, size)
        return True

    def note(self, owner: str, input: str, name: str, size: int, listed: bool) -> None:
        """Inside write(): remember who gave an input; a name that its owner gave it stays."""
        self._base.run(
            "INSERT INTO samples VALUES(?,?,?,?,?,?) ON CONFLICT DO UPDATE SET listed=max(listed, excluded.listed)",
            *(owner, input, name, size, time.time(), listed),
        )

    def known(self, owner: str, input: str, listed: bool) -> bool:
        """Whether note() would change nothing."""
        row = self._base.one("SELECT listed FROM samples WHERE owner=? AND input=?", owner, input)
        return row is not None and bool(row[0]) >= listed

    def may_read(self, owner: str, input: str) -> bool:
        """Whether an owner gave this input, or asked for a run of it, or nobody owns it."""
        return bool(self._base.one(f"SELECT {MAY}", input, owner, COMMAND_LINE)[0])

    def name(self, owner: str, input: str) -> str | None:
        """What an owner calls an input; None: nothing of their own."""
        row = self._base.one("SELECT name FROM samples WHERE owner=? AND input=?", owner, input)
        return None if row is None else row[0]

    def list(self, owner: str) -> tuple[Kept, ...]:
        """The files that an owner keeps, newest first."""
        rows = self._base.all(
            "SELECT input, name, size, created FROM samples WHERE owner=? AND listed ORDER BY created DESC, rowid DESC",
            owner,
        )
        return tuple(Kept(input, name, size, _when(created)) for input, name, size, created in rows)

    def rename(self, input: str, name: str, owner: str) -> None:
        """Call a kept input something else, for its owner alone."""
        if not name:
            raise UserError("A sample's name has at least one letter; write one.")
        with self._base.write():
            changed = "UPDATE samples SET name=? WHERE owner=? AND input=? AND listed"
            if not self._base.run(changed, name, owner, input):
                raise UserError(LOST)

    def remove(self, input: str, owner: str) -> None:
        """Keep an input no longer; its bytes go at once, or with the last run or other owner that uses it."""
        with self._base.write():
            if not self._base.run("DELETE FROM samples WHERE owner=? AND input=? AND listed", owner, input):
                raise UserError(LOST)
            row = self._base.one("SELECT blob FROM inputs WHERE id=?", input)
            needed = "SELECT 1 FROM samples WHERE input=?1 UNION ALL SELECT 1 FROM jobs WHERE input=?1"
            if self._base.one(needed, input) is None:
                self._base.run("DELETE FROM inputs WHERE id=?", input)
        self._blobs.drop(row or ())

    def forget(self) -> None:
        """Inside write(): remove what is said of inputs that are gone."""
        self._base.run("DELETE FROM samples WHERE input NOT IN (SELECT id FROM inputs)")


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
