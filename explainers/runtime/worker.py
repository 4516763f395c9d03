"""The child: serves one model on a device, and answers over the socket that it inherits.

    python -m explainers.runtime.worker <socket> <settings, JSON>     # or main(), in a fork of the warm process

Messages are tuples (kind, number, body). From the parent: "serve" with the Source, first and whenever its owner says
something else of the same file; requests, which are the
answers of `Served` by name; and without an answer "cancel" and "prepare". From the child: "hello" once; "loaded" when
the model that a request needs is there, "progress" and "partial" while it computes; and for each request one of
"result", "error" (a sentence) and "cancelled". When the parent is gone the socket ends, and the child with it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import json
import os
import queue
import resource
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explainers.runtime import wire
from explainers.runtime.serving import Served, trusted
from explainers.runtime.types import Device, Source
from explainers.types import Attribution, Cancelled
from model_zoo.types import UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run

ANSWERS = ("look", "rows", "sample", "read", "card", "doctor", "explain", "given", "check", "scrutinise")
RUNS = ("explain", "given", "check", "scrutinise")  # those that tell how far they are
IDLE = 0.5  # seconds without a request before a chore is begun
PROGRESS = 0.1  # seconds between two messages
PARTIAL = 0.33
CHORES = ("explainers.explaining", "captum.attr", "lime.lime_base", "shap", "skimage.segmentation")
POISONED = 70  # exit code after an error that leaves the device unusable


@dataclass(frozen=True)
class Settings:
    """What a worker is told when it is started, apart from whom it serves."""

    lane: str
    device: str  # as asked for: "auto", "cuda", "mps", "cpu"
    threads: int
    catalogue: str
    scratch: str  # the folder that it may write
    readable: tuple[str, ...]  # files and folders that it may read, beside the system's libraries
    memory: int  # bytes
    file_size: int  # bytes
    gpu: bool = False  # whether it needs to reach one
    allow_code: bool = False  # whether the operator lets formats that are code be opened


def main(descriptor: int, settings: Settings) -> None:
    """Answer until the parent is gone."""
    os.chdir(settings.scratch)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold people's inputs
    keep_pages()
    sock = socket.socket(fileno=descriptor)
    try:
        barriers = confined(settings)
        kind, _, source = wire.receive(sock)
        if kind != "serve" or not isinstance(source, Source):
            return
        worker = Worker(sock, settings, source, barriers)
        wire.send(sock, ("hello", 0, (worker.device, barriers)))
    except wire.Broken:
        return
    except Exception as error:
        wire.send(sock, ("error", 0, sentence(error)))
        return
    worker.serve()


def confined(settings: Settings) -> tuple[str, ...]:
    """Give up, for good, what a model does not need; what holds from now on."""
    from explainers.runtime import sandbox

    return sandbox.confine(
        sandbox.Confinement(
            scratch=settings.scratch,
            readable=tuple(settings.readable),
            memory=settings.memory,
            file_size=settings.file_size,
            gpu=settings.gpu,
        )
    )


def keep_pages() -> None:
    """Keep freed memory instead of giving it back after every large tensor, which costs a page fault a page."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc
    if mallopt is not None:
        m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_top_pad, 256 << 20)


