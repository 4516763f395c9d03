"""Runtime: what the app and the command line hold; see this package's docstring for the whole of it."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import secrets
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from explainers import record, registry
from explainers.runtime.lane import Lane, Task
from explainers.runtime.process import Died, Process
from explainers.runtime.store import Store, default_workspace
from explainers.runtime.types import Device, Job, Look, Request
from explainers.types import Cancelled, Explanation, validate
from model_zoo.types import ModelCard, UserError

LOOK_LIMIT = 120.0  # seconds for a preview
WAITING = 50  # jobs of one owner in the queue
LOOKS, PARTIALS, RESULTS = 64, 16, 64  # kept in memory
AGAIN = "Nothing else was lost: run it again."
T = TypeVar("T")


class Runtime:
    """Two lanes of workers over one workspace; thread-safe. Start one for a process and share it.

    workspace: a folder; None is ASSAY_WORKSPACE, else the platform's place for a person's data.
    device: "auto", "cuda", "mps" or "cpu"; None is ASSAY_DEVICE, else "auto".
    server: start both workers at once, and take over the jobs that a dead process left in the workspace.
    catalogue: the module that has cards() and load(id, device).
    """

    def __init__(
        self,
        workspace: str | Path | None = None,
        device: str | None = None,
        *,
        server: bool = True,
        catalogue: str = "model_zoo.catalogue",
    ) -> None:
        self.workspace = Path(workspace).expanduser() if workspace else default_workspace()
        self._device = device or os.environ.get("ASSAY_DEVICE") or "auto"
        self._catalogue = catalogue
        self._store = Store(self.workspace)
        self._lock = threading.RLock()
        self._live: dict[str, Job] = {}
        self._tasks: dict[str, Task] = {}
        self._began: dict[str, float] = {}
        self._looking: dict[Any, Task] = {}
        self._looks: OrderedDict[Any, Look] = OrderedDict()
        self._partials: OrderedDict[str, Explanation] = OrderedDict()
        self._results: OrderedDict[str, Explanation] = OrderedDict()
        cores = available_cores()
        self._look = Lane("look", lambda: self._process("look", min(2, cores)))
        self._run = Lane("run", lambda: self._process("run", cores))
        if server:
            self.warm()
            for job in self._store.recover():
                self._enqueue(job)

    # -- models and devices ------------------------------------------------------------------------------------------

    def cards(self) -> tuple[ModelCard, ...]:
        """The cards of all models, without loading any."""
        return importlib.import_module(self._catalogue).cards()

    def card(self, model: str) -> ModelCard:
        """The card of one model; UserError lists what there is."""
        known = {card.id: card for card in self.cards()}
        if model not in known:
            raise UserError(f"There is no model {model!r}; expected one of: {', '.join(known)}.")
        return known[model]

    def device(self) -> Device | None:
        """Where jobs are computed; None until a worker has said."""
        return self._run.device() or self._look.device()

    def warm(self) -> None:
        """Start both workers in the background."""
        self._look.warm()
        self._run.warm()

    # -- inputs ------------------------------------------------------------------------------------------------------

    def put(self, data: bytes, name: str) -> str:
        """Keep the bytes of an input and return the digest by which everything else calls it; cheap if it is there."""
        return self._store.put(data, name)

    def read(self, digest: str) -> tuple[bytes, str]:
        """Bytes and name of an input; UserError if the workspace has it no more."""
        return self._store.read(digest)

    def name(self, digest: str) -> str:
        """Name of an input, without reading it; UserError if the workspace has it no more."""
        return self._store.name(digest)

    def rows(self, model: str, digest: str) -> tuple[dict[str, Any], ...]:
        """The rows of a CSV, as a model of tables takes them."""
        return self._ask("rows", (self.card(model).id, *self._store.read(digest)), (model, digest, "rows"))

    def look(
        self, model: str, digest: str, players: str | None = None, baseline: str | None = None, **options: Any
    ) -> Look:
        """What a model sees in an input and says of it, with previewed players of a kind if asked for.

        options: how the players are divided, such as segments=80. UserError if the input does not fit.
        """
        key = (model, digest, players, baseline, json.dumps(options, sort_keys=True))
        with self._lock:
            if key in self._looks:
                self._looks.move_to_end(key)
                return self._looks[key]
        data, name = self._store.read(digest)
        self._run.prepare(self.card(model).id)
        found = self._ask("look", (model, data, name, players, baseline, options), key)
        if not isinstance(found, Look):
            raise UserError(f"The worker sent something else than a look. {AGAIN}")
        with self._lock:
            _remember(self._looks, key, found, LOOKS)
        return found

    # -- jobs --------------------------------------------------------------------------------------------------------

    def submit(self, request: Request, owner: str) -> str:
        """Queue an explanation and return the job's id; UserError if the request cannot be."""
        card = self.card(request.model)
        method = registry.method(request.method)
        reason = method.why_not(card)
        if reason:
            raise UserError(reason)
        validate(method.params, request.parameters)
        name = self._store.name(request.input)
        with self._lock:
            if sum(job.owner == owner for job in self._live.values()) >= WAITING:
                raise UserError(
                    f"{WAITING} of your runs are waiting already; cancel some, or come back when they are done."
                )
            job = Job(
                id=secrets.token_hex(8),
                request=request,
                owner=owner,
                status="queued",
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                title=f"{method.title} on {card.title}, {name}",
            )
            self._store.add(job)
            self._enqueue(job)
        return job.id

    def job(self, id: str) -> Job:
        """A job and how far it is; UserError if there is none."""
        with self._lock:
            found = self._live.get(id) or self._store.job(id)
        if found is None:
            raise UserError("This run is no longer in the workspace; it was deleted, or belongs to another one.")
        return found

    def jobs(self, owner: str | None) -> tuple[Job, ...]:
        """The jobs of an owner, or of everybody, newest first."""
        with self._lock:
            return tuple(self._live.get(job.id, job) for job in self._store.jobs(owner))

    def partial(self, id: str) -> Explanation | None:
        """What is known so far of a job that is under way, or was stopped."""
        with self._lock:
            return self._partials.get(id)

    def result(self, id: str) -> Explanation:
        """The explanation of a job that is done; UserError says why there is none."""
        path = self.record(id)
        with self._lock:
            if path.name in self._results:
                self._results.move_to_end(path.name)
                return self._results[path.name]
        found = record.open_record(path).only
        with self._lock:
            _remember(self._results, path.name, found, RESULTS)
        return found

    def record(self, id: str) -> Path:
        """The file with the record of a job that is done; UserError says why there is none."""
        job = self.job(id)
        if job.status in ("queued", "running"):
            raise UserError("This run has not finished yet; wait for it, or cancel it.")
        if not job.result:
            raise UserError(job.message or "This run has no result; run it again.")
        return self._store.path(job.result)

    def wait(self, id: str, timeout: float | None = None) -> Job:
        """The job once it has ended, or as it is after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.005
        while True:
            job = self.job(id)
            if job.status not in ("queued", "running") or (deadline is not None and time.monotonic() > deadline):
                return job
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def cancel(self, id: str) -> None:
        """Ask a job to stop: at its next batch, or by force a few seconds later."""
        with self._lock:
            task = self._tasks.get(id)
        if task is not None:
            self._run.cancel(task)
        elif self.job(id).status in ("queued", "running"):
            raise UserError("This run belongs to another Assay on the same workspace; cancel it there.")

    def delete(self, id: str) -> None:
        """Cancel a job if need be, and remove it with its input and record unless other jobs use them."""
        with self._lock:
            under_way = id in self._tasks
            self._live.pop(id, None)
            self._partials.pop(id, None)
        if under_way:
            self.cancel(id)
        self._store.delete(id)

    def close(self) -> None:
        """End the workers; jobs that are not done stay in the workspace for the next server."""
        with self._lock:
            # Whatever ends from now on is an interruption, not the job's own end, unless somebody asked it to stop.
            self._tasks = {id: task for id, task in self._tasks.items() if task.cancelled}
        self._look.close()
        self._run.close()
        self._store.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- within ------------------------------------------------------------------------------------------------------

    def _process(self, lane: str, threads: int) -> Process:
        return Process(lane, self._device, threads, self._catalogue, self.workspace / "logs" / f"worker-{lane}.log")

    def _ask(self, kind: str, body: Any, key: Any) -> Any:
        """A request of the look lane; those who ask the same at the same time share one answer."""
        with self._lock:
            task = self._looking.get(key)
            if task is None:
                task = self._look.submit(Task(kind, body, owner=str(key)))
                self._looking[key] = task
                task.future.add_done_callback(lambda _: self._looking.pop(key, None))
        try:
            return task.future.result(LOOK_LIMIT)
        except Late as error:
            self._look.cancel(task)
            raise UserError(
                f"The model took longer than {LOOK_LIMIT:.0f} s on this input; give a smaller one."
            ) from error
        except Died as error:
            raise UserError(f"The worker stopped while reading the input ({error}). {AGAIN}") from error
        except Cancelled as error:
            raise UserError("The worker was stopped while reading the input; try it again.") from error

    def _enqueue(self, job: Job) -> None:
        def on_start() -> bool:
            self._began[job.id] = time.monotonic()
            started = self._advance(job.id, status="running")
            if started is None or not self._store.start(started):
                return False
            task.body = (job.request, *self._store.read(job.request.input))
            return True

        task = Task(
            "explain", None, job.owner, on_start=on_start, on_news=lambda kind, body: self._news(job.id, kind, body)
        )
        with self._lock:
            self._live[job.id] = job
            self._tasks[job.id] = task
        task.future.add_done_callback(lambda future: self._ended(job.id, future))
        self._run.submit(task)

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
        elif kind == "partial" and record.consistent(body):
            with self._lock:
                _remember(self._partials, id, body, PARTIALS)
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
                with self._lock:
                    self._partials.pop(id, None)
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
            case None if record.consistent(future.result()):
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


def available_cores() -> int:
    """The cores that this process may use: its affinity, and a container's share of them."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no limit, or not Linux
    return cores


def _remember(kept: OrderedDict[Any, T], key: Any, value: T, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
