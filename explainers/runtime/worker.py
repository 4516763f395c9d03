"""The child: owns loaded models and their device, and answers over the socket that it inherits.

    python -m explainers.runtime.worker <socket> <lane> <device> <threads> <catalogue>

Messages are tuples (kind, number, body). From the parent: "look", "rows", "explain", and without an answer "cancel"
and "prepare". From the child: "hello" once, "progress" and "partial" while it computes, and for each request one of
"result", "error" (a sentence) and "cancelled". When the parent is gone the socket ends, and the child with it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import queue
import resource
import socket
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from explainers.runtime import wire
from explainers.runtime.types import Device, Look, Request
from explainers.types import Attribution, Cancelled
from model_zoo.types import UserError

if TYPE_CHECKING:
    from explainers.types import Explanation
    from model_zoo.model import Model

MODELS = 3  # kept loaded
IDLE = 0.5  # seconds without a request before a chore is begun
PROGRESS = 0.1  # seconds between two messages
PARTIAL = 0.33
CHORES = ("explainers.explaining", "captum.attr", "lime.lime_base", "shap", "skimage.segmentation")
POISONED = 70  # exit code after an error that leaves the device unusable


def main(descriptor: int, lane: str, device: str, threads: int, catalogue: str) -> None:
    """Answer until the parent is gone."""
    keep_pages()
    confine()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    sock = socket.socket(fileno=descriptor)
    try:
        worker = Worker(sock, device, threads, catalogue, chores=CHORES if lane == "run" else ())
        wire.send(sock, ("hello", 0, worker.device))
    except wire.Broken:
        return
    except Exception as error:
        wire.send(sock, ("error", 0, sentence(error)))
        return
    worker.serve()


def confine() -> None:
    """Give up what computing does not need, before anything is loaded; the sandbox is one more step here."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold people's inputs


def keep_pages() -> None:
    """Keep freed memory instead of giving it back after every large tensor, which costs a page fault a page."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc
    if mallopt is not None:
        m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_top_pad, 256 << 20)


class Worker:
    """Models on a device, and the loop that answers."""

    def __init__(self, sock: socket.socket, device: str, threads: int, catalogue: str, chores: tuple[str, ...]) -> None:
        import torch  # here, so that confine() has run

        torch.set_num_threads(threads)
        self._sock = sock
        self._catalogue = importlib.import_module(catalogue)
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._inbox: queue.SimpleQueue[tuple[str, int, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._chores: list[Callable[[], Any]] = [functools.partial(importlib.import_module, one) for one in chores]
        self.device = choose(device, threads)

    def serve(self) -> None:
        """Answer requests one at a time, and do chores while there are none."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            try:
                kind, number, body = self._inbox.get(timeout=IDLE if self._chores else None)
            except queue.Empty:
                self._chore()
                continue
            if kind == "prepare":
                self._chores.insert(0, functools.partial(self._model, body))
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
        except Exception:
            traceback.print_exc()  # whoever asks for it will be told

    def _answer(self, kind: str, number: int, body: Any) -> None:
        answers: dict[str, Callable[..., Any]] = {"look": self._look, "rows": self._rows, "explain": self._explain}
        try:
            if number in self._cancelled:
                raise Cancelled
            self._end("result", number, answers[kind](number, *body))
        except Cancelled:
            self._end("cancelled", number, None)
        except Exception as error:
            self._end("error", number, sentence(error))
            if self.device.id == "cuda" and "CUDA error" in str(error):
                os._exit(POISONED)

    def _end(self, kind: str, number: int, body: Any) -> None:
        """The last word on a request. Cancels so far were of it or came late; those from now on may be of the next."""
        self._cancelled.clear()
        self._say(kind, number, body)

    def _say(self, kind: str, number: int, body: Any) -> None:
        try:
            wire.send(self._sock, (kind, number, body))
        except wire.Broken:
            os._exit(0)

    # -- answers -----------------------------------------------------------------------------------------------------

    def _look(
        self,
        number: int,
        id: str,
        data: bytes,
        name: str,
        players: str | None,
        baseline: str | None,
        options: dict[str, Any],
    ) -> Look:
        model = self._model(id)
        sample = model.sample(data, name)
        if baseline is not None:
            model.input.reference(sample, baseline)  # says what is wrong with it
        return Look(
            card=model.card,
            sample=sample,
            prediction=model.predict(sample),
            players=None if players is None else model.input.players(sample, players, **options),
            baselines=model.input.baselines,
            player_kinds=model.input.player_kinds,
        )

    def _rows(self, number: int, id: str, data: bytes, name: str) -> tuple[dict[str, Any], ...]:
        model = self._model(id)
        reader = getattr(model.input, "rows", None)
        if reader is None:
            raise UserError(
                f"{name} has rows for a model of tables; {model.card.title} takes {model.card.modality} input."
            )
        return tuple(reader(data, name))

    def _explain(self, number: int, request: Request, data: bytes, name: str) -> Explanation:
        from explainers.engine.run import Run
        from explainers.explaining import explain

        progress, partial = Pace(PROGRESS), Pace(PARTIAL)

        def on_progress(done: int, total: int) -> None:
            if progress.due() or done == total:
                self._say("progress", number, (done, total))

        def on_partial(found: Attribution) -> None:
            if partial.due():
                self._say("partial", number, run.outline(found))

        run = Run(request.seed, on_progress, on_partial, stop=lambda: number in self._cancelled)
        model = self._model(request.model)
        return explain(
            model,
            model.sample(data, name),
            request.method,
            target=request.target,
            output=request.output,
            baseline=request.baseline,
            players=request.players,
            seed=request.seed,
            run=run,
            **request.parameters,
        )

    def _model(self, id: str) -> Model:
        if id not in self._models:
            while len(self._models) >= MODELS:
                self._models.popitem(last=False)
            self._models[id] = self._catalogue.load(id, self.device.id)
        self._models.move_to_end(id)
        return self._models[id]


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


def sentence(error: Exception) -> str:
    """What to tell the person; what was not foreseen goes to the log with its traceback."""
    if isinstance(error, UserError):
        return str(error)
    traceback.print_exception(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "The device ran out of memory. Use a smaller input, close other programs, or choose another device."
    kind = type(error).__name__
    return f"Computing this failed with an unexpected {kind}; the worker's log in the workspace has the details."


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
