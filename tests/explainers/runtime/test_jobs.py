"""Jobs in real worker processes: they finish, stop, die and come back as they should."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import explainers
from explainers.runtime import Runtime
from explainers.runtime import lane as lanes
from explainers.runtime.types import COMMAND_LINE, Source
from model_zoo.types import UserError

LIMIT = 60


def descriptors():
    """How many files this process has open; 0 where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def under_way(runtime, job):
    """Wait until a job has made progress."""
    end = time.monotonic() + LIMIT
    while not (runtime.job(job).status == "running" and runtime.job(job).done > 0):
        assert time.monotonic() < end, runtime.job(job)
        assert runtime.job(job).status in ("queued", "running"), runtime.job(job)
        time.sleep(0.01)


def test_a_worker_gives_the_values_of_this_process(runtime, ask, row):
    from toy_catalogue import load

    job = ask(runtime, parameters={"steps": 16}, target=1)
    done = runtime.wait(job, LIMIT)
    assert (done.status, done.title) == ("done", "Integrated gradients on The quick model, row.json")
    found = runtime.result(job)
    direct = explainers.explain(load("quick"), row, "integrated_gradients", target=1, steps=16)
    np.testing.assert_array_equal(found.values, direct.values)
    np.testing.assert_allclose(found.values.sum(), np.tanh([1, 0.5, -1]) @ [1, -2, 3], rtol=1e-4)
    assert explainers.open_record(runtime.record(job)).values.tolist() == found.values.tolist()
    assert done.seconds > 0


def test_a_look_shows_input_and_prediction_and_is_remembered(runtime, row):
    digest = runtime.put(row, "row.json")
    look = runtime.look("quick", digest, players="columns")
    assert look.sample.x.tolist() == [1, 0.5, -1, 2]
    assert look.players.names == ("a", "b", "c", "d")
    np.testing.assert_allclose(look.prediction.raw[1], np.tanh([1, 0.5, -1]) @ [1, -2, 3], rtol=1e-5)
    assert runtime.look("quick", digest, players="columns") is look
    assert runtime.device() is None or runtime.device().id == "cpu"


