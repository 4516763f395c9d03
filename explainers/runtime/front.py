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
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import Any

from explainers import record, registry
from explainers.runtime.jobs import AGAIN, Jobs, remember
from explainers.runtime.lane import Lane, Task
from explainers.runtime.process import Died, Process
from explainers.runtime.store import Store, default_workspace
from explainers.runtime.types import COMMAND_LINE, Device, Job, Look, Request
from explainers.types import Cancelled, Explanation, validate
from model_zoo.types import ModelCard, UserError

LOOK_LIMIT = 120.0  # seconds for a preview
LOOKS, RESULTS = 64, 64  # kept in memory


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
        self._lock = threading.Lock()
        self._looking: dict[Any, Task] = {}
        self._looks: OrderedDict[Any, Look] = OrderedDict()
        self._results: OrderedDict[str, Explanation] = OrderedDict()
        cores = available_cores()
        self._look = Lane("look", lambda: self._process("look", min(2, cores)))
        self._run = Lane("run", lambda: self._process("run", cores))
        self._jobs = Jobs(self._store, self._run)
        if server:
            self.warm()
            self._jobs.resume()

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
            remember(self._looks, key, found, LOOKS)
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
        job = Job(
            id=secrets.token_hex(8),
            request=request,
            owner=owner,
            status="queued",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            title=f"{method.title} on {card.title}, {name}",
        )
        self._jobs.add(job)
        return job.id

    def job(self, id: str) -> Job:
        """A job and how far it is; UserError if there is none."""
        found = self._jobs.find(id)
        if found is None:
            raise UserError("This run is no longer in the workspace; it was deleted, or belongs to another one.")
        return found

    def jobs(self, owner: str | None, limit: int | None = None, group: str | None = None) -> tuple[Job, ...]:
        """The jobs of an owner and of this machine's command line, or of everybody: newest first, at most `limit`.

        group: only those of one click, by its Request.group, or the one job of this id.
        """
        owners = None if owner is None else (owner, COMMAND_LINE)
        return self._jobs.list(owners, limit, group)

    def past(self, model: str, method: str) -> Job | None:
        """The newest job of this model and method that is done, whoever asked: it tells how long the next will take."""
        return self._store.past(model, method)

    def partial(self, id: str) -> Explanation | None:
        """What is known so far of a job that is under way, or was stopped."""
        return self._jobs.partial(id)

    def result(self, id: str) -> Explanation:
        """The explanation of a job that is done; UserError says why there is none."""
        path = self.record(id)
        with self._lock:
            if path.name in self._results:
                self._results.move_to_end(path.name)
                return self._results[path.name]
        found = record.open_record(path).only
        with self._lock:
            remember(self._results, path.name, found, RESULTS)
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
        if not self._jobs.cancel(id) and self.job(id).status in ("queued", "running"):
            raise UserError("This run belongs to another Assay on the same workspace; cancel it there.")

    def delete(self, id: str) -> None:
        """Cancel a job if need be, and remove it with its record; a screen may show its input, so that stays a day."""
        self._jobs.forget(id)
        self._store.delete(id)

    def close(self) -> None:
        """End the workers; jobs that are not done stay in the workspace for the next server."""
        self._jobs.leave()
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
