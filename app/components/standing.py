"""Jobs and the explanations that stand for them.

A job that tests an explanation (its request is `of` another job) takes the place of the one that made it; until it is
done, or if it fails, that one's explanation stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app import state
from app.backend import shared
from explainers.runtime.types import Job
from explainers.types import Explanation
from model_zoo.types import UserError

ACTIVE = ("queued", "running")
DEEPEST = 50  # tests of one explanation that are followed back to it


def jobs(ids: tuple[str, ...]) -> list[Job]:
    """Those of these jobs that the store has."""
    found = []
    for id in ids:
        try:
            found.append(shared().runtime.job(id, state.owner()))
        except UserError:
            continue
    return found


def active(found: list[Job]) -> bool:
    """Whether any of them still waits or runs."""
    return any(job.status in ACTIVE for job in found)


def finished(found: list[Job]) -> dict[str, Explanation]:
    """The explanations that are there, by job id: of those that are done, and what those that test are testing."""
    done = {}
    for job in found:
        standing = next((one for one in back(job) if one.status == "done"), None)
        if standing is not None:
            try:
                done[job.id] = shared().runtime.result(standing.id, state.owner())
            except UserError:
                continue  # its panel says why
    return done


def latest(found: list[Job]) -> list[Job]:
    """Jobs of one click without those in whose place another stands: the newest test that is done or under way."""
    known = {job.id: job for job in found}
    places: dict[str, Job] = {}
    for job in found:  # the oldest first
        root = job
        while root.request.of in known and root.request.of != root.id:
            root = known[root.request.of]
        if root is job or job.status == "done" or job.status in ACTIVE:
            places[root.id] = job
    return list(places.values())


def back(job: Job) -> Iterator[Job]:
    """The job, the one that it tests, and so on to the one that made the explanation."""
    for _ in range(DEEPEST):
        yield job
        if not job.request.of:
            return
        try:
            job = shared().runtime.job(job.request.of, state.owner())
        except UserError:  # deleted meanwhile
            return


def key(job: Job) -> str:
    """The same for an explanation and its tests, so that plots keep their zoom: the id of the job that made it."""
    return [one.id for one in back(job)][-1]


def pace(found: Sequence[Job], done: Mapping[str, Explanation]) -> float:
    """Seconds of one evaluation of this model on this input: the quickest of what was seen, since starting takes time.

    A test of thousands of evaluations tells more than an explanation of a few.
    """
    seen = []
    for job in found:
        one = done.get(job.id)
        if one is None:
            continue
        seen.append(one.cost.seconds / max(1, one.cost.forward + 2 * one.cost.backward))
        tested = sum(check.evaluations for check in one.evidence if check.id in job.request.evidence)
        if job.request.of and job.status == "done" and tested:
            seen.append(job.seconds / tested)
    return min(seen, default=0.0)
