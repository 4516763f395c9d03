"""The parent's hold of one worker process: talk to it, bound it, end it with everything it started.

How a process lives and dies is a Life: `Spawned` is started by exec and is this process's child; `Forked` is a child of
the warm process (warm.py), held by a descriptor of its own, so that its number cannot become another's meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from explainers.runtime import scratch, watch, wire
from explainers.runtime.types import Device, Source
from explainers.runtime.watch import Deadline, Watch
from model_zoo.types import UserError

STALLED = 1.0  # seconds to wait for a turn to speak
LONGEST = 1_000  # characters of a sentence
LINGERS = 5.0  # seconds between the end of a worker's socket and its own


class Died(Exception):
    """The worker is gone; the message says how, in words that fit into brackets."""


class Life(Protocol):
    """A process, from its start to its end."""

    pid: int

    def ended(self, seconds: float = 0) -> bool:
        """Whether it ends within so many seconds."""

    def code(self) -> int | None:
        """Once it has ended: its exit code, or the signal that ended it below zero; None if nobody knows."""

    def kill(self) -> None:
        """End it at once, with everything that it started."""

    def close(self) -> None:
        """Once it has ended, keep nothing of it."""


class Spawned:
    """A child of this process."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.pid = child.pid
        self._reaper = threading.Thread(target=child.wait, daemon=True)  # no zombie while nobody asks
        self._reaper.start()

    def ended(self, seconds: float = 0) -> bool:
        """Whether it ends within so many seconds."""
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def code(self) -> int | None:
        """Its exit code, or the signal that ended it below zero."""
        return self._child.poll()

    def kill(self) -> None:
        """End its process group."""
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Wait for the thread that reaped it."""
        self._reaper.join()


class Forked:
    """A child of the warm process; `told` waits for its exit code, which only that one learns."""

    def __init__(self, pid: int, handle: int, told: Callable[[], int | None]) -> None:
        """handle: its pidfd, which is this object's from now on."""
        self.pid = pid
        self._handle = handle
        self._told = told
        self._turn = threading.Lock()  # a descriptor's number is reused as soon as it is closed

    def ended(self, seconds: float = 0) -> bool:
        """Whether it ends within so many seconds."""
        if self._handle < 0:
            return True
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def code(self) -> int | None:
        """Its exit code, or the signal that ended it below zero; None if the warm process is gone as well."""
        return self._told()

    def kill(self) -> None:
        """End its process group; it may not have made one yet."""
        with self._turn:
            if self._handle >= 0 and not self.ended():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it."""
        with self._turn:
            if self._handle >= 0:
                os.close(self._handle)
            self._handle = -1


class Process:
    """One worker that serves one model; every method may be called from any thread."""

    device: Device
    mature = True  # whether it has all that a worker can inherit
    barriers: tuple[str, ...] = ()  # that held before it loaded anything, by its own word

    def __init__(self, life: Life, sock: socket.socket, source: Source, folder: Path, watch: Watch) -> None:
        """folder: its scratch folder, which goes with it."""
        self.source = source
        self.scratch = folder
        self.busy = False
        self.deadline: Deadline | None = None
        self._life = life
        self._sock = sock
        self._watch = watch
        self._speaking = threading.Lock()
        self._blame = ""
        watch.add(self)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._life.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._life.ended()

    def greet(self) -> Device:
        """Tell it whom it serves, and wait until it is ready; UserError if it cannot be on this machine."""
        self.begin(watch.coming())
        self.send("serve", 0, self.source)
        kind, _, body = self.receive()
        self.rest()
        if kind == "error":
            raise self.complaint(body)
        match body:
            case (Device() as device, tuple(barriers)) if kind == "hello":
                self.device, self.barriers = device, barriers
                return device
        raise self.liar("it spoke out of turn")

    def serve(self, source: Source) -> None:
        """From now on its model is as this source says; Died if nobody listens."""
        if source != self.source:
            self.source = source
            self.send("serve", 0, source)

    def begin(self, deadline: Deadline | None) -> None:
        """From now on it computes, and must be done by then."""
        self.deadline = deadline
        self.busy = True
        self._watch.wake()

    def rest(self) -> None:
        """It has answered."""
        self.busy = False
        self.deadline = None
        self._watch.wake()

    def send(self, kind: str, number: int, body: Any) -> None:
        """Say something; Died if nobody listens, also one that lives and does not read."""
        with self._speaking:
            unbounded = self.deadline is None
            if unbounded:
                self.deadline = watch.hearing()
            try:
                self._tell(kind, number, body)
            finally:
                if unbounded:
                    self.deadline = None

    def hint(self, kind: str, number: int, body: Any) -> None:
        """Say something short that needs no answer; nothing happens if nobody listens, or reads."""
        if not self._speaking.acquire(timeout=STALLED):
            return
        try:
            poll = select.poll()
            poll.register(self._sock, select.POLLOUT)  # told only where there is more room than a hint takes
            if poll.poll(0):
                self._tell(kind, number, body)
        except (Died, ValueError):
            pass  # ValueError: it is closed
        finally:
            self._speaking.release()

    def _tell(self, kind: str, number: int, body: Any) -> None:
        try:
            wire.send(self._sock, (kind, number, body))
        except wire.Broken as error:
            raise self._died() from error

    def receive(self) -> tuple[str, int, Any]:
        """The next message, (kind, number, body); Died at its end, or if it is not one."""
        try:
            match wire.receive(self._sock):
                case (str(kind), int(number), body):
                    return kind, number, body
            raise self.liar("it sent what is not a message")
        except wire.Closed as error:
            if self._life.ended(LINGERS):
                raise self._died() from error
            raise self.liar("it closed its socket and stayed") from error
        except wire.Broken as error:
            raise self.liar(f"it sent what cannot be read: {error}") from error

    def complaint(self, body: Any) -> Exception:
        """What it says that went wrong, as the error to raise: no longer than a screen can show, and plain text."""
        if not isinstance(body, str):
            return self.liar("it sent an error that is no sentence")
        return UserError(body[:LONGEST].encode("utf-8", "replace").decode() + ("…" if len(body) > LONGEST else ""))

    def kill(self, blame: str = "") -> None:
        """End it at once, with everything that it started; `blame` says why, where it did not end by itself before."""
        if blame and self.alive:
            self._blame = self._blame or blame
        self._life.kill()

    def liar(self, blame: str) -> Died:
        """End it for what it said; the error to raise."""
        self._blame = self._blame or blame
        return self._died()

    def close(self) -> None:
        """End it and keep nothing of it: no zombie, no descriptor, no thread, no file."""
        self._life.kill()
        self._life.ended(LINGERS)
        self._watch.remove(self)
        self._life.close()
        self._sock.close()
        scratch.remove(self.scratch)

    def _died(self) -> Died:
        if not self._blame:
            self._life.ended(LINGERS)
        self._life.kill()
        self._life.ended(LINGERS)
        if self._blame:
            return Died(self._blame)
        code = self._life.code()
        if code is None:
            return Died("it is gone, and nobody saw how")
        if code == -signal.SIGKILL:
            return Died("killed by signal 9, as happens when memory runs out")
        return Died(f"killed by signal {-code}" if code < 0 else f"it exited with code {code}")
