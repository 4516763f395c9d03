"""Runs a function of the tests in a confined child, as a worker runs a model; the test process itself risks nothing.

A warm process is started once; for each call it forks a child, which is confined and then calls the function. Its
answer comes as JSON. What the child said, how it died, or that it was ended for its time or memory is an Outcome.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from explainers.runtime.sandbox import Confinement, confine, contained, environment
from model_zoo.types import UserError

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 1 << 20  # characters of an answer


@dataclass(frozen=True)
class Outcome:
    """What became of a call: "answer" (value), "refused" (UserError), "failed" (another exception) or "died"."""

    kind: str
    value: Any = None
    text: str = ""
    seconds: float = 0.0
    log: str = ""  # what it wrote to stdout and stderr


@dataclass(frozen=True)
class Limits:
    """Of one call."""

    seconds: float = 20.0
    memory: int = 1 << 30
    file_size: int = 64 << 20
    uid: int = 0  # become this user first, where the tests run as root


class Warm:
    """The warm process; started with the environment of a worker, since a fork keeps what it was started with."""

    def __init__(self, *imports: str, paths: tuple[str, ...] = ()) -> None:
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), *paths])
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__)), *imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **environment(tempfile.gettempdir()),
                "PYTHONPATH": path,
                "OMP_NUM_THREADS": "1",
                "KERAS_BACKEND": "torch",
            },
        )

    def call(
        self, function: str, *arguments: Any, readable: tuple[str, ...] = (), limits: Limits | None = None
    ) -> Outcome:
        """Call "module:function" with JSON arguments in a confined child."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        asked = {
            "function": function,
            "arguments": arguments,
            "readable": readable,
            "limits": asdict(limits or Limits()),
        }
        self._child.stdin.write(json.dumps(asked) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        assert line, "the warm process is gone"
        return Outcome(**json.loads(line))

    def close(self) -> None:
        """End it."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait(60)
        self._child.stdout.close()


def serve(imports: list[str]) -> None:
    """The warm process itself: one call a line."""
    for one in imports:
        importlib.import_module(one)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        json.dump(asdict(_one(**json.loads(line))), answers)
        answers.write("\n")
        answers.flush()


def _one(function: str, arguments: list[Any], readable: list[str], limits: dict[str, Any]) -> Outcome:
    most = Limits(**limits)
    with tempfile.TemporaryDirectory(prefix="scratch_") as scratch, tempfile.TemporaryFile("w+") as log:
        if most.uid:
            os.chown(scratch, most.uid, most.uid)
        answer, said = os.pipe()
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child(said, log.fileno(), scratch, function, arguments, readable, most)
        os.close(said)
        text, ended = _watch(pid, answer, most, start)
        os.close(answer)
        _, status = os.waitpid(pid, 0)
        seconds = time.monotonic() - start
        log.seek(0)
        wrote = log.read(LONGEST)
        if ended or not text:
            how = ended or (
                f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
                if os.WIFSIGNALED(status)
                else f"exited with {os.WEXITSTATUS(status)}"
            )
            return Outcome("died", text=how, seconds=seconds, log=wrote)
        return Outcome(**json.loads(text), seconds=seconds, log=wrote)


def _child(
    said: int, log: int, scratch: str, function: str, arguments: list[Any], readable: list[str], most: Limits
) -> None:
    """Never returns."""
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(said, 3)
        os.closerange(4, 4096)
        if most.uid:
            os.setgroups([])
            os.setresgid(most.uid, most.uid, most.uid)
            os.setresuid(most.uid, most.uid, most.uid)
        held = confine(Confinement(scratch, tuple(readable), most.memory, most.file_size))
        if not contained(held):
            raise RuntimeError(f"not contained: only {held}")
        module, _, name = function.partition(":")
        try:
            found = {"kind": "answer", "value": getattr(importlib.import_module(module), name)(*arguments)}
        except UserError as error:
            found = {"kind": "refused", "text": str(error)}
        except BaseException as error:
            traceback.print_exc()
            found = {"kind": "failed", "text": f"{type(error).__name__}: {error}"}
        left = json.dumps(found, default=str).encode()
        if len(left) > LONGEST:
            left = json.dumps({"kind": "failed", "text": f"an answer of {len(left)} bytes: {left[:200]!r}"}).encode()
        while left:
            left = left[os.write(3, left) :]
    except BaseException:
        traceback.print_exc()
        os._exit(99)
    sys.stdout.flush()
    os._exit(0)


def _watch(pid: int, answer: int, most: Limits, start: float) -> tuple[str, str]:
    """What the child answered, and why it was ended, if it was."""
    heard = b""
    while True:
        if select.select([answer], [], [], 0.02)[0]:
            more = os.read(answer, 1 << 16)
            heard += more
            if not more:
                return heard.decode(errors="replace"), ""
        ended = ""
        if time.monotonic() - start > most.seconds:
            ended = f"stopped after {most.seconds:.0f} s"
        elif _shared(pid) > most.memory:
            ended = f"stopped at {most.memory >> 20} MiB"
        if ended:
            os.kill(pid, signal.SIGKILL)
            return "", ended


def _shared(pid: int) -> int:
    """Bytes of memory that RLIMIT_DATA does not count."""
    with contextlib.suppress(OSError, ValueError, StopIteration), open(f"/proc/{pid}/status") as status:
        return int(next(line for line in status if line.startswith("RssShmem:")).split()[1]) << 10
    return 0


@contextlib.contextmanager
def warm(*imports: str, paths: tuple[str, ...] = ()) -> Iterator[Warm]:
    """A warm process for a while; it finds modules in these paths too."""
    one = Warm(*imports, paths=paths)
    try:
        yield one
    finally:
        one.close()


if __name__ == "__main__":
    serve(sys.argv[1:])
