"""Runtime: what the app and the command line hold; see this package's docstring for the whole of it."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from explainers import record, registry
from explainers.registry import wanted
from explainers.runtime.asking import Asking
from explainers.runtime.jobs import Jobs
from explainers.runtime.lane import KEPT, Lane
from explainers.runtime.models import Models
from explainers.runtime.nursery import Nursery
from explainers.runtime.recent import Recent
from explainers.runtime.store import Store, default_workspace
from explainers.runtime.types import COMMAND_LINE, Device, Host, Job, Kept, Look, Quota, Request, Upload
from explainers.runtime.uploads import clean
from explainers.types import Explanation, validate
from model_zoo.types import ModelCard, UserError

if TYPE_CHECKING:
    from explainers.diagnosis import Diagnosis
    from model_zoo.facts import Facts
    from model_zoo.files import Reading

LOOK_LIMIT = 120.0  # seconds that somebody waits for a preview
OPEN_LIMIT = 1800.0  # for a file to be opened, or a model examined: large ones take long, and others may come first
LOOKS, RESULTS = 64, 64  # kept in memory, while they are small


class Runtime:
    """Lanes of workers over one workspace; thread-safe. Start one for a process and share it.

    An `owner` is who asks: what is not theirs is not there. None asks for nobody in particular: for bundled models, and
    for inputs and jobs by their ids alone, as scripts and the command line do.

    workspace: a folder; None is ASSAY_WORKSPACE, else the platform's place for a person's data.
    device: "auto", "cuda", "mps" or "cpu"; None is ASSAY_DEVICE, else "auto".
    server: have workers ready at once, and take over the jobs that a dead process left in the workspace.
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
        self._looks: Recent[Any, Look] = Recent(LOOKS)
        self._results: Recent[str, Explanation] = Recent(RESULTS)
        device = device or os.environ.get("ASSAY_DEVICE") or "auto"
        cores = available_cores()
        with contextlib.ExitStack() as made:
            self._store = made.enter_context(contextlib.closing(Store(self.workspace)))
            self._models = Models(catalogue, self._store.uploads)
            self._nursery = made.enter_context(
                contextlib.closing(Nursery(self.workspace, device, catalogue, grow=server))
            )

            def lane(name: str, threads: int, kept: int = KEPT) -> Lane:
                start = functools.partial(self._nursery.start, name, threads)
                return made.enter_context(contextlib.closing(Lane(name, start, self._nursery.stale, kept)))

            few = min(2, cores)
            self._lanes = lane("look", few), lane("open", few), lane("run", cores)
            self._look, self._open, self._run = self._lanes
            self._looking = Asking(self._look, LOOK_LIMIT)
            self._opening = Asking(self._open, OPEN_LIMIT)
            self._seeing = Asking(self._open, LOOK_LIMIT)  # people's own models, by the workers that opened them
            self._jobs = Jobs(self._store, self._run, self._models.source)
            made.callback(self._jobs.leave)
            if server:
                self.warm()
                self._jobs.resume()
            self._made = made.pop_all()

    # -- models and devices ------------------------------------------------------------------------------------------

    def cards(self, owner: str | None = None) -> tuple[ModelCard, ...]:
        """The cards of the bundled models and of an owner's own that can be explained, without loading any."""
        return self._models.cards(owner)

    def card(self, model: str, owner: str | None = None) -> ModelCard:
        """The card of one model; UserError lists what there is."""
        return self._models.card(model, owner)

    def device(self) -> Device | None:
        """Where jobs are computed; None until a worker has said."""
        return self._run.device() or self._look.device()

    def host(self) -> Host:
        """What this machine can hold a stranger's model with."""
        from explainers.runtime.sandbox import host

        return host()

    def warm(self) -> None:
        """Have the warm process come up in the background, and a first worker, which says where it computes."""
        self._nursery.warm()
        first = self.cards()[:1]
        if first:
            self._look.prepare(self._models.source(first[0].id, None))

    # -- people's own models -----------------------------------------------------------------------------------------

    @property
    def shared(self) -> bool:
        """Whether everybody sees everybody's models (ASSAY_SHARED); only who gave one may change or remove it."""
        return self._store.uploads.shared

    def receive(self, file: BinaryIO, name: str, owner: str) -> Upload:
        """Take in a model's file, chunk by chunk; the same bytes of the same owner again are the Upload that is there.

        UserError if there is no room for it; what broke off leaves nothing.
        """
        return self._store.uploads.receive(file, name, owner)

    def attach(self, path: str | Path, owner: str) -> Upload:
        """Note a model's file or folder on this machine, which is not copied; UserError if it may not be named."""
        return self._store.uploads.attach(path, owner)

    def uploads(self, owner: str) -> tuple[Upload, ...]:
        """An owner's own models, newest first; everybody's where the workspace is shared."""
        return self._store.uploads.list(owner)

    def upload(self, id: str, owner: str) -> Upload:
        """One of them; UserError if there is none of that owner's."""
        return self._store.uploads.find(id, owner)

    def inspect(self, id: str, owner: str, said: Facts | None = None) -> Reading:
        """What is found in a file, with what was said of it or else with `said`; kept with it, as is why it failed."""
        upload = self.upload(id, owner)
        try:
            found: Reading = self._opening.ask("read", (), self._models.file(upload, said), owner=owner)
        except UserError as error:
            if said in (None, upload.facts) and upload.owner == owner:
                self._store.uploads.read(id, owner, None, str(error))
            raise
        if upload.owner == owner:
            self._store.uploads.read(id, owner, found)
        return found

    def describe(self, id: str, owner: str, facts: Facts) -> ModelCard:
        """Open a model with what its owner says of it, and keep that with the card; UserError changes nothing."""
        upload = self._store.uploads.own(id, owner)
        source = replace(self._models.file(upload, facts), title=facts.title or upload.title)
        found: ModelCard = self._opening.ask("card", (), source, owner=owner)
        card = replace(found, id=id, title=source.title, digest=upload.digest)
        self._store.uploads.describe(id, owner, facts, card)
        return card

    def rename(self, id: str, title: str, owner: str) -> None:
        """Give a model of one's own another title."""
        self._store.uploads.rename(id, title, owner)

    def remove(self, id: str, owner: str) -> None:
        """Forget a model of one's own and end its workers; runs stay as records, and an attached path as it is.

        The bytes are gone from the disk, unless another upload has the same.
        """
        self._store.uploads.own(id, owner)
        self._jobs.stop(id)
        for lane in self._lanes:
            lane.forget(id)
        self._store.uploads.remove(id, owner)
        self._looks.drop(lambda key: key[0].id == id)

    def quota(self, owner: str) -> Quota:
        """How much room an owner's models and samples take, and how much there is."""
        return self._store.room.quota(owner)

    def doctor(self, model: str, digest: str | None = None, owner: str | None = None) -> Diagnosis:
        """A check-up of a model on an input, or on one that is made up."""
        data, name = (None, "") if digest is None else self._store.read(digest, owner)
        found: Diagnosis = self._opening.ask("doctor", (data, name), self._models.source(model, owner), owner=owner)
        return found

    # -- inputs ------------------------------------------------------------------------------------------------------

    def put(self, data: bytes, name: str, owner: str = "") -> str:
        """Keep the bytes of an input and return the digest by which everything else calls it; cheap if it is there.

        A file (what has a name with an ending) of an owner is among samples() until they remove it. A typed text or
        row goes a day after it was last used, and so does what nobody owns, which everybody may read by its digest.
        """
        public = owner and _bundled(data, name)
        return self._store.put(data, name, "" if public else owner)

    def read(self, digest: str, owner: str | None = None) -> tuple[bytes, str]:
        """Bytes and name of an input; UserError if the workspace has it no more, or not for this owner."""
        return self._store.read(digest, owner)

    def name(self, digest: str, owner: str | None = None) -> str:
        """Name of an input, without reading it; UserError if the workspace has it no more, or not for this owner."""
        return self._store.name(digest, owner)

    def samples(self, owner: str) -> tuple[Kept, ...]:
        """The files that an owner gave as inputs and has not removed, newest first."""
        return self._store.samples.list(owner)

    def rename_sample(self, digest: str, name: str, owner: str) -> None:
        """Call one of them something else."""
        self._store.samples.rename(digest, clean(name), owner)

    def remove_sample(self, digest: str, owner: str) -> None:
        """Keep one of them no longer: its bytes go at once, or with the last run that uses it."""
        self._store.samples.remove(digest, owner)

    def rows(self, model: str, digest: str, owner: str | None = None) -> tuple[dict[str, Any], ...]:
        """The rows of a CSV, as a model of tables takes them."""
        source = self._models.source(model, owner)
        asking = self._seeing if source.path else self._looking
        given = self._store.read(digest, owner)
        found: tuple[dict[str, Any], ...] = asking.ask("rows", given, source, digest, owner)
        return found

    def look(
        self,
        model: str,
        digest: str,
        players: str | None = None,
        baseline: str | None = None,
        owner: str | None = None,
        **options: Any,
    ) -> Look:
        """What a model sees in an input and says of it, with previewed players of a kind if asked for.

        options: how the players are divided, such as segments=80. UserError if the input does not fit, or if the model
        or the input is not this owner's.
        """
        source, name = self._models.source(model, owner), self._store.name(digest, owner)
        key = (source, digest, name, players, baseline, json.dumps(options, sort_keys=True))
        known = self._looks.get(key)
        if known is not None:
            return known
        data, _ = self._store.read(digest)
        self._run.prepare(source)
        asking = self._seeing if source.path else self._looking
        found = asking.ask("look", (data, name, players, baseline, options), source, key, owner)
        found = self._models.learn(source, found)
        self._looks.put(key, found)
        return found

    # -- jobs --------------------------------------------------------------------------------------------------------

    def submit(self, request: Request, owner: str) -> str:
        """Queue an explanation and return the job's id; UserError if the request cannot be."""
        card = self._models.card(request.model, owner)
        method = registry.method(request.method)
        request = replace(request, method=method.id)
        reason = method.why_not(card)
        if reason:
            raise UserError(reason)
        validate(method.params, request.parameters)
        wanted(request.evidence)
        if request.of and self.job(request.of, owner).status != "done":
            raise UserError("What is tested is an explanation that is done; wait for it, or run it again.")
        name = self._store.name(request.input, owner)
        doing = "Evidence for " if request.of else ""
        job = Job(
            id=secrets.token_hex(16),
            request=request,
            owner=owner,
            status="queued",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            title=f"{doing}{method.title} on {card.title}, {name}",
        )
        self._jobs.add(job)
        return job.id

    def job(self, id: str, owner: str | None = None) -> Job:
        """A job and how far it is; UserError if there is none, or with an owner none that jobs(owner) lists."""
        found = self._jobs.find(id)
        if found is None or (owner is not None and found.owner not in (owner, COMMAND_LINE)):
            raise UserError("This run is no longer in the workspace; it was deleted, or belongs to another one.")
        return found

    def jobs(self, owner: str | None, limit: int | None = None, group: str | None = None) -> tuple[Job, ...]:
        """The jobs of an owner and of this machine's command line, or of everybody: newest first, at most `limit`.

        group: only those of one click, by its Request.group, or the one job of this id.
        """
        owners = None if owner is None else (owner, COMMAND_LINE)
        return self._jobs.list(owners, limit, group)

    def past(self, model: str, method: str) -> Job | None:
        """How long the newest job of this model and method took, whoever asked: of that job its times and no more."""
        found = self._store.past(model, method)
        if found is None:
            return None
        return Job("", Request(model, "", method), "", "done", found.done, found.total, seconds=found.seconds)

    def partial(self, id: str, owner: str | None = None) -> Explanation | None:
        """What is known so far of a job that is under way, or was stopped."""
        if owner is not None:
            self.job(id, owner)
        return self._jobs.partial(id)

    def result(self, id: str, owner: str | None = None) -> Explanation:
        """The explanation of a job that is done; UserError says why there is none."""
        path = self.record(id, owner)
        found = self._results.get(path.name)
        if found is None:
            found = record.open_record(path).only
            self._results.put(path.name, found)
        return found

    def record(self, id: str, owner: str | None = None) -> Path:
        """The file with the record of a job that is done; UserError says why there is none."""
        job = self.job(id, owner)
        if job.status in ("queued", "running"):
            raise UserError("This run has not finished yet; wait for it, or cancel it.")
        if not job.result:
            raise UserError(job.message or "This run has no result; run it again.")
        return self._store.path(job.result)

    def wait(self, id: str, timeout: float | None = None, owner: str | None = None) -> Job:
        """The job once it has ended, or as it is after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.005
        while True:
            job = self.job(id, owner)
            if job.status not in ("queued", "running") or (deadline is not None and time.monotonic() > deadline):
                return job
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def cancel(self, id: str, owner: str | None = None) -> None:
        """Ask a job to stop: at its next batch, or by force a few seconds later."""
        job = self.job(id, owner)
        if not self._jobs.cancel(id) and job.status in ("queued", "running"):
            raise UserError("This run belongs to another Assay on the same workspace; cancel it there.")

    def delete(self, id: str, owner: str | None = None) -> None:
        """Cancel a job if need be, and remove it with its record; a screen may show its input, so that stays a day."""
        if owner is not None:
            self.job(id, owner)
        self._jobs.forget(id)
        self._store.delete(id)

    def close(self) -> None:
        """End the workers; jobs that are not done stay in the workspace for the next server."""
        self._made.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _bundled(data: bytes, name: str) -> bool:
    """Whether this is one of the bundled samples, which are nobody's own."""
    from model_zoo import catalogue

    known = (catalogue.SAMPLES / one.path for one in catalogue.examples())
    return any(one.name == name and one.read_bytes() == data for one in known)


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
