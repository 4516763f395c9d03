"""What a worker may take: memory, threads, scratch space, and time to come up and to open a stranger's file.

Over it, the worker is ended. Memory is what it has taken since it was started (anonymous and shared pages and swap,
from /proc), since it shares with the warm process what it was forked with. The limits of the kernel beside it
(RLIMIT_DATA) are coarser and are met by an error inside the model; this one is met by a sentence.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from explainers.runtime import scratch
from explainers.runtime.types import Source
from model_zoo.files import ModelFile
from model_zoo.types import UserError

BUSY, IDLE = 0.025, 0.25  # seconds between two looks at workers
QUIET = 0.5  # seconds without anything to compute
SCRATCH_EVERY = 10  # looks at memory for one at scratch space
SCRATCH = 1 << 30  # bytes
THREADS = max(512, 8 * (os.cpu_count() or 1))  # a library may have a pool of as many as there are cores
COMING = 120.0  # seconds until a new worker says that it is ready; started by exec, it imports torch before
OPENING = 60.0  # seconds to open a stranger's file, and a second more for each
BYTES_A_SECOND = 20 << 20
HEARING = 120.0  # seconds until a worker has taken in what it is told
COMPUTING = {"look": 120.0, "rows": 120.0, "sample": 120.0, "doctor": 600.0, "read": 120.0, "card": 120.0}  # seconds
RUNS = "ASSAY_RUN_MINUTES"  # environment: how long a run may compute while somebody else waits
MINUTES = 60.0
LEAST = 1 << 30  # bytes of memory
SHARE = 0.5  # of the machine's memory, where the operator does not say
HELD = (b"RssAnon:", b"RssShmem:", b"VmSwap:", b"VmPTE:")  # page tables too: RLIMIT_DATA knows nothing of them


class Watched(Protocol):
    """A worker, as far as it is watched."""

    @property
    def pid(self) -> int:
        """Its number."""

    scratch: Path
    busy: bool
    deadline: Deadline | None

    def kill(self, blame: str = "") -> None:
        """End it, and say why."""


@dataclass(frozen=True)
class Deadline:
    """When somebody's patience ends (time.monotonic()), and what is said then."""

    at: float
    sentence: str
    binds: Callable[[], bool] = lambda: True  # whether it ends a worker at all, asked once the time is up


