"""Workers that misbehave in every way that is known: the app lives, nothing is left, the next good model is exact.

A seeded sample runs in CI, and each a hundred times with `make soak`.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import explainers
from explainers.consistency import modest
from explainers.diagnosis import Diagnosis, Finding, Part
from explainers.runtime import lane as lanes
from explainers.runtime import nursery as nurseries
from explainers.runtime import process, sandbox, warm, watch, wire
from explainers.runtime.types import Source
from explainers.types import Cancelled
from model_zoo.facts import Facts
from model_zoo.files import Choice, Reading
from model_zoo.modalities.text import TextView
from model_zoo.types import Column, ModelCard, UserError

LIMIT = 60
linux = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")

# What a person is told, by the model that they ran.
ENDINGS = {
    "crash": r"killed by signal 11",
    "abort": r"killed by signal 6",
    "exit": r"exited with code 3",
    "panic": r"unexpected PanicException",
    "leave": r"unexpected SystemExit",
    "hoard": r"memory",
    "share": r"it took more than 0.5 GiB of memory",
    "headless": r"it took more than 0.5 GiB of memory",
    "litter": r"it made more than 10,000 files",
    "crowd": rf"it started more than {watch.THREADS:,} threads",
    "garbage": r"it sent what (cannot be read|is not a message)",
    "endless": r"it sent what cannot be read: a frame of .* is too large",
    "deep": r"it sent what cannot be read: a header that is not one",
    "crowded": r"it sent what cannot be read: a header of too many parts",
    "untyped": r"it sent what is not a message",
    "foreign": r"it sent a ModelCard when asked to explain",
    "misshapen": r"The worker sent no explanation",
    "integers": r"The worker sent no explanation",
    "wordy": r"The worker sent no explanation",
    "chatter": r"",
    "asleep": r"it took longer than \d+ s to open the file",
    "deaf": r"it took longer than \d+ s to open the file",
}


@pytest.fixture(scope="module")
def small(toys, tmp_path_factory):
    """A runtime whose workers may take half a GiB and a second and a half to open any model."""
    from explainers.runtime import Runtime

    patch = pytest.MonkeyPatch()
    patch.setenv("ASSAY_MEMORY", "0.5")
    patch.setattr(
        watch,
        "opening",
        lambda source: watch.Deadline(time.monotonic() + 10, "it took longer than 10 s to open the file"),
    )
    with Runtime(tmp_path_factory.mktemp("small"), "cpu", catalogue=toys, server=False) as runtime:
        yield runtime
    patch.undo()


@pytest.fixture
def hurried(monkeypatch):
    """Less patience with what will not come."""
    late = "it took longer than 1 s to open the file"
    monkeypatch.setattr(watch, "opening", lambda source: watch.Deadline(time.monotonic() + 1.5, late))


@pytest.fixture(scope="module")
def expected(toys):
    """The values of a good model in this process; batches are found by timing, so the last digit may differ."""
    from conftest import ROW
    from toy_catalogue import load

    return explainers.explain(load("quick"), ROW, "integrated_gradients", target=1, steps=16).values


def children(pid):
    """Numbers and states of a process's children."""
    found = {}
    for one in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid:
            found[int(one)] = state
    return found


def check(runtime, ask, expected):
    """The app is as it should be, and a good model gives exact values."""
    job = ask(runtime, parameters={"steps": 16}, target=1)
    assert runtime.wait(job, LIMIT).status == "done", runtime.job(job)
    np.testing.assert_allclose(runtime.result(job).values, expected, rtol=1e-12)
    alive = {pid for lane in runtime._lanes for pid in lane.pids()}
    zygote = runtime._nursery._zygote
    deadline = time.monotonic() + 5
    while True:  # the end of one that was killed is told a moment later
        left = children(zygote.pid) | children(os.getpid())
        ours = {pid: state for pid, state in left.items() if pid != zygote.pid and pid in children(zygote.pid)}
        if "Z" not in ours.values() and set(ours) <= alive:
            break
        assert time.monotonic() < deadline, (ours, alive)
        time.sleep(0.02)
    folders = list(runtime._nursery._scratch.folder.iterdir())
    assert len(folders) == 1 + len(alive), folders  # the warm process has one too


