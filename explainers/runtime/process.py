"""The parent's hold of one worker process: start it, talk to it, end it with everything it started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from explainers.runtime import wire
from explainers.runtime.types import Device
from model_zoo.types import UserError

ROOT = Path(__file__).resolve().parents[2]
LARGEST_LOG = 1 << 20  # bytes; an older log is kept beside it
STALLED = 1.0  # seconds to wait for a turn to speak


class Died(Exception):
    """The worker is gone; the message says how, in words that fit into brackets."""


class Process:
    """One worker process; every method may be called from any thread."""

    device: Device

    def __init__(self, lane: str, device: str, threads: int, catalogue: str, log: Path) -> None:
        ours, theirs = socket.socketpair()
        self._sock = ours
        self._speaking = threading.Lock()
        self._blame = ""
        arguments = [str(theirs.fileno()), lane, device, str(threads), catalogue]
        with theirs, _log(log) as output:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", "explainers.runtime.worker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": _path(), "PYTHONUNBUFFERED": "1"},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a group of its own to kill, and Ctrl-C in a terminal is not for it
            )
        self._reaper = threading.Thread(target=self._child.wait, daemon=True)  # no zombie while nobody asks
        self._reaper.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None

    def greet(self) -> Device:
        """Wait until it is ready; UserError if it cannot be on this machine."""
        kind, _, body = self.receive()
        if kind == "error":
            raise UserError(str(body))
        if kind != "hello" or not isinstance(body, Device):
            self._blame = "it spoke out of turn"
            raise self._died()
        self.device = body
        return body

    def send(self, kind: str, number: int, body: Any, wait: float = -1) -> None:
        """Say something; Died if nobody listens."""
        if not self._speaking.acquire(timeout=wait):
            return
        try:
            wire.send(self._sock, (kind, number, body))
        except wire.Broken as error:
            raise self._died() from error
        finally:
            self._speaking.release()

    def hint(self, kind: str, number: int, body: Any) -> None:
        """Say something that needs no answer; nothing happens if nobody listens."""
        with contextlib.suppress(Died):
            self.send(kind, number, body, wait=STALLED)

    def receive(self) -> tuple[str, int, Any]:
        """The next message, (kind, number, body); Died at its end, or if it is not one."""
        try:
            match wire.receive(self._sock):
                case (str(kind), int(number), body):
                    return kind, number, body
            self._blame = "it sent what is not a message"
        except wire.Broken as error:
            if self.alive and not _ended(self._child):
                self._blame = f"it sent what cannot be read: {error}"
        raise self._died()

    def kill(self) -> None:
        """End it at once, with everything that it started."""
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it and keep nothing of it: no zombie, no descriptor, no thread."""
        self.kill()
        self._reaper.join()
        self._sock.close()

    def _died(self) -> Died:
        if not self._blame:
            _ended(self._child)
        self.kill()
        self._reaper.join()
        code = self._child.returncode
        if self._blame:
            return Died(self._blame)
        if code == -signal.SIGKILL:
            return Died("killed by signal 9, as happens when memory runs out")
        return Died(f"killed by signal {-code}" if code < 0 else f"it exited with code {code}")


def _ended(child: subprocess.Popen[bytes], seconds: float = 5) -> bool:
    """Whether the child ends by itself; the socket's end comes a moment before its own."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _path() -> str:
    """Where the child finds this package, installed or not; its current folder is not searched."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _log(path: Path) -> Any:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_suffix(".old"))
    return open(path, "ab")