class Worker:
    """A served model on a device, and the loop that answers."""

    def __init__(self, sock: socket.socket, settings: Settings, source: Source, barriers: tuple[str, ...]) -> None:
        import torch  # here, so that a worker that was not forked is confined first

        torch.set_num_threads(settings.threads)
        self._sock = sock
        self._inbox: queue.SimpleQueue[tuple[str, int, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        chores = CHORES if settings.lane == "run" else ()
        self._chores: list[Callable[[], Any]] = [functools.partial(importlib.import_module, one) for one in chores]
        self.device = choose(settings.device, settings.threads)
        trust = trusted(barriers, settings.allow_code) if source.path else ()
        self._served = Served(source, self.device.id, settings.catalogue, trust)

    def serve(self) -> None:
        """Answer requests one at a time, and do chores while there are none."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            try:
                kind, number, body = self._inbox.get(timeout=IDLE if self._chores else None)
            except queue.Empty:
                self._chore()
                continue
            if kind == "serve":
                self._served.serve(body)
            elif kind == "prepare":
                self._chores.insert(0, self._served.model)
            else:
                self._answer(kind, number, body)

    def _listen(self) -> None:
        try:
            while True:
                kind, number, body = wire.receive(self._sock)
                if kind == "cancel":
                    self._cancelled.add(number)
                else:
                    self._inbox.put((kind, number, body))
        except wire.Broken:
            os._exit(0)  # nobody is left to tell, even in the middle of a batch

    def _chore(self) -> None:
        try:
            self._chores.pop(0)()
        except BaseException:
            traceback.print_exc()  # whoever asks for it will be told

    def _answer(self, kind: str, number: int, body: Any) -> None:
        """One request, to its end; nothing that a model raises goes further, not even what is no Exception."""
        try:
            if number in self._cancelled:
                raise Cancelled
            if kind not in ANSWERS:
                raise UserError(f"A worker answers {', '.join(ANSWERS)}; {kind!r} came.")
            self._served.loaded = lambda: self._say("loaded", number, None)
            more = {"run": self._run(number)} if kind in RUNS else {}
            self._end("result", number, getattr(self._served, kind)(*body, **more))
        except Cancelled:
            self._end("cancelled", number, None)
        except BaseException as error:  # the panic of a Rust extension and SystemExit are not Exceptions
            self._end("error", number, sentence(error))
            if self.device.id == "cuda" and "CUDA error" in str(error):
                os._exit(POISONED)

    def _end(self, kind: str, number: int, body: Any) -> None:
        """The last word on a request. Cancels so far were of it or came late; those from now on may be of the next."""
        self._cancelled.clear()
        self._served.loaded = lambda: None
        self._say(kind, number, body)

    def _say(self, kind: str, number: int, body: Any) -> None:
        try:
            wire.send(self._sock, (kind, number, body))
        except wire.Broken:
            os._exit(0)

    def _run(self, number: int) -> Run:
        """What carries progress and partial results to the parent, and its cancel to the method."""
        from explainers.engine.run import Run

        progress, partial = Pace(PROGRESS), Pace(PARTIAL)

        def on_progress(done: int, total: int) -> None:
            if progress.due() or done == total:
                self._say("progress", number, (done, total))

        def on_partial(found: Attribution) -> None:
            if partial.due():
                self._say("partial", number, run.outline(found))

        run = Run(0, on_progress, on_partial, stop=lambda: number in self._cancelled)
        return run


class Pace:
    """Says when the next message is due: at most one in `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = float("-inf")

    def due(self) -> bool:
        """Whether enough time has passed; the clock starts again if so."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


def choose(device: str, threads: int) -> Device:
    """The device asked for, or with "auto" the best there is; UserError if this machine has it not."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    id = next(one for one in there if there[one]) if device == "auto" else device
    if id not in there:
        raise UserError(f"device is one of auto, {', '.join(there)}; {device!r} came.")
    if not there[id]:
        raise UserError(f"This machine has no {id.upper()} device that torch can use; choose auto or cpu.")
    if id == "cuda":
        return Device(id, torch.cuda.get_device_name())
    return Device(id, "Apple GPU" if id == "mps" else f"CPU, {threads} thread{'s' if threads > 1 else ''}")


def sentence(error: BaseException) -> str:
    """What to tell the person; what was not foreseen goes to the log with its traceback."""
    if isinstance(error, UserError):
        return str(error)
    traceback.print_exception(error)
    full = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if full or "DefaultCPUAllocator" in str(error):
        return "The device ran out of memory. Use a smaller input, close other programs, or choose another device."
    kind = type(error).__name__
    where = "the workers' logs, in the folder logs of the workspace, have the details"
    return f"Computing this failed with an unexpected {kind}; {where}."


if __name__ == "__main__":
    main(int(sys.argv[1]), Settings(**json.loads(sys.argv[2])))