def misbehave(runtime, ask, model):
    job = ask(runtime, model, parameters={"steps": 16}, target=1)
    ended = runtime.wait(job, LIMIT)
    if model == "chatter":
        assert ended.status == "done", ended
        return
    assert ended.status == "failed", ended
    assert re.search(ENDINGS[model], ended.message), ended.message
    assert "Traceback" not in ended.message
    assert len(ended.message) < 300


@linux
@pytest.mark.parametrize("model", [one for one in ENDINGS if one not in ("asleep", "deaf")])
def test_whatever_a_worker_does_the_app_lives_and_the_next_model_is_exact(small, ask, expected, model):
    check(small, ask, expected)
    before = len(os.listdir("/proc/self/fd"))
    misbehave(small, ask, model)
    check(small, ask, expected)
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # a worker that went on waiting has a socket and a handle


@linux
@pytest.mark.parametrize("model", ["asleep", "deaf"])
def test_a_model_that_does_not_open_in_time_is_ended(small, ask, expected, hurried, model):
    began = time.monotonic()
    misbehave(small, ask, model)
    assert time.monotonic() - began < 1.5 + 2
    check(small, ask, expected)


@linux
@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("model", ENDINGS)
def test_a_hundred_times(small, ask, expected, hurried, model):
    check(small, ask, expected)
    for _ in range(100):
        misbehave(small, ask, model)
    check(small, ask, expected)


@linux
def test_a_worker_finds_nothing_of_the_app_around_it(start, ask, monkeypatch):
    monkeypatch.setenv("ASSAY_SECRET", "x")
    runtime = start()
    job = ask(runtime, "bare")
    found = json.loads(runtime.wait(job, LIMIT).message)
    assert not {"ASSAY_SECRET", "PYTHONPATH", "STREAMLIT_SERVER_PORT"} & set(found["variables"])
    assert set(found["files"]) <= {0, 1, 2, 3, 4}  # nothing, the log twice, the socket, and the listing itself
    assert found["cwd"].startswith(str(runtime._nursery._scratch.folder))


@linux
def test_a_model_reads_nothing_but_installed_code(start, ask):
    runtime = start()
    one = runtime._nursery.start("run", 1, Source("quick"))
    one.greet()
    one.close()
    if not set(sandbox.REQUIRED) <= set(one.barriers):
        pytest.skip(f"this machine has only {one.barriers}")
    job = ask(runtime, "nosy")
    assert "PermissionError" in runtime.wait(job, LIMIT).message


@linux
def test_the_warm_process_dies_what_runs_goes_on_and_the_next_has_a_new_one(start, ask, expected):
    runtime = start()
    job = ask(runtime, "slow", parameters={"steps": 64})
    while not runtime.job(job).done:
        time.sleep(0.01)
    zygote = runtime._nursery._zygote.pid
    os.kill(zygote, signal.SIGKILL)
    assert runtime.wait(job, LIMIT).status == "done"
    check(runtime, ask, expected)
    assert runtime._nursery._zygote.pid != zygote
    orphan = next(one for one in runtime._run._pool if one.source.id == "slow")
    os.kill(orphan.pid, signal.SIGKILL)  # nobody is left who would learn of its end
    while orphan.alive:
        time.sleep(0.01)
    again = ask(runtime, "slow", parameters={"steps": 16})
    assert runtime.wait(again, LIMIT).status == "done"