def test_rows_of_a_csv(runtime):
    digest = runtime.put(b"a,b,c,d\n1,2,3,4\n5,6,7,8\n", "rows.csv")
    assert [one["c"] for one in runtime.rows("quick", digest)] == ["3", "7"]


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"model": "quck"}, "There is no model 'quck'"),
        ({"method": "magic"}, "There is no method 'magic'"),
        ({"method": "grad_cam"}, "Grad-CAM"),
        ({"parameters": {"stepz": 1}}, "no parameter 'stepz'"),
    ],
)
def test_a_request_that_cannot_be_is_refused_at_once(runtime, ask, about, message):
    with pytest.raises(UserError, match=message):
        ask(runtime, **about)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("unloadable", "has no weights; train it first"),
        ("memory", "memory"),
        ("odd", "unexpected ZeroDivisionError"),
        ("failing", r"could not be run on 2 inputs of shape \(4,\); it said: no such luck"),
        ("exit", r"stopped while computing \(it exited with code 3\). Nothing else was lost: run it again"),
        ("crash", r"stopped while computing \(killed by signal 11\)"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_the_next_job_works(runtime, ask, model, message):
    bad = ask(runtime, model)
    good = ask(runtime)
    assert runtime.wait(bad, LIMIT).status == "failed"
    with pytest.raises(UserError, match=message) as told:
        runtime.result(bad)
    assert "secret" not in str(told.value)
    assert "Traceback" not in str(told.value)
    assert runtime.wait(good, LIMIT).status == "done"


def test_the_log_keeps_what_the_person_is_spared(runtime, ask):
    runtime.wait(ask(runtime, "odd"), LIMIT)
    assert "secret detail" in (runtime.workspace / "logs" / "worker-run.log").read_text()


def test_progress_and_partial_results_arrive_and_versions_rise(runtime, ask):
    job = ask(runtime, "slow", parameters={"steps": 32, "most": 64, "tolerance": 1e-6})
    seen, partial = [], None
    while (now := runtime.job(job)).status in ("queued", "running"):
        seen.append(now)
        partial = partial or runtime.partial(job)
        time.sleep(0.01)
    assert now.status == "done"
    versions = [one.version for one in [*seen, now]]
    assert versions == sorted(versions)
    assert len(set(versions)) >= 4
    assert any(0 < one.done < one.total for one in seen)
    assert partial is not None
    assert partial.values.shape == (4,)
    assert partial.evidence == ()


def test_cancel_stops_at_the_next_batch_and_the_worker_lives_on(runtime, ask):
    job, next_job = ask(runtime, "slow", parameters={"steps": 512}), ask(runtime)
    under_way(runtime, job)
    worker, began = runtime._run.pid(), time.monotonic()
    runtime.cancel(job)
    assert runtime.wait(job, LIMIT).status == "cancelled"
    assert time.monotonic() - began < lanes.GRACE
    assert runtime.wait(next_job, LIMIT).status == "done"
    assert worker in runtime._run.pids()
    with pytest.raises(UserError, match="cancelled"):
        runtime.result(job)


def test_cancel_of_a_waiting_job_and_of_one_that_does_not_listen(runtime, ask, monkeypatch):
    monkeypatch.setattr(lanes, "GRACE", 0.3)
    stuck, waiting = ask(runtime, "stuck", "occlusion"), ask(runtime)
    runtime.cancel(waiting)
    assert runtime.wait(waiting, LIMIT).status == "cancelled"
    while runtime.job(stuck).total == 0:
        time.sleep(0.01)
    runtime.cancel(stuck)
    assert runtime.wait(stuck, LIMIT).status == "cancelled"
    assert runtime.wait(ask(runtime), LIMIT).status == "done"


def test_a_cancel_that_comes_late_is_not_kept_for_ever(toys):
    from explainers.runtime import wire
    from explainers.runtime.worker import Settings, Worker

    parent, child = socket.socketpair()
    with parent, child:
        settings = Settings("look", "cpu", 1, toys, "", (), 1 << 30, 1 << 20)
        worker = Worker(child, settings, Source("quick"), ())
        worker._cancelled.update((2, 4))
        for number in (4, 5):  # the first is cancelled while it waits; 2 was over before its cancel came
            worker._answer("rows", number, (b"a,b,c,d\n1,2,3,4\n", "rows.csv"))
        found = [wire.receive(parent)[:2] for _ in range(3)]
        assert found == [("cancelled", 4), ("loaded", 5), ("result", 5)]
        assert worker._cancelled == set()


def test_kill_in_mid_job_fails_that_job_alone(runtime, ask):
    before = ask(runtime)
    runtime.wait(before, LIMIT)
    job, after = ask(runtime, "slow", parameters={"steps": 512}), ask(runtime)
    under_way(runtime, job)
    os.kill(runtime._run.pid(), signal.SIGKILL)
    assert runtime.wait(job, LIMIT).status == "failed"
    assert "killed by signal 9" in runtime.job(job).message
    assert runtime.wait(after, LIMIT).status == "done"
    assert runtime.result(before).values.shape == (4,)


def test_owners_take_turns(runtime, ask, monkeypatch):
    started, all_wait, note = [], threading.Event(), runtime._store.start

    def start(job):
        assert all_wait.wait(LIMIT)
        started.append(job.id)
        return note(job)

    monkeypatch.setattr(runtime._store, "start", start)
    many = [ask(runtime, owner="many") for _ in range(4)]
    one = [ask(runtime, owner="one") for _ in range(2)]
    all_wait.set()
    for job in many + one:
        assert runtime.wait(job, LIMIT).status == "done"
    assert started == [many[0], one[0], many[1], one[1], many[2], many[3]]
    assert [job.id for job in runtime.jobs("one")] == one[::-1]
    assert [job.id for job in runtime.jobs("one", limit=1)] == one[1:]
    assert {job.owner for job in runtime.jobs(None)} >= {"one", "many"}
    assert runtime.past("quick", "integrated_gradients").seconds == runtime.job(one[-1]).seconds  # the last asked


def test_a_browser_sees_what_the_command_line_ran_and_the_jobs_of_one_click(runtime, ask):
    asked = [ask(runtime, owner=COMMAND_LINE), ask(runtime, owner="browser", group="click")]
    ask(runtime, owner="another browser")
    assert [(job.id, job.owner) for job in runtime.jobs("browser")] == [
        (asked[1], "browser"),
        (asked[0], COMMAND_LINE),
    ]
    assert [job.id for job in runtime.jobs("browser", group="click")] == asked[1:]
    assert runtime.wait(asked[1], LIMIT).status == "done"
    assert runtime.jobs("browser")[0].status == "done"


def test_many_threads_ask_at_once(runtime, ask, row):
    digest, found = runtime.put(row, "row.json"), []

    def work():
        found.append(runtime.look("quick", digest).prediction.raw[1])
        found.append(runtime.result(runtime.wait(ask(runtime, target=1), LIMIT).id).explained)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(LIMIT)
    assert len(found) == 12
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


def test_deleting_a_job_that_runs_stops_it_and_leaves_nothing(start, ask):
    runtime = start()
    job = ask(runtime, "slow", parameters={"steps": 512})
    under_way(runtime, job)
    input = runtime.job(job).request.input
    runtime.delete(job)
    with pytest.raises(UserError, match="no longer in the workspace"):
        runtime.job(job)
    assert runtime.name(input) == "row.json"  # a screen may still show it
    assert runtime.wait(ask(runtime), LIMIT).status == "done"
    assert len(runtime.jobs("me")) == 1


def running(pid):
    """Whether a process runs; what has ended may wait a moment for init to take note of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_close_leaves_no_process_thread_or_descriptor(start, ask, tmp_path):
    start(tmp_path / "other").close()  # what Python opens once and for all
    before, threads = descriptors(), threading.active_count()
    runtime = start(tmp_path / "closing", server=True)
    runtime.look("quick", runtime.put(b'{"a":1,"b":1,"c":1,"d":1}', "x"))
    runtime.wait(ask(runtime), LIMIT)
    pids = [runtime._run.pid(), runtime._look.pid()]
    job = ask(runtime, "stuck", "occlusion")
    runtime.close()
    runtime.close()  # once more does no harm
    deadline = time.monotonic() + LIMIT
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(running, pids))
    assert descriptors() == before
    assert threading.active_count() == threads
    again = start(tmp_path / "closing")
    assert again.job(job).status in ("queued", "running")  # for the next server


def test_what_was_cancelled_before_closing_is_not_taken_up_again(start, ask, tmp_path):
    """Ctrl-C on the command line: cancel, and close at once, without waiting for the worker to stop."""
    runtime = start(tmp_path / "closing")
    job = ask(runtime, "stuck", "occlusion")
    while runtime.job(job).total == 0:
        time.sleep(0.01)
    runtime.cancel(job)
    runtime.close()
    assert start(tmp_path / "closing", server=True).job(job).status == "cancelled"


def test_a_result_that_cannot_be_kept_fails_its_job_with_a_sentence(start, ask, monkeypatch):
    runtime = start()
    monkeypatch.setattr(runtime._store, "finish", lambda *_: 1 / 0)
    job = ask(runtime)
    assert runtime.wait(job, LIMIT).status == "failed"
    with pytest.raises(UserError, match=r"could not be kept \(ZeroDivisionError\)"):
        runtime.result(job)


def test_a_restarted_server_finishes_what_a_killed_one_left(start, ask, toys, tmp_path):
    """kill -9 of the whole server: what was done stays, what waited or ran is computed by the next one."""
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from conftest import ROW
from explainers.runtime import Request, Runtime
runtime = Runtime({str(tmp_path / "left")!r}, "cpu", catalogue="toy_catalogue", server=False)
digest = runtime.put(ROW, "row.json")
ask = lambda model, **parameters: runtime.submit(Request(model, digest, "integrated_gradients", parameters), "me")
done = ask("quick"); runtime.wait(done)
jobs = [done, ask("slow", steps=64), ask("quick")]
while not runtime.job(jobs[1]).done: time.sleep(0.01)
print(*jobs, runtime._run.pid(), flush=True)
time.sleep(600)
"""
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with server:
        done, running, queued, pid = server.stdout.readline().split()
        values = start(tmp_path / "left").result(done).values
        assert start(tmp_path / "left", server=True).job(running).status == "running"  # its server still lives
        server.kill()
    end = time.monotonic() + 10
    with contextlib.suppress(ProcessLookupError):  # its worker goes with it
        while time.monotonic() < end:
            os.kill(int(pid), 0)
            time.sleep(0.05)
    assert time.monotonic() < end
    after = start(tmp_path / "left", server=True)
    assert [after.wait(job, LIMIT).status for job in (done, running, queued)] == ["done"] * 3
    assert after.result(done).values.tolist() == values.tolist()


def test_a_device_that_is_not_there_is_said(start, toys, tmp_path, row):
    with Runtime(tmp_path / "gpu", "mps", catalogue=toys, server=False) as runtime:
        if sys.platform == "darwin":
            pytest.skip("this machine may have one")
        with pytest.raises(UserError, match="no MPS device"):
            runtime.look("quick", runtime.put(row, "row.json"))


def test_the_parent_never_loads_torch(tmp_path):
    script = f"""
import sys, json
from explainers.runtime import Request, Runtime
with Runtime({str(tmp_path / "w")!r}, "cpu", catalogue="toy_catalogue", server=False) as runtime:
    digest = runtime.put(b'{{"a":1,"b":1,"c":1,"d":1}}', "x")
    runtime.look("quick", digest)
    job = runtime.submit(Request("quick", digest, "integrated_gradients"), "me")
    assert runtime.wait(job, 60).status == "done", runtime.job(job)
    runtime.result(job)
heavy = {{"torch", "captum", "shap", "lime", "sklearn", "skimage", "plotly", "pandas", "streamlit"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=120)
    assert found.returncode == 0, found.stderr


def test_a_job_of_another_process_cannot_be_cancelled_here(start, ask):
    one, other = start(), start()
    job = ask(one, "stuck", "occlusion")
    with pytest.raises(UserError, match="another Assay"):
        other.cancel(job)
    assert other.job(job).request == one.job(job).request
