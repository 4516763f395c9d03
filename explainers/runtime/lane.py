"""A lane: a queue of those who ask, and a few workers, of which one computes at a time.

First come first served, in turns among owners. Each worker serves one model, whatever its owner says of it; the lane
keeps those that it used last, and ends the one that was idle longest where another is needed.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from explainers.consistency import modest
from explainers.diagnosis import Diagnosis
from explainers.runtime import watch
from explainers.runtime.process import Died, Process
from explainers.runtime.types import Look, Source
from explainers.types import Cancelled, Explanation
from model_zoo.files import Reading
from model_zoo.types import ModelCard, UserError

GRACE = 5.0  # seconds between asking a worker to stop and killing it
KEPT = 3  # workers of a lane
ANSWERS: dict[str, type] = {
    "look": Look,
    "rows": tuple,
    "sample": Look,
    "read": Reading,
    "card": ModelCard,
    "doctor": Diagnosis,
    "explain": Explanation,
    "given": Explanation,
    "check": tuple,
    "scrutinise": Explanation,
}
_numbers = itertools.count(1)


@dataclass(eq=False)
class Task:
    """One request in a lane; `future` gets the result, UserError, Died or Cancelled."""

    kind: str
    body: Any
    source: Source | None = None  # whom it asks; at the latest on_start() says
    owner: str = ""
    on_start: Callable[[], bool] = lambda: True  # False: not wanted any more
    on_news: Callable[[str, Any], None] = lambda kind, body: None
    number: int = field(default_factory=lambda: next(_numbers))
    future: Future[Any] = field(default_factory=Future)
    cancelled: bool = False


class Lane:
    """Serves tasks one at a time on a thread of its own; a worker that died is replaced when it is needed."""

    def __init__(
        self,
        name: str,
        start: Callable[[Source], Process],
        stale: Callable[[Process], bool] = lambda process: False,
        kept: int = KEPT,
    ) -> None:
        """start: a new worker for a source; stale: whether an idle one had better be replaced; kept: how many."""
        self._start = start
        self._stale = stale
        self._kept = kept
        self._change = threading.Condition()
        self._waiting: list[Task] = []
        self._turns = itertools.count(1)
        self._served: dict[str, int] = {}  # owner -> the last turn; the number of a task says only when it was asked
        self._current: Task | None = None
        self._pool: list[Process] = []  # the one that was used last is the last; those that were greeted, and a new one
        self._coming: Process | None = None  # the one that has still to say that it is ready
        self._busy: Process | None = None  # the one that computes the current task
        self._device: Any = None
        self._prepared: Source | None = None
        self._wanted: Source | None = None  # to be prepared as soon as nobody waits
        self._forgotten: set[str] = set()
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

    def prepare(self, source: Source) -> None:
        """Have a worker load a model while there is nothing else to do."""
        with self._change:
            if self._prepared != source:
                self._prepared = self._wanted = source
                self._change.notify_all()

    def cancel(self, task: Task) -> None:
        """Ask a task to stop; after GRACE its worker is killed, also one that does not come up."""
        with self._change:
            task.cancelled = True
            waited = task in self._waiting
            if waited:
                self._waiting.remove(task)
            current = task is self._current
            process = self._busy if current else None
        if waited:
            task.future.set_exception(Cancelled())  # outside the lock, since it calls back
        elif current:
            timer = threading.Timer(GRACE, self._enforce, [task])
            timer.daemon = True
            timer.start()
            task.future.add_done_callback(lambda _: timer.cancel())
            if process is not None:
                process.hint("cancel", task.number, None)

    def forget(self, source: str) -> None:
        """End the workers of a source, by its id, since it was removed; what was asked of it is cancelled."""

        def of_it(one: Process | Task | None) -> bool:
            return one is not None and one.source is not None and one.source.id == source

        with self._change:
            self._forgotten.add(source)
            if self._prepared is not None and self._prepared.id == source:
                self._prepared = self._wanted = None
            left = [one for one in self._waiting if of_it(one)]
            self._waiting = [one for one in self._waiting if one not in left]
            if self._current is not None and of_it(self._current):
                self._current.cancelled = True
            for one in filter(of_it, self._pool):
                one.kill()
            self._change.notify_all()
        for task in left:
            task.future.set_exception(Cancelled())

    def device(self) -> Any:
        """Where workers compute, or None until one has said."""
        return self._device

    def pid(self) -> int | None:
        """The worker that was used last, if there is one."""
        with self._change:
            return self._pool[-1].pid if self._pool else None

    def pids(self) -> tuple[int, ...]:
        """All workers."""
        with self._change:
            return tuple(one.pid for one in self._pool)

    def close(self) -> None:
        """End the workers and the thread; tasks that wait are cancelled."""
        with self._change:
            self._closing = True
            left, self._waiting = self._waiting, []
            for one in self._pool:
                one.kill()
            self._change.notify_all()
        for task in left:
            task.future.set_exception(Cancelled())
        self._thread.join()

    def _enforce(self, task: Task) -> None:
        with self._change:
            process = self._busy or self._coming
            if self._current is task and process is not None:
                process.kill()

    # -- on the lane's thread ----------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closing or self._waiting or self._wanted or self._forgotten)
                if self._closing:
                    break
                forgotten, self._forgotten = self._forgotten, set()
                gone = [one for one in self._pool if one.source.id in forgotten]
                self._current = task = self._next()
                wanted = None
                if task is None:
                    wanted, self._wanted = self._wanted, None
            for one in gone:
                self._drop(one)
            if task is None:
                if wanted is not None:
                    self._ready(wanted)
                continue
            try:
                result, error = self._serve(task), None
            except BaseException as raised:
                result, error = None, raised
            with self._change:
                self._current = self._busy = None
            if error is None:
                task.future.set_result(result)
            else:
                task.future.set_exception(error)
        while self._pool:
            self._drop(self._pool[-1])

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

    def _serve(self, task: Task) -> Any:
        if not task.on_start():
            raise Cancelled
        if task.source is None:
            raise UserError("A request names the model that it asks.")
        try:
            process = self._worker(task.source)
        except Died as error:
            if task.cancelled:
                raise Cancelled from error
            raise
        with self._change:
            self._busy = process
            if task.cancelled:
                raise Cancelled
        try:
            return self._answer(process, task)
        except Died as error:
            self._drop(process)
            if task.cancelled:
                raise Cancelled from error
            raise
        finally:
            process.rest()

    def _answer(self, process: Process, task: Task) -> Any:
        process.begin(watch.opening(process.source))
        process.send(task.kind, task.number, task.body)
        loaded = False
        while True:
            kind, number, body = process.receive()
            if number != task.number:
                continue  # about a task that was given up
            if kind == "result":
                if not isinstance(body, ANSWERS.get(task.kind, object)):
                    raise process.liar(f"it sent a {type(body).__name__} when asked to {task.kind}")
                if not (isinstance(body, (tuple, Explanation)) or modest(body)):
                    raise process.liar("it said more of its model than a screen can hold")
                return body
            if kind == "error":
                raise process.complaint(body)
            if kind == "cancelled":
                raise Cancelled
            if kind == "loaded":
                if not loaded:
                    loaded = True
                    process.begin(watch.computing(task.kind, process.source, lambda: self._awaited(task)))
            else:
                task.on_news(kind, body)

    def _awaited(self, task: Task) -> bool:
        """Whether somebody else waits for a task to end; asked from any thread."""
        return any(one.owner != task.owner for one in tuple(self._waiting))

    def _ready(self, source: Source) -> None:
        """A worker of this source, that loads its model; if there is none, whoever asks next is told why."""
        with contextlib.suppress(Exception):
            self._worker(source).hint("prepare", 0, None)

    def _worker(self, source: Source) -> Process:
        """The worker of a source, ready; a new one if there is none, if it died, or if a new one is better."""
        with self._change:
            found = next((one for one in self._pool if one.source.same(source)), None)
        if found is not None:
            if found.alive and not self._stale(found):
                with self._change:
                    self._pool.remove(found)
                    self._pool.append(found)
                found.serve(source)
                return found
            self._drop(found)
        while len(self._pool) >= self._kept:
            self._drop(self._pool[0])
        process = self._start(source)
        with self._change:
            self._pool.append(process)
            self._coming = process
            if self._closing or (self._current is not None and self._current.cancelled):
                process.kill()
        try:
            self._device = process.greet()
        except (Died, UserError):
            self._drop(process)
            raise
        finally:
            with self._change:
                self._coming = None
        return process

    def _drop(self, process: Process) -> None:
        with self._change:
            if process in self._pool:
                self._pool.remove(process)
        process.close()