@linux
def test_the_app_dies_and_takes_a_worker_that_does_not_listen_with_it(toys, tmp_path):
    """kill -9 of the app while a model holds the interpreter: the worker's own listener never runs."""
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from conftest import ROW
from explainers.runtime import Request, Runtime
runtime = Runtime({str(tmp_path / "deaf")!r}, "cpu", catalogue="toy_catalogue", server=False)
runtime.submit(Request("deaf", runtime.put(ROW, "row.json"), "integrated_gradients"), "me")
while runtime._run.device() is None: time.sleep(0.01)
time.sleep(0.3)
print(runtime._run.pid(), runtime._nursery._zygote.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as app:
        pids = [int(one) for one in app.stdout.readline().split()]
        app.kill()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_where_no_fork_is_safe_workers_are_started_anew(start, ask, expected, monkeypatch):
    monkeypatch.setattr(nurseries, "can_fork", lambda device: False)
    runtime = start()
    job = ask(runtime, parameters={"steps": 16}, target=1)
    assert runtime.wait(job, LIMIT).status == "done", runtime.job(job)
    np.testing.assert_allclose(runtime.result(job).values, expected, rtol=1e-12)
    assert runtime._nursery._zygote is None
    bad = ask(runtime, "crash")
    assert "killed by signal 11" in runtime.wait(bad, LIMIT).message


def test_a_warm_process_that_does_not_come_up_is_done_without(start, ask, monkeypatch):
    real = warm.python
    broken = [sys.executable, "-c", "raise SystemExit(9)"]
    monkeypatch.setattr(warm, "python", lambda module: broken if module == "zygote" else real(module))
    runtime = start()
    assert runtime.wait(ask(runtime), LIMIT).status == "done"


# -- the lane's pool ---------------------------------------------------------------------------------------------


def test_each_model_has_a_worker_and_the_one_idle_longest_goes(start, row):
    runtime = start()
    digest = runtime.put(row, "row.json")
    lane, seen = runtime._look, {}
    for model in ("quick", "slow", "stuck"):
        runtime.look(model, digest)
        seen[model] = lane.pid()
    assert len(set(seen.values())) == lanes.KEPT == len(lane.pids())
    runtime.rows("quick", runtime.put(b"a,b,c,d\n1,2,3,4\n", "rows.csv"))
    assert lane.pid() == seen["quick"]  # the same worker, now the newest
    runtime.look("failing", digest)
    assert seen["slow"] not in lane.pids()
    assert {seen["quick"], seen["stuck"]} < set(lane.pids())


def test_the_same_file_of_two_people_has_two_workers(start, tmp_path):
    runtime = start()
    sources = [Source(id, path=str(tmp_path), digest="sha256:same") for id in ("of-one", "of-another")]
    for source in sources:
        with pytest.raises(UserError):
            runtime._look.submit(lanes.Task("card", (), source)).future.result(LIMIT)
    assert len(set(runtime._look.pids())) == 2
    runtime._look.forget("of-one")
    deadline = time.monotonic() + 10
    while len(runtime._look.pids()) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@linux
def test_nothing_of_a_file_stays_in_the_warm_process_and_its_worker_goes_with_it(start, tmp_path):
    """Else the worker of another person's model could find the path; one that heeds nobody would outlive them all."""
    runtime = start()
    folder = tmp_path / "secret-folder-of-one"
    folder.mkdir()
    with pytest.raises(UserError):
        runtime._look.submit(lanes.Task("card", (), Source("one", path=str(folder)))).future.result(LIMIT)
    (worker,) = runtime._look._pool
    zygote = runtime._nursery._zygote.pid
    if os.getuid() == 0:
        assert found_in(zygote, b"explainers.runtime.worker")
        assert not found_in(zygote, folder.name.encode())
    os.kill(zygote, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while worker.alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def found_in(pid, words):
    """Whether a process has these bytes anywhere in the memory that it may write."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            where, rights = line.split()[:2]
            if rights.startswith("rw"):
                start, end = (int(one, 16) for one in where.split("-"))
                memory.seek(start)
                with contextlib.suppress(OSError):
                    if words in memory.read(end - start):
                        return True
    return False


def test_memory_is_what_the_operator_says_or_a_share_of_what_there_is(monkeypatch):
    monkeypatch.setenv("ASSAY_MEMORY", "2.5")
    assert watch.allowed_memory() == 2.5 * 2**30
    for wrong in ("lots", "-1", "0", "nan"):
        monkeypatch.setenv("ASSAY_MEMORY", wrong)
        with pytest.raises(UserError, match="in GiB"):
            watch.allowed_memory()
    monkeypatch.delenv("ASSAY_MEMORY")
    monkeypatch.setattr(watch, "machine_memory", lambda: 16 << 30)
    assert watch.allowed_memory() == 8 << 30
    monkeypatch.setattr(watch, "machine_memory", lambda: 1 << 29)
    assert watch.allowed_memory() == watch.LEAST


# -- what does not come up, and what is left of what failed --------------------------------------------------------


@pytest.fixture
def silent(tmp_path):
    """A lane whose workers never say that they are ready, and how many there were."""
    watcher, started = watch.Watch(1 << 30), []

    def start(source):
        folder = tmp_path / str(len(started))
        folder.mkdir()
        ours, theirs = socket.socketpair()
        with theirs:
            child = subprocess.Popen(["sleep", "600"], pass_fds=[theirs.fileno()], start_new_session=True)
        started.append(child)
        return process.Process(process.Spawned(child), ours, source, folder, watcher)

    lane = lanes.Lane("silent", start)
    yield lane, started
    lane.close()
    watcher.close()
    assert all(one.poll() is not None for one in started)


def waiting(lane, started):
    """A task whose worker does not come up."""
    task = lane.submit(lanes.Task("card", (), Source("quick")))
    while not started:
        time.sleep(0.01)
    return task


def test_a_worker_that_does_not_come_up_is_ended(silent, monkeypatch):
    monkeypatch.setattr(watch, "COMING", 0.4)
    task = waiting(*silent)
    with pytest.raises(process.Died, match="it did not come up within 0 s"):
        task.future.result(20)


def test_a_cancel_reaches_a_worker_that_does_not_come_up(silent, monkeypatch):
    monkeypatch.setattr(lanes, "GRACE", 0.2)
    task = waiting(*silent)
    silent[0].cancel(task)
    with pytest.raises(Cancelled):
        task.future.result(20)


def test_closing_reaches_a_worker_that_does_not_come_up(silent):
    task = waiting(*silent)
    began = time.monotonic()
    silent[0].close()
    assert time.monotonic() - began < 10
    with pytest.raises(process.Died):
        task.future.result(0)


@pytest.fixture
def aside(tmp_path):
    """A worker of which the test is the other side of the socket."""
    watcher = watch.Watch(1 << 30)
    (tmp_path / "scratch").mkdir()
    ours, theirs = socket.socketpair()
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    found = process.Process(process.Spawned(child), ours, Source("quick"), tmp_path / "scratch", watcher)
    yield found, theirs
    theirs.close()
    found.close()
    watcher.close()


def test_who_does_not_read_holds_nobody_up(aside, monkeypatch):
    monkeypatch.setattr(watch, "HEARING", 0.4)
    worker, _ = aside
    began = time.monotonic()
    for number in range(20_000):
        worker.hint("prepare", number, None)
    assert time.monotonic() - began < 20
    assert worker.alive
    threading.Timer(0.6, lambda: aside[1].close()).start()  # in a worker's place, which closes its socket as it ends
    with pytest.raises(process.Died, match="it did not listen"):
        worker.send("look", 1, np.zeros(1 << 20))
    assert not worker.alive


@pytest.mark.parametrize("body", [None, 3, ("no", "sentence"), {"a": 1}])
def test_an_error_is_a_sentence(aside, body):
    worker, theirs = aside
    wire.send(theirs, ("error", 0, body))
    with pytest.raises(process.Died, match="it sent an error that is no sentence"):
        worker.greet()


def test_a_sentence_is_as_long_as_one(aside):
    worker, theirs = aside
    wire.send(theirs, ("error", 0, "x\ud800" * 10_000))
    with pytest.raises(UserError) as told:
        worker.greet()
    assert str(told.value) == "x?" * (process.LONGEST // 2) + "…"


def test_a_model_is_loaded_once_and_what_follows_is_bounded(aside, monkeypatch, tmp_path):
    """A forged "loaded" took the deadline away, and each of them gave another."""
    worker, theirs = aside
    worker.source = Source("theirs", path=str(tmp_path / "x.onnx"))
    lane = lanes.Lane("loaded", lambda source: worker)
    task = lanes.Task("card", (), worker.source)
    for body in ("loaded", "loaded"):
        wire.send(theirs, (body, task.number, None))
    monkeypatch.setitem(watch.COMPUTING, "card", 50.0)
    found = []

    def answer():
        try:
            lane._answer(worker, task)
        except UserError as error:
            found.append(str(error))

    thread = threading.Thread(target=answer)
    thread.start()
    time.sleep(0.3)
    assert 45 < worker.deadline.at - time.monotonic() < 50
    wire.send(theirs, ("error", task.number, "No."))
    thread.join(10)
    assert found == ["No."]
    lane.close()


def test_a_run_ends_for_others_alone(aside, monkeypatch):
    monkeypatch.setenv("ASSAY_RUN_MINUTES", "0.001")
    worker, _ = aside
    others = []
    worker.deadline = watch.computing("explain", worker.source, lambda: bool(others))
    time.sleep(0.5)
    assert worker.alive
    others.append("somebody")
    deadline = time.monotonic() + 10
    while worker.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker.liar("").args == ("it took longer than 0.001 minutes, and others wait",)


def held():
    """What this process holds: descriptors, threads, children and temporary folders."""
    files = {os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd") if _open(one)}
    folders = {one.name for one in Path(tempfile.gettempdir()).glob("assay-*")}
    return files, {one.name for one in threading.enumerate()}, set(children(os.getpid())), folders


def _open(number):
    return os.path.islink(f"/proc/self/fd/{number}")


@linux
@pytest.mark.parametrize("name", ["ASSAY_MEMORY", "ASSAY_QUOTA_GIB", "ASSAY_RUN_MINUTES"])
def test_a_runtime_that_cannot_start_leaves_nothing(start, monkeypatch, name):
    before = held()
    monkeypatch.setenv(name, "lots")
    with pytest.raises(UserError, match=name):
        start()
    assert held() == before


@linux
def test_a_script_whose_settings_are_wrong_leaves_nothing(monkeypatch):
    before = held()
    monkeypatch.setenv("ASSAY_MEMORY", "lots")
    with pytest.raises(UserError, match="ASSAY_MEMORY"):
        explainers.open_model("adult_mlp")
    assert held() == before


@linux
def test_a_warm_process_that_cannot_be_started_leaves_nothing(tmp_path, monkeypatch):
    before = held()
    monkeypatch.setattr(warm, "python", lambda module: [str(tmp_path / "no such program")])
    folder = tmp_path / "zygote"
    folder.mkdir()
    with pytest.raises(OSError, match="no such program"):
        warm.Zygote(tmp_path / "log", folder, None)
    assert not folder.exists()
    assert held() == before


@linux
def test_a_runtime_leaves_nothing(start, ask):
    before = held()
    runtime = start()
    assert runtime.wait(ask(runtime), LIMIT).status == "done"
    runtime.close()
    assert held() == before
    assert not list((runtime.workspace / "scratch").iterdir())


@linux
def test_a_worker_that_says_too_much_of_its_model_is_ended(start, row):
    runtime = start()
    with pytest.raises(UserError, match="it said more of its model than a screen can hold"):
        runtime.look("wordy", runtime.put(row, "row.json"))
    assert runtime._look.pids() == ()
    assert runtime.look("quick", runtime.put(row, "row.json")).card.notes == ()


CARD = ModelCard("m", "M", "text", "classification", "logit", ("no", "yes"))
PART = Part("a", "Linear", 0, 1)
SAID = Reading("x", "X", "", Facts(tokenizer="x" * (8 << 20)), choices=(Choice("a", "A", "it fits"),) * 1000)
EXAMINED = Diagnosis(CARD, "", "", "", 1, 1, 1, 1.0, 1.0, "cpu", (PART,) * 100_000, (), ())


@pytest.mark.parametrize(
    "found",
    [
        replace(CARD, labels=tuple(f"token {one}" for one in range(250_000))),
        replace(CARD, modality="tabular", columns=(Column("a", categories=tuple("abc")),) * 5000),
        SAID,
        EXAMINED,
        TextView("a " * 1_000_000, ((0, 1),) * 1_000_000, 510, ("a",) * 512, ((0, 1),) * 512, (0,) * 512),
    ],
    ids=["vocabulary", "wide table", "reading", "check-up", "a person's long text"],
)
def test_what_is_said_of_a_large_model_is_not_too_much(found):
    assert modest(found)


@pytest.mark.parametrize(
    "found",
    [
        replace(CARD, labels=("x" * 20_000_000,)),
        replace(CARD, labels=("",) * 1_000_000),
        replace(CARD, labels=("x" * 1000,) * 10_000),
        replace(CARD, notes=("",) * 10_000),
        replace(CARD, columns=(Column("a"),) * 100_000),
        replace(CARD, columns=(Column("a", categories=("",) * 200_000),)),
        replace(SAID, guess=Facts(labels=("x" * 1000,) * 10_000)),
        replace(SAID, guess=Facts(tokenizer="x" * (65 << 20))),
        replace(SAID, choices=SAID.choices * 10),
        replace(EXAMINED, parts=EXAMINED.parts * 2),
        replace(EXAMINED, findings=(Finding("a", "A", "pass", ""),) * 2000),
        replace(EXAMINED, card=replace(CARD, title="x" * 200_000)),
    ],
)
def test_what_is_said_of_a_model_is_bounded(found):
    assert not modest(found)
