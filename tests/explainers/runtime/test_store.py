"""The store: nothing lost, nothing left over, nothing of one person in another's hands, trouble in one sentence."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from explainers import durable
from explainers.runtime import store as stores
from explainers.runtime.store import Store, default_workspace
from explainers.runtime.types import COMMAND_LINE, Job, Request
from model_zoo.types import UserError


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path / "w")
    yield found
    found.close()


def job(store, id="j1", data=b"row", name="row.json", owner="me"):
    found = Job(id, Request("m", store.put(data, name), "lime", {"samples": 10, "rate": 0.5}), owner, "queued")
    store.add(found)
    return found


def blobs(store):
    return sorted(path.name for path in (store.folder / "blobs").glob("??/*"))


def descriptors():
    """How many files this process has open; 0 where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_inputs_keep_bytes_and_name(store):
    one, other = store.put(b"cat", "cat.png"), store.put(b"cat", "secret.png")
    assert store.read(one) == (b"cat", "cat.png")
    assert store.read(other) == (b"cat", "secret.png")
    assert store.put(b"cat", "cat.png") == one
    assert len(blobs(store)) == 1
    assert store.name(store.put(b"cat", "c\udcff.png")) == "c?.png"  # a file name that is no text
    with pytest.raises(UserError, match="no longer in the workspace; choose it again"):
        store.read("sha256:none")


def test_a_job_is_found_again_by_the_next_process(store):
    first = job(store)
    store.start(first)
    done = store.finish(replace(first, status="done", done=5, total=5, version=3, seconds=1.5), b"record")
    store.close()
    again = Store(store.folder)
    assert again.job("j1") == done
    assert again.path(done.result).read_bytes() == b"record"
    assert again.jobs(("me",)) == (done,)
    assert again.jobs(("you",)) == ()
    again.close()


def test_deleting_removes_what_nothing_else_uses(store, monkeypatch):
    one, two = job(store, "j1"), job(store, "j2")
    for each in (one, two):
        store.start(each)
        store.finish(replace(each, status="done"), b"same record")
    store.delete("j1")
    assert store.job("j1") is None
    assert store.read(two.request.input)[0] == b"row"
    assert len(blobs(store)) == 2
    monkeypatch.setattr(stores, "UNUSED", -1)
    store.delete("j2")
    assert blobs(store) == []
    with pytest.raises(UserError, match="choose it again"):
        store.read(one.request.input)
    store.delete("j2")


def test_an_input_outlives_its_jobs_by_a_day_and_so_does_one_that_is_chosen_again(store, monkeypatch):
    """A screen may still show the input of a run that is deleted."""
    shown, again = job(store), store.put(b"again", "a")
    store.put(b"once", "a")
    now = time.time()
    monkeypatch.setattr(stores.time, "time", lambda: now + stores.UNUSED - 60)
    store.delete(shown.id)
    assert store.put(b"again", "a") == again
    monkeypatch.setattr(stores.time, "time", lambda: now + stores.UNUSED + 60)
    store.delete(job(store, "j2", b"other").id)  # deleting anything lets go of what is old
    assert store.read(shown.request.input)[0] == b"row"
    assert store.read(again)[0] == b"again"
    assert len(blobs(store)) == 3
    monkeypatch.setattr(stores.time, "time", lambda: now + 3 * stores.UNUSED)
    store.recover()
    assert blobs(store) == []


def test_the_newest_jobs_those_of_a_click_and_the_last_of_a_method(store):
    made = []
    for number in range(6):
        about = Request(f"m{number % 2}", store.put(b"row", "row.json"), "lime", group=f"click{number // 2}")
        made.append(Job(f"j{number}", about, "me" if number < 5 else "command line", "queued", created="2026"))
        store.add(made[-1])
    for one in made[:4]:
        store.start(one)
        store.finish(replace(one, status="done", seconds=2.0))
    names = lambda found: [one.id for one in found]  # noqa: E731
    assert names(store.jobs(("me",), limit=2)) == ["j4", "j3"]
    assert names(store.jobs(("me", "command line"), limit=2)) == ["j5", "j4"]
    assert names(store.jobs(("me",), group="click1")) == ["j3", "j2"]
    assert names(store.jobs(("me",), group="j0")) == ["j0"]
    assert names(store.jobs(("you",), group="click1")) == []
    assert names(store.jobs(None)) == [f"j{number}" for number in range(5, -1, -1)]
    assert store.past("m0", "lime").id == "j2"
    assert store.past("m1", "lime").seconds == 2.0
    assert store.past("m0", "saliency") is None


