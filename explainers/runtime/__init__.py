"""Models run in worker processes; the app and the command line ask through `Runtime`. No torch in the parent.

    runtime = Runtime(workspace, device="auto")         # starts workers, returns at once; `with`, or close(), ends them
    runtime.cards()                                     # tuple[ModelCard, ...] without loading anything
    runtime.device()                                    # Device, or None until a worker has said
    digest = runtime.put(data, name)                    # an input's bytes (image file, UTF-8 text, JSON row, CSV)
    runtime.read(digest) -> (bytes, name); runtime.name(digest)
    runtime.rows(model, digest)                         # tuple[dict, ...]: the rows of a CSV, for a table's model
    runtime.look(model, digest, players=None, baseline=None, **options)   # Look: sample, prediction, previewed players
    job = runtime.submit(request, owner)                # the job's id; explain() of this request, in a worker
    runtime.wait(job, timeout=None) -> Job              # for scripts; a screen asks job() and looks at its version
    runtime.job(job) -> Job
    runtime.jobs(owner, limit=None, group=None) -> tuple[Job, ...]   # newest first; those of the command line too
    runtime.past(model, method) -> Job | None           # the newest that is done: how long the next one may take
    runtime.partial(job) -> Explanation | None          # the latest partial result
    runtime.result(job) -> Explanation                  # UserError with the job's sentence if it failed
    runtime.record(job) -> Path                         # the .assay file
    runtime.cancel(job); runtime.delete(job); runtime.close()

Two lanes, a worker each: `look` answers previews and predictions at once while `run` computes jobs. A worker that dies
fails its job with a sentence, and the next request starts a new one. Jobs that a dead server left behind are queued
again by the next one; those of a killed command line are failed, since nobody waits for them.

`front.py` is Runtime, `jobs.py` a job's life, `lane.py` a queue with its worker, `process.py` a worker as the parent
sees it, `worker.py` the child, `wire.py` what they speak; `store.py` is the workspace, made of `database.py`,
`blobs.py` (files) and `claims.py` (who holds it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explainers.runtime.types import Device, Job, Look, Request

if TYPE_CHECKING:
    from explainers.runtime.front import Runtime

__all__ = ["Device", "Job", "Look", "Request", "Runtime"]


def __getattr__(name: str) -> Any:
    if name == "Runtime":  # late, so that the child does not load the parent's side
        from explainers.runtime.front import Runtime

        return Runtime
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
