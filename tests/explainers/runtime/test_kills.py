"""kill -9 of the server in the middle of jobs, again and again: nothing is lost, damaged or doubled, nothing is left.

Each round starts a server on the same workspace, which takes up what the last one left, asks for more, and is killed at
a random moment. Five rounds run in CI, three hundred with `make soak`.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import explainers
from explainers import open_record
from explainers.runtime.store import STOPPED

HERE = Path(__file__).parent
SCRIPT = f"""
import sys, time
sys.path.insert(0, {str(HERE)!r})
from conftest import ROW
from explainers.runtime import Request, Runtime
runtime = Runtime(sys.argv[1], "cpu", catalogue="toy_catalogue", server=False)
runtime._jobs.resume()
digest = runtime.put(ROW, "row.json")
for model, seed in (("quick", 0), ("quick", 1), ("quick", 2), ("slow", 0)):
    asked = Request(model, digest, "integrated_gradients", {{"steps": 16}}, 1, seed=seed)
    print(runtime.submit(asked, "me"), flush=True)
while runtime._run.pid() is None: time.sleep(0.01)
print("ready", flush=True)
time.sleep(600)
"""


def descendants(pid):
    """A process and all below it, by /proc."""
    parents = {}
    for one in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[int(one)] = int(Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[1])
    found, rest = set(), [pid]
    while rest:
        one = rest.pop()
        found.add(one)
        rest += [child for child, parent in parents.items() if parent == one]
    return found


def kill_once(workspace, chance):
    """One server, killed up to a second after its first worker is there; the jobs that it accepted."""
    accepted, below = [], set()
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(workspace)], stdout=subprocess.PIPE, text=True) as server:
        for line in server.stdout:
            word = line.strip()
            if word == "ready":
                break
            accepted.append(word)
        time.sleep(chance.random())
        below = descendants(server.pid) - {server.pid}
        server.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while left := [pid for pid in below if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
    return accepted


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("rounds", [5, pytest.param(300, marks=pytest.mark.soak)])
def test_a_server_that_is_killed_loses_nothing(rounds, start, tmp_path, row, monkeypatch):
    from toy_catalogue import load

    workspace, chance, accepted = tmp_path / "killed", random.Random(7), []
    for _ in range(rounds):
        accepted += kill_once(workspace, chance)
    assert len(accepted) == 4 * rounds
    after = start(workspace, server=True)
    expected = explainers.explain(load("quick"), row, "integrated_gradients", target=1, steps=16).values
    ends = {id: after.wait(id, 120) for id in accepted}
    assert {id for id, job in ends.items() if job.status != "done" and job.message != STOPPED} == set()
    done = [job for job in ends.values() if job.status == "done"]
    assert len(done) >= 3 * rounds
    found = [open_record(after.record(job.id)).only.values for job in done]  # as written, not from memory
    np.testing.assert_allclose(found, [expected] * len(found), rtol=1e-12)  # batches are found by timing
    assert sorted(job.id for job in after.jobs(None)) == sorted(accepted)  # none twice
    assert [one.name for one in (workspace / "scratch").iterdir()] == [after._nursery._scratch.folder.name]
    unfinished = [one for one in (workspace / "blobs").rglob("*") if one.name.endswith(".part")]
    assert len(unfinished) <= rounds  # a kill in the middle of writing leaves one, which is swept when it is a day old