def test_the_last_of_a_method_is_looked_up_and_not_searched_for(store):
    with sqlite3.connect(store.folder / "assay.db") as base:
        plan = base.execute(
            f"EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE status='done' AND {stores.MODEL}=? AND {stores.METHOD}=?"
            " ORDER BY rowid DESC LIMIT 1",
            ("m", "lime"),
        ).fetchall()
    base.close()
    assert "INDEX jobs_done (<expr>=? AND <expr>=?)" in plan[0][-1]
    assert len(plan) == 1


def test_what_a_killed_command_line_asked_for_is_failed_since_nobody_waits(store):
    asked, mine = job(store, "asked", owner=COMMAND_LINE), job(store, "mine")
    store.start(asked)
    store.close()
    other = Store(store.folder)
    assert [one.id for one in other.recover()] == [mine.id]
    assert other.job("asked").status == "failed"
    assert "give the command again" in other.job("asked").message
    other.close()


def test_a_job_without_its_input_is_not_taken(store):
    with pytest.raises(UserError, match="choose it again"):
        store.add(Job("j", Request("m", "sha256:none", "lime"), "me", "queued"))


def test_a_finish_after_the_end_changes_nothing(store):
    first = job(store)
    assert store.start(first)
    assert not store.start(first)
    store.finish(replace(first, status="cancelled"))
    store.finish(replace(first, status="done"), b"late")
    assert store.job("j1").status == "cancelled"


def test_jobs_of_a_living_process_are_left_alone_and_of_a_dead_one_taken(store):
    waiting, running = job(store, "waiting"), job(store, "running")
    store.start(running)
    other = Store(store.folder)
    assert other.recover() == ()
    store.close()
    assert [one.id for one in other.recover()] == ["waiting", "running"]
    assert other.job("running").status == "queued"
    assert not store.folder.joinpath("runners", store.runner).exists()
    assert other.start(running)
    assert waiting.request == other.job("waiting").request
    other.close()


def test_a_job_that_was_under_way_in_every_crash_is_given_up(store):
    first = job(store)
    holder = store
    for _ in range(stores.RESTARTS):
        assert holder.start(first)
        holder.close()
        holder = Store(store.folder)
        left = holder.recover()
    assert left == ()
    assert holder.job("j1").status == "failed"
    assert "not started again" in holder.job("j1").message
    holder.close()


def test_old_inputs_and_leftovers_are_swept(store, monkeypatch):
    store.put(b"unused", "a")
    kept = job(store)
    (store.folder / "blobs" / "ab").mkdir(exist_ok=True)
    (store.folder / "blobs" / "ab" / ("0" * 62)).write_bytes(b"nobody's")
    leftover = store.folder / "blobs" / "ab" / f".1{durable.TEMPORARY}"
    leftover.write_bytes(b"half")
    store.recover()
    assert store.put(b"unused", "a")
    assert leftover.exists()  # perhaps of another process that writes it now
    monkeypatch.setattr(stores, "UNUSED", -1)
    store.recover()
    assert len(blobs(store)) == 1
    assert store.read(kept.request.input)[0] == b"row"


def test_an_input_that_lost_its_file_is_said_and_mended(store):
    first = store.put(b"cat", "cat.png")
    next((store.folder / "blobs").glob("??/*")).unlink()
    with pytest.raises(UserError, match="choose it again"):
        store.read(first)
    assert store.read(store.put(b"cat", "cat.png"))[0] == b"cat"


