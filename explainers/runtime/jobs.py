"""A job's life: queued, under way, ended.

Jobs that are not done live in memory, where their progress rises, and in the store, which notes their beginning and
their end; the lane calls back on its own thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from explainers import record
from explainers.consistency import consistent
from explainers.runtime.lane import Lane, Task
from explainers.runtime.process import Died
from explainers.runtime.recent import Recent
from explainers.runtime.store import Store
from explainers.runtime.types import Job, Source
from explainers.types import Cancelled, Explanation
from model_zoo.types import UserError

WAITING = 50  # jobs of one owner in the queue
PARTIALS = 16  # kept in memory
AGAIN = "Nothing else was lost: run it again."


class Jobs:
    """The jobs of this process, from the store to its lane and back; thread-safe."""

    def __init__(self, store: Store, lane: Lane, source: Callable[[str, str | None], Source]) -> None:
        """source: where a model is, for its id and the owner of the job; UserError if it is gone."""
        self._store = store
        self._lane = lane
        self._source = source
        self._lock = threading.RLock()
        self._live: dict[str, Job] = {}
        self._tasks: dict[str, Task] = {}
        self._began: dict[str, float] = {}
        self._partials: Recent[str, Explanation] = Recent(PARTIALS)

    # -- asked from any thread ---------------------------------------------------------------------------------------

    def add(self, job: Job) -> None:
        """Keep a new job and queue it; UserError if its owner has too many."""
        with self._lock:
            if sum(one.owner == job.owner for one in self._live.values()) >= WAITING:
                raise UserError(
                    f"{WAITING} of your runs are waiting already; cancel some, or come back when they are done."
                )
            self._store.add(job)
            self._enqueue(job)

    def resume(self) -> None:
        """Queue what a dead process left behind."""
        for job in self._store.recover():
            self._enqueue(job)

    def find(self, id: str) -> Job | None:
        """A job and how far it is."""
        with self._lock:
            return self._live.get(id) or self._store.job(id)

    def list(self, owners: tuple[str, ...] | None, limit: int | None, group: str | None) -> tuple[Job, ...]:
        """Jobs as the store lists them, and how far they are."""
        with self._lock:  # what ends is noted in the store before it leaves memory
            return tuple(self._live.get(job.id, job) for job in self._store.jobs(owners, limit, group))

    def partial(self, id: str) -> Explanation | None:
        """What is known so far of a job that is under way, or was stopped."""
        return self._partials.get(id)

    def cancel(self, id: str) -> bool:
        """Ask a job to stop; False if it is not one of this process, or has ended."""
        with self._lock:
            task = self._tasks.get(id)
        if task is not None:
            self._lane.cancel(task)
        return task is not None

    def stop(self, model: str) -> None:
        """Cancel all jobs of a model."""
        with self._lock:
            found = [id for id, job in self._live.items() if job.request.model == model]
        for id in found:
            self.cancel(id)

    def forget(self, id: str) -> None:
        """Stop a job if need be; nothing is noted of it any more."""
        with self._lock:
            self._live.pop(id, None)
        self._partials.drop(lambda key: key == id)
        self.cancel(id)

    def leave(self) -> None:
        """Whatever ends from now on is an interruption, not the job's own end, unless somebody asked it to stop."""
        with self._lock:
            self._tasks = {id: task for id, task in self._tasks.items() if task.cancelled}

    # -- from the queue to the end -----------------------------------------------------------------------------------

    def _enqueue(self, job: Job) -> None:
        def on_start() -> bool:
            self._began[job.id] = time.monotonic()
            started = self._advance(job.id, status="running")
            if started is None or not self._store.start(started):
                return False
            task.source = self._source(job.request.model, job.owner)
            task.body = (job.request, *self._store.read(job.request.input, job.owner))
            if job.request.of:
                task.kind, task.body = "scrutinise", (None, "", self._base(job), job.request.evidence, {})
            return True

        task = Task(
            "explain", None, None, job.owner, on_start, on_news=lambda kind, body: self._news(job.id, kind, body)
        )
        with self._lock:
            self._live[job.id] = job
            self._tasks[job.id] = task
        task.future.add_done_callback(lambda future: self._ended(job.id, future))
        self._lane.submit(task)

    def _base(self, job: Job) -> Explanation:
        """The explanation of another job, which gets more evidence."""
        other = self._store.job(job.request.of)
        if other is None or not other.result:
            raise UserError("The explanation that was to be tested is no longer in the workspace; run it again.")
        return record.open_record(self._store.path(other.result)).only

    def _advance(self, id: str, **change: Any) -> Job | None:
        """The job with a change and a higher version; None if it was deleted meanwhile."""
        with self._lock:
            job = self._live.get(id)
            if job is not None:
                began = self._began.get(id)
                seconds = 0.0 if began is None else time.monotonic() - began
                job = self._live[id] = replace(job, version=job.version + 1, seconds=seconds, **change)
            return job

    def _news(self, id: str, kind: str, body: Any) -> None:
        if kind == "progress":
            match body:
                case (int(done), int(total)) if 0 <= done <= total:
                    self._advance(id, done=done, total=total)
        elif kind == "partial" and consistent(body):
            self._partials.put(id, body)
            self._advance(id)

    def _ended(self, id: str, future: Future[Any]) -> None:
        """On the lane's thread: note how a job ended; a runtime that is closing leaves it for the next server."""
        with self._lock:
            known = self._tasks.pop(id, None) is not None
            job = self._advance(id)
            self._began.pop(id, None)
        if not known or job is None:
            return
        try:
            ended, packed = self._judged(job, future.exception(), future)
            self._store.finish(ended, packed)
            if ended.status == "done":
                self._partials.drop(lambda key: key == id)
        except Exception as error:  # a full disk: the sentence is kept in memory if not in the store
            lost = f"The result could not be kept ({type(error).__name__}). {AGAIN}"
            says = str(error) if isinstance(error, UserError) else lost
            with self._lock:
                self._live[id] = replace(job, status="failed", message=says)
            return
        with self._lock:
            self._live.pop(id, None)

    def _judged(self, job: Job, error: BaseException | None, future: Future[Any]) -> tuple[Job, bytes]:
        match error:
            case None if consistent(future.result()):
                return replace(job, status="done", done=job.total), record.dump((future.result(),))
            case None:
                return replace(job, status="failed", message=f"The worker sent no explanation. {AGAIN}"), b""
            case Cancelled():
                return replace(job, status="cancelled", message="This run was cancelled."), b""
            case Died():
                return replace(
                    job, status="failed", message=f"The worker stopped while computing ({error}). {AGAIN}"
                ), b""
            case UserError():
                return replace(job, status="failed", message=str(error)), b""
        return replace(job, status="failed", message=f"This run failed ({type(error).__name__}). {AGAIN}"), b""