class Watch:
    """Looks at all workers of a process, on a thread of its own that starts with the first."""

    def __init__(self, memory: int, scratch: int = SCRATCH) -> None:
        """memory, scratch: bytes that a worker may take."""
        self.memory = memory
        self.scratch = scratch
        self._change = threading.Condition()
        self._found: dict[Watched, int] = {}  # with the memory that it had at its start
        self._thread: threading.Thread | None = None
        self._closing = False
        self._active = time.monotonic()  # when somebody last waited for a worker

    def add(self, worker: Watched) -> None:
        """Look at a worker from now on."""
        with self._change:
            self._active = time.monotonic()
            self._found[worker] = taken(worker.pid)[0]
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="assay-watch", daemon=True)
                self._thread.start()
            self._change.notify_all()

    def remove(self, worker: Watched) -> None:
        """Look at it no more: its number may soon be another's."""
        with self._change:
            self._found.pop(worker, None)

    def wake(self) -> None:
        """A worker begins to compute, or has answered: look more often, or less."""
        with self._change:
            self._active = time.monotonic()
            self._change.notify_all()

    def quiet(self) -> bool:
        """Whether nobody waits for a worker, and has not for a moment."""
        with self._change:
            busy = any(worker.busy for worker in self._found)
            return not busy and time.monotonic() - self._active > QUIET

    def close(self) -> None:
        """Look no more."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        looks = 0
        while True:
            with self._change:
                if self._closing:
                    return
                if not self._found:
                    self._change.wait()
                busy = any(worker.busy for worker in self._found)
                self._change.wait(BUSY if busy else IDLE)
                for worker, start in list(self._found.items()):
                    blame = self.exceeded(worker, start, looks % SCRATCH_EVERY == 0)
                    if blame:
                        worker.kill(blame)
            looks += 1

    def exceeded(self, worker: Watched, start: int, thorough: bool = True) -> str:
        """What a worker took too much of, in words that follow a bracket; empty if nothing."""
        memory, threads = taken(worker.pid)
        if memory - start > self.memory:
            return f"it took more than {self.memory / 2**30:.1f} GiB of memory"
        if threads > THREADS:
            return f"it started more than {THREADS:,} threads"
        deadline = worker.deadline
        if deadline is not None and time.monotonic() > deadline.at and deadline.binds():
            return deadline.sentence
        if thorough:
            total, count = scratch.size(worker.scratch)
            if total + scratch.unlinked(worker.pid) > self.scratch:
                return f"it wrote more than {self.scratch / 2**30:.1f} GiB of files"
            if count > scratch.MOST:
                return f"it made more than {scratch.MOST:,} files"
        return ""


def coming() -> Deadline:
    """Until when a new worker must have said that it is ready."""
    return Deadline(time.monotonic() + COMING, f"it did not come up within {COMING:.0f} s")


def opening(source: Source) -> Deadline | None:
    """Until when a source must be open; None for a bundled model."""
    if not source.path:
        return None
    try:
        size = ModelFile(Path(source.path)).size
    except OSError:
        size = 0  # the worker says that it is gone
    seconds = OPENING + size / BYTES_A_SECOND
    return Deadline(time.monotonic() + seconds, f"it took longer than {seconds:.0f} s to open the file")


def hearing() -> Deadline:
    """Until when a worker must have read what it is told, where nothing else bounds that."""
    return Deadline(time.monotonic() + HEARING, f"it did not listen for {HEARING:.0f} s")


def computing(kind: str, source: Source, awaited: Callable[[], bool]) -> Deadline | None:
    """Until when a request of an opened model must be answered; None if only who asked ends it.

    A run may take as long as it likes, unless somebody else waits for its end.
    """
    if kind in COMPUTING:
        seconds = COMPUTING[kind]
        sentence = f"it took longer than {seconds:.0f} s"
        return Deadline(time.monotonic() + seconds, sentence) if source.path else None
    minutes = run_minutes()
    sentence = f"it took longer than {minutes:g} minutes, and others wait"
    return Deadline(time.monotonic() + 60 * minutes, sentence, awaited)


def run_minutes() -> float:
    """How long a run may compute while somebody else waits, as the operator says; UserError if that is no number."""
    given = os.environ.get(RUNS, "").strip()
    try:
        found = float(given) if given else MINUTES
        if not 0 < found < 10**6:
            raise ValueError
    except ValueError as error:
        raise UserError(f"{RUNS} is a number of minutes above 0, such as {MINUTES:g}; {given!r} came.") from error
    return found


def taken(pid: int) -> tuple[int, int]:
    """Bytes that a process holds for itself, and its threads; 0 where the system does not tell, or it is gone."""
    memory, threads = _status(f"/proc/{pid}/status")
    if threads > 1 and not memory:  # its first thread ended, which took the figures with it: others have them
        with contextlib.suppress(OSError):
            tasks = (f"/proc/{pid}/task/{one}/status" for one in os.listdir(f"/proc/{pid}/task"))
            memory = next((found for found, _ in map(_status, tasks) if found), 0)
    return memory, threads


def _status(path: str) -> tuple[int, int]:
    """Bytes held, and threads, as a status file of /proc says; 0 what it does not."""
    try:
        with open(path, "rb") as file:
            said = [(line.split()[0], int(line.split()[1])) for line in file if line.startswith((*HELD, b"Threads:"))]
    except (OSError, ValueError, IndexError):
        return 0, 0
    return sum(count << 10 for name, count in said if name in HELD), dict(said).get(b"Threads:", 0)


def allowed_memory() -> int:
    """Bytes that a worker may take: ASSAY_MEMORY in GiB, else a share of what this machine or container has."""
    given = os.environ.get("ASSAY_MEMORY", "").strip()
    if given:
        try:
            asked = float(given)
            if not 0.25 <= asked <= 2**20:
                raise ValueError
        except ValueError as error:
            raise UserError(
                f"ASSAY_MEMORY is the memory that one model may take, in GiB, such as 8; {given!r} came."
            ) from error
        return int(asked * 2**30)
    return max(LEAST, int(SHARE * machine_memory()))


def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container that this process is in."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no limit, or not Linux
        there = min(there, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return there
