"""Models run in worker processes; the app and the command line ask through `Runtime`. No torch in the parent.

    runtime = Runtime(workspace, device="auto")         # returns at once; `with`, or close(), ends all workers
    runtime.cards(owner); runtime.card(model, owner)    # bundled ones and the owner's own, without loading any
    runtime.device(); runtime.host()                    # Device, or None as yet; Host: what the sandbox holds

    upload = runtime.receive(file, name, owner)         # a model's file, streamed into the workspace
    upload = runtime.attach(path, owner)                # a file or folder of this machine, which stays where it is
    runtime.uploads(owner); runtime.upload(id, owner)   # one's own, with what was said and found of each
    runtime.inspect(id, owner, said=None) -> Reading    # what is in it, and what its owner has still to say
    runtime.describe(id, owner, facts) -> ModelCard     # opens it with these facts and keeps them; then it is a model
    runtime.rename(id, title, owner); runtime.remove(id, owner); runtime.quota(owner)
    runtime.doctor(model, digest, owner) -> Diagnosis   # a check-up

    digest = runtime.put(data, name, owner)             # an input's bytes (image file, UTF-8 text, JSON row, CSV)
    runtime.read(digest, owner) -> (bytes, name); runtime.name(digest, owner)
    runtime.samples(owner); runtime.rename_sample(digest, name, owner); runtime.remove_sample(digest, owner)
    runtime.rows(model, digest, owner)                  # tuple[dict, ...]: the rows of a CSV, for a table's model
    runtime.look(model, digest, players=None, baseline=None, owner=None, **options)   # Look: sample, prediction

    job = runtime.submit(request, owner)                # the job's id; explain() of this request, in a worker
    runtime.wait(job, timeout=None) -> Job              # for scripts; a screen asks job() and looks at its version
    runtime.job(job, owner) -> Job
    runtime.jobs(owner, limit=None, group=None) -> tuple[Job, ...]   # newest first; those of the command line too
    runtime.past(model, method) -> Job | None           # how long the newest that is done took, and nothing else of it
    runtime.partial(job, owner) -> Explanation | None   # the latest partial result
    runtime.result(job, owner) -> Explanation           # UserError with the job's sentence if it failed
    runtime.record(job, owner) -> Path                  # the .assay file
    runtime.cancel(job, owner); runtime.delete(job, owner); runtime.close()

An owner is who asks. What is somebody else's is told in the same words as what is not there; without an owner there are
bundled models, and inputs and jobs by their ids. The operator's settings are in the environment: ASSAY_WORKSPACE,
ASSAY_DEVICE, ASSAY_QUOTA_GIB (for one owner; 10), ASSAY_STORE_GIB (for all; 100), ASSAY_MODELS (folders that browsers
may attach from), ASSAY_SHARED=1 (everybody sees everybody's models), ASSAY_MEMORY (GiB for one worker; half of what
there is), ASSAY_RUN_MINUTES (for a run while somebody else waits; 60), ASSAY_ALLOW_CODE=1 (files that are code are
opened, in the whole sandbox alone).

Three lanes: `look` answers previews and predictions of bundled models at once; `open` reads people's files, opens them
and answers the same of these, by one worker a file, and examines models; `run` computes jobs. A worker that dies fails
its job with a sentence, and the next request starts a new one. Jobs that a dead server left behind are queued again by
the next one; those of a killed command line are failed, since nobody waits for them.

`front.py` is Runtime, `recent.py` what it keeps in memory, `models.py` whose models there are, `asking.py` a question
that is waited for, `jobs.py` a job's life, `lane.py` a queue with its workers, `nursery.py` where workers come from:
the warm process (`warm.py` the parent's side, `zygote.py` and `warmth.py` its own); `process.py` a worker as the parent
sees it, `worker.py` and `serving.py` the child, `watch.py` what it may take, `scratch.py` where it may write,
`sandbox/` what it gives up, `wire.py` what they speak.
`store.py` is the workspace, made of `database.py`, `blobs.py` (files), `claims.py` (who holds it), `samples.py` (whose
inputs), `uploads.py` with `parts.py` and `attached.py` (whose models) and `room.py` (quotas).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explainers.runtime.types import Device, Host, Job, Kept, Look, Quota, Request, Upload

if TYPE_CHECKING:
    from explainers.runtime.front import Runtime

__all__ = ["Device", "Host", "Job", "Kept", "Look", "Quota", "Request", "Runtime", "Upload"]


def __getattr__(name: str) -> Any:
    if name == "Runtime":  # late, so that the child does not load the parent's side
        from explainers.runtime.front import Runtime

        return Runtime
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
