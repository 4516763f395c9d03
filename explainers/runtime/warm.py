"""The parent's hold of the warm process (zygote.py), and what every child of this package is started with."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import Any

from explainers.runtime import sandbox
from explainers.runtime.process import Forked
from explainers.runtime.scratch import remove
from explainers.runtime.worker import Settings
from explainers.runtime.zygote import LARGEST_ORDER, NUMBER

ROOT = Path(__file__).resolve().parents[2]
LARGEST_LOG = 1 << 20  # bytes; an older log is kept beside it
FORK_LIMIT = 120.0  # seconds for the warm process to import torch and fork
PAUSE = 0.1  # seconds between two looks at whether nobody waits
EXIT_LIMIT = 2.0  # seconds between a worker's end and the warm process's word on it
PASSED = ("CUDA_VISIBLE_DEVICES", "DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", sandbox.WITHOUT)


class Zygote:
    """The parent's hold of a warm process; OSError where it does not do as it should."""

    def __init__(self, journal: Path, folder: Path, quiet: Callable[[], bool] | None) -> None:
        """folder: where its libraries may keep what they like.

        quiet: whether nobody waits, so that it may grow by one more part; None lets it stay small.
        """
        self._folder = folder
        self._numbers = itertools.count(1)
        self._change = threading.Condition()
        self._orders: dict[int, Future[tuple[int, int]]] = {}
        self._codes: dict[int, int | None] = {}  # of its workers: None while they live
        self._dead = False
        self._growing = True  # until it says that it waits
        self.mature = False  # whether the heavy parts are there
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, log(journal) as output:
                self._child = subprocess.Popen(
                    [*python("zygote"), str(theirs.fileno()), str(int(quiet is not None))],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env=environment(str(folder), cores) | SINGLE,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except BaseException:
            self._control.close()
            remove(folder)
            raise
        self._listener = threading.Thread(target=self._listen, name="assay-zygote", daemon=True)
        self._listener.start()
        self._grower = threading.Thread(target=self._grow, args=[quiet], name="assay-grow", daemon=True)
        self._grower.start()

    @property
    def dead(self) -> bool:
        """Whether it is gone; its workers may live on."""
        return self._dead

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._child.pid

    def fork(self, settings: Settings, sock: int, log: int) -> Forked:
        """A worker with these two descriptors."""
        number = next(self._numbers)
        order = NUMBER.pack(number) + json.dumps(dataclasses.asdict(settings)).encode()
        if len(order) > LARGEST_ORDER:
            raise OSError("a model of too many files")
        answer: Future[tuple[int, int]] = Future()
        with self._change:
            if self._dead:
                raise OSError("the warm process is gone")
            self._orders[number] = answer
            socket.send_fds(self._control, [order], [sock, log])
        try:
            pid, handle = answer.result(FORK_LIMIT)
        except Late as error:
            self._kill()  # or it might fork later, for a socket that is another worker's by then
            raise OSError("the warm process does not answer") from error
        finally:
            with self._change:
                self._orders.pop(number, None)
        return Forked(pid, handle, functools.partial(self._code, pid))

    def close(self) -> None:
        """End it, its twin too; workers go by their own sockets."""
        self._kill()
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._listener.join()
        self._grower.join()
        self._control.close()
        remove(self._folder)

    def _kill(self) -> None:
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _code(self, pid: int) -> int | None:
        """How a worker ended, once it has; None if nobody was there to see."""
        with self._change:
            self._change.wait_for(lambda: self._codes.get(pid) is not None or self._dead, EXIT_LIMIT)
            return self._codes.pop(pid, None)

    def _grow(self, quiet: Callable[[], bool] | None) -> None:
        """Let it import one part after another, each while nobody waits."""
        assert self._child.stdin is not None
        with self._child.stdin as word, contextlib.suppress(OSError):
            while quiet is not None and not (self.mature or self._dead):
                if quiet() and not self._growing:
                    self._growing = True
                    os.write(word.fileno(), b".")
                with self._change:
                    self._change.wait(PAUSE)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # reset
            while True:
                text, handles, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
                if not text:
                    break
                self._hear(json.loads(text), handles)
        self._child.wait()  # the socket's end is that of the process
        with self._change:
            self._dead = True
            orders = list(self._orders.values())
            self._change.notify_all()
        for answer in orders:
            if not answer.done():
                answer.set_exception(OSError("the warm process is gone"))

    def _hear(self, message: dict[str, Any], handles: list[int]) -> None:
        match message:
            case {"grown": done}:
                with self._change:
                    self.mature, self._growing = done, False
                    self._change.notify_all()
            case {"order": number, "pid": pid} if handles:
                with self._change:
                    answer = self._orders.pop(number, None)
                    self._codes[pid] = None
                if answer is None:  # nobody waits any more; its socket is closed, and so it ends
                    os.close(handles[0])
                else:
                    answer.set_result((pid, handles[0]))
            case {"order": number, "problem": problem}:
                with self._change:
                    answer = self._orders.pop(number, None)
                if answer is not None:
                    answer.set_exception(OSError(problem))
            case {"exit": pid, "code": code}:
                with self._change:
                    if pid in self._codes:
                        self._codes[pid] = code
                    self._change.notify_all()


# What libraries read when they are loaded: no pool of threads in a process that forks. Workers set torch's own.
SINGLE = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


def environment(folder: str, threads: int) -> dict[str, str]:
    """All that a child's environment has: what the machine needs, how many threads, and a folder for every cache."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    return {
        **sandbox.environment(folder),
        **passed,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),  # installed or not
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "",  # a worker cannot; whoever is not confined may keep what it compiled
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "KERAS_BACKEND": "torch",
        "TRANSFORMERS_OFFLINE": "1",
    }


def python(module: str) -> list[str]:
    """A Python that runs a module of this package, and does not search its current folder."""
    return [sys.executable, "-P", "-X", "faulthandler", "-m", f"explainers.runtime.{module}"]


def log(path: Path) -> Any:
    """A log file, to be appended to."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_suffix(".old"))
    return open(path, "ab")
