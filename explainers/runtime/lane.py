"""A lane: one worker, and the queue of those who ask it; first come first served, in turns among owners."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from explainers.runtime.process import Died, Process
from explainers.types import Cancelled
from model_zoo.types import UserError

GRACE = 5.0  # seconds between asking a worker to stop and killing it
_numbers = itertools.count(1)


@dataclass(eq=False)
class Task:
    """One request in a lane; `future` gets the result, UserError, Died or Cancelled."""

    kind: str
    body: Any
    owner: str = ""
    on_start: Callable[[], bool] = lambda: True  # False: not wanted any more
    on_news: Callable[[str, Any], None] = lambda kind, body: None
    number: int = field(default_factory=lambda: next(_numbers))
    future: Future[Any] = field(default_factory=Future)
    cancelled: bool = False


class Lane:
    """Serves tasks one at a time on a thread of its own; a worker that died is replaced for the next task."""

    def __init__(self, name: str, start: Callable[[], Process]) -> None:
        self._start = start
        self._change = threading.Condition()
        self._waiting: list[Task] = []
        self._turns = itertools.count(1)
        self._served: dict[str, int] = {}  # owner -> the last turn; the number of a task says only when it was asked
        self._current: Task | None = None
        self._process: Process | None = None
        self._ready = False
        self._warm = False
        self._prepared: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name=f"assay-{name}", daemon=True)
        self._thread.start()

    # -- asked from any thread ---------------------------------------------------------------------------------------

    def submit(self, task: Task) -> Task:
        """Queue a task."""
        with self._change:
            if self._closing:
                raise UserError("Assay is closing; start it again.")
            self._waiting.append(task)
            self._change.notify_all()
        return task

    def warm(self) -> None:
        """Start the worker now rather than at the first request."""
        with self._change:
            self._warm = True
            self._change.notify_all()

    def prepare(self, model: str) -> None:
        """Let the worker load a model while it has nothing else to do."""
        with self._change:
            if self._prepared == model:
                return
            self._prepared = model
            process = self._process if self._ready else None
        if process is not None:
            process.hint("prepare", 0, model)

    def cancel(self, task: Task) -> None:
        """Ask a task to stop; after GRACE its worker is killed."""
        with self._change:
            task.cancelled = True
            waited = task in self._waiting
            if waited:
                self._waiting.remove(task)
            process = self._process if task is self._current else None
        if waited:
            task.future.set_exception(Cancelled())  # outside the lock, since it calls back
        elif process is not None:
            timer = threading.Timer(GRACE, self._enforce, [task, process])
            timer.daemon = True
            timer.start()
            task.future.add_done_callback(lambda _: timer.cancel())
            process.hint("cancel", task.number, None)

    def device(self) -> Any:
        """The worker's device, or None until it has said."""
        with self._change:
            return self._process.device if self._process is not None and self._ready else None

    def pid(self) -> int | None:
        """The worker's process, if there is one."""
        with self._change:
            return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the worker and the thread; tasks that wait are cancelled."""
        with self._change:
            self._closing = True
            left, self._waiting = self._waiting, []
            if self._process is not None:
                self._process.kill()
            self._change.notify_all()
        for task in left:
            task.future.set_exception(Cancelled())
        self._thread.join()

    def _enforce(self, task: Task, process: Process) -> None:
        with self._change:
            if self._current is task and self._process is process:
                process.kill()

    # -- on the lane's thread ----------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closing or self._waiting or self._warm)
                if self._closing:
                    break
                self._warm = False
                self._current = task = self._next()
            try:
                result, error = self._serve(task), None
            except BaseException as raised:
                result, error = None, raised
            with self._change:
                self._current = None
            if task is not None:
                if error is None:
                    task.future.set_result(result)
                else:
                    task.future.set_exception(error)
        self._drop()

    def _next(self) -> Task | None:
        """The oldest task of the owner whose turn is longest ago."""
        if not self._waiting:
            return None
        task = min(self._waiting, key=lambda one: (self._served.get(one.owner, 0), one.number))
        self._waiting.remove(task)
        waiting = {one.owner for one in self._waiting} | {task.owner}
        self._served = {owner: last for owner, last in self._served.items() if owner in waiting}
        self._served[task.owner] = next(self._turns)
        return task

    def _serve(self, task: Task | None) -> Any:
        if task is not None and not task.on_start():
            raise Cancelled
        try:
            process = self._worker()
            if task is None:
                return None
            if task.cancelled:
                raise Cancelled
            process.send(task.kind, task.number, task.body)
            while True:
                kind, number, body = process.receive()
                if number != task.number:
                    continue  # about a task that was given up
                if kind == "result":
                    return body
                if kind == "error":
                    raise UserError(str(body))
                if kind == "cancelled":
                    raise Cancelled
                task.on_news(kind, body)
        except Died as error:
            self._drop()
            if task is not None and task.cancelled:
                raise Cancelled from error
            raise

    def _worker(self) -> Process:
        """The worker, ready; a new one if there is none or it died."""
        if self._process is not None and self._process.alive:
            return self._process
        self._drop()
        process = self._start()
        with self._change:
            self._process = process
            if self._closing:
                process.kill()
        try:
            process.greet()
        except UserError:
            self._drop()
            raise
        with self._change:
            self._ready = True
            prepared = self._prepared
        if prepared is not None:
            process.hint("prepare", 0, prepared)
        return process

    def _drop(self) -> None:
        with self._change:
            process, self._process, self._ready = self._process, None, False
        if process is not None:
            process.close()