def test_a_full_disk_is_a_sentence_and_what_was_there_stays(store, monkeypatch):
    kept = store.put(b"cat", "cat.png")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device\. Free some space"):
        store.put(b"dog", "dog.png")
    monkeypatch.undo()
    assert store.read(kept)[0] == b"cat"
    assert store.put(b"dog", "dog.png")
    assert len(blobs(store)) == 2


def test_an_input_too_large_is_refused(store, monkeypatch):
    monkeypatch.setattr(stores, "LARGEST_INPUT", 1 << 20)
    with pytest.raises(UserError, match=r"big\.png is too large: an input has at most 1 MiB"):
        store.put(bytes(2 << 20), "big.png")


def test_a_workspace_that_is_none_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be used"):
        Store(tmp_path / "file")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "assay.db").write_bytes(b"this is no database at all, whatever its name may say" * 100)
    with pytest.raises(UserError, match="cannot be used: file is not a database"):
        Store(broken)


def test_a_workspace_of_the_future_asks_for_an_update(tmp_path):
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "assay.db") as base:
        base.execute("PRAGMA user_version=99")
    base.close()
    before = descriptors()
    with pytest.raises(UserError, match="newer Assay"):
        Store(tmp_path)
    assert descriptors() == before
    assert list((tmp_path / "runners").iterdir()) == []


def test_where_the_workspace_is(monkeypatch):
    monkeypatch.setenv("ASSAY_WORKSPACE", "/somewhere/else")
    assert default_workspace() == Path("/somewhere/else")
    monkeypatch.delenv("ASSAY_WORKSPACE")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    if sys.platform != "darwin":
        assert default_workspace() == Path("/data/assay")


def test_two_processes_write_to_one_workspace(store):
    """Threads of this process and another process put, finish and delete at the same time."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from dataclasses import replace
from pathlib import Path
from test_store import Store, job
store = Store(Path({str(store.folder)!r}))
for number in range(15):
    one = job(store, f"other{{number}}")
    store.start(one)
    store.finish(replace(one, status="done"), b"record")
    if number % 2: store.delete(one.id)
store.close()
"""
    other = subprocess.Popen([sys.executable, "-c", script])
    wrong = []

    def work(name):
        try:
            for number in range(8):
                one = job(store, f"{name}{number}")
                store.start(one)
                store.finish(replace(one, status="done"), b"record")
                if number % 2:
                    store.delete(one.id)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert other.wait(60) == 0
    assert wrong == []
    assert len(store.jobs(None)) == 8 + 3 * 4
    assert all(store.path(one.result).read_bytes() == b"record" for one in store.jobs(None))


def test_kill_in_the_middle_of_writing_damages_nothing(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from dataclasses import replace
from pathlib import Path
from test_store import Store, job
store = Store(Path({str(tmp_path)!r}))
for number in range(10**6):
    one = job(store, f"{{sys.argv[1]}}-{{number}}", data=b"%d" % number)
    store.start(one)
    store.finish(replace(one, status="done"), b"record %d" % number)
    print(one.id, flush=True)
"""
    told = set()
    for turn in range(4):
        child = subprocess.Popen([sys.executable, "-c", script, str(turn)], stdout=subprocess.PIPE, text=True)
        with child:
            told |= {child.stdout.readline().strip() for _ in range(7 + turn)}
            os.kill(child.pid, signal.SIGKILL)
            told |= {line.strip() for line in child.stdout if line.endswith("\n")}
    found = Store(tmp_path)
    found.recover()
    for id in told:
        done = found.job(id)
        assert done.status == "done"
        assert found.path(done.result).read_bytes() == b"record " + id.partition("-")[2].encode()
    left = [one for one in found.jobs(None) if one.id not in told]
    assert len(left) <= 2 * 4
    found.close()


def test_a_workspace_from_before_the_index_gets_it(store):
    done = job(store)
    store.close()
    with sqlite3.connect(store.folder / "assay.db") as base:
        base.execute("DROP INDEX jobs_done")
        base.execute("UPDATE jobs SET status='done'")
    base.close()
    again = Store(store.folder)
    assert again.past("m", "lime").id == done.id
    assert again._base.one("SELECT name FROM sqlite_master WHERE name='jobs_done'")
    again.close()
