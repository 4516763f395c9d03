"""Models run in worker processes; the app and the command line ask through `Runtime`. No torch in the parent.

    runtime = Runtime(workspace, device="auto")        # starts workers; returns at once
    runtime.cards()                                     # tuple[ModelCard, ...] without loading anything
    runtime.device()                                    # Device, or None until a worker has said
    digest = runtime.put(data, name)                    # bytes of an input (image file, UTF-8 text, JSON row, CSV) into the store
    runtime.read(digest) -> (bytes, name)
    runtime.rows(model, digest)                         # tuple[dict, ...]: the rows of a CSV, for a table's model
    runtime.look(model, digest, players=None, baseline=None, **options)   # Look: sample, prediction, previewed players
    job = runtime.submit(request, owner)                # the job's id; explain() of this request, in a worker
    runtime.job(job) -> Job; runtime.jobs(owner) -> tuple[Job, ...], newest first
    runtime.partial(job) -> Explanation | None          # the latest partial result
    runtime.result(job) -> Explanation                  # UserError with the job's sentence if it failed
    runtime.record(job) -> Path                         # the .assay file
    runtime.cancel(job); runtime.delete(job); runtime.close()

Two lanes, a worker each: `look` answers previews and predictions at once while `run` computes jobs. A worker that dies
fails its job with a sentence, and the next request starts a new one.
"""
