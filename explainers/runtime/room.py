"""How much room there is in a workspace: for one owner, in all, and on its disk.

    ASSAY_QUOTA_GIB     for the models and samples of one owner; 10 where it is not set
    ASSAY_STORE_GIB     for those of everybody; 100 where it is not set

The same file of two people counts twice although it is stored once, since else the figures would tell one of the other.
What is on its way counts as well, so that two uploads at a time cannot share the last gibibyte.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from explainers.runtime.database import Database
from explainers.runtime.types import Quota
from model_zoo.types import UserError

GIB = 1 << 30
SPARE = GIB  # bytes of the disk that are left free
USED = """
    SELECT coalesce(sum(size), 0) FROM (
        SELECT owner, size FROM uploads WHERE path='' UNION ALL
        SELECT owner, texts.size FROM texts JOIN uploads ON texts.row=uploads.id UNION ALL
        SELECT owner, size FROM samples WHERE listed)
"""


@dataclass(frozen=True)
class Limits:
    """What the operator allows, in bytes."""

    owner: int
    capacity: int

    @classmethod
    def of_environment(cls) -> Limits:
        """As the variables above say; UserError if one is no number."""
        return cls(gibibytes("ASSAY_QUOTA_GIB", 10), gibibytes("ASSAY_STORE_GIB", 100))


class Room:
    """The room of one workspace; safe to use from several threads."""

    def __init__(self, folder: Path, base: Database, limits: Limits) -> None:
        self._folder = folder
        self._base = base
        self._limits = limits
        self._lock = threading.RLock()  # a claim is checked and noted in one go
        self._coming: dict[object, tuple[str, int]] = {}  # whose, and how many bytes

    def quota(self, owner: str) -> Quota:
        """What is used and what may be."""
        (used,) = self._base.one(f"{USED} WHERE owner=?", owner)
        (stored,) = self._base.one(USED)
        return Quota(used, self._limits.owner, stored, self._limits.capacity)

    def check(self, owner: str, name: str, size: int, least: bool = False, mine: object = None) -> None:
        """UserError if an owner's file of this size does not fit in beside what is there and on its way.

        least: the file has more than `size` bytes, how many is not known yet. mine: an upload that is not counted.
        """
        now = self.quota(owner)
        with self._lock:
            coming = [about for key, about in self._coming.items() if key is not mine]
        left = now.limit - now.used - sum(count for whose, count in coming if whose == owner)
        everybody = now.capacity - now.stored - sum(count for _, count in coming)
        has = f"{name} has {'more than ' if least else ''}{sized(size)}"
        if size > left:
            raise UserError(
                f"{has} and {sized(max(0, left))} of your {sized(now.limit)} are left; remove a model, or ask who runs"
                " this server for more."
            )
        if size > everybody:
            raise UserError(
                f"{has} and {sized(max(0, everybody))} of the {sized(now.capacity)} for all models on this server are"
                " left; remove a model, or ask who runs this server for more."
            )

    def check_disk(self, name: str, size: int) -> None:
        """UserError if less than SPARE bytes of the disk were left with `size` more."""
        free = shutil.disk_usage(self._folder).free
        if free - size < SPARE:
            raise UserError(
                f"{name} does not fit: {sized(free)} of this server's disk are free, and {sized(SPARE)} stay so; ask"
                " who runs this server to make room."
            )

    @contextlib.contextmanager
    def coming(self, owner: str, name: str, size: int | None) -> Iterator[Callable[[int], None]]:
        """While a file of this size (None: not known) is written: call what it gives with each number of new bytes."""
        key, written = object(), 0

        def grow(count: int) -> None:
            nonlocal written
            written += count
            if size is None or written > size:  # more than was promised
                claim(written, least=True)
            self.check_disk(name, 0)

        def claim(bytes: int, least: bool) -> None:
            with self._lock:
                self.check(owner, name, bytes, least, mine=key)
                self._coming[key] = (owner, bytes)

        try:
            if size is not None:
                claim(size, least=False)
                self.check_disk(name, size)
            yield grow
        finally:
            with self._lock:
                self._coming.pop(key, None)


def sized(size: int) -> str:
    """A size as a person reads it: "4.2 GiB"."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << power:
            return f"{size / (1 << power):.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} bytes"


def gibibytes(name: str, usual: float) -> int:
    """A limit of the environment in bytes; UserError if it is no number."""
    given = os.environ.get(name, "").strip()
    try:
        found = float(given) if given else usual
        if not 0 <= found < math.inf:
            raise ValueError
    except ValueError as error:
        raise UserError(f"{name} is a number of GiB, such as {usual:g}; {given!r} came.") from error
    return int(found * GIB)
