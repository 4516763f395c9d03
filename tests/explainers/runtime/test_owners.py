"""Two people of one workspace, with the same file names at the same time: neither finds anything of the other."""

import inspect
import io
import json
import os
import sqlite3
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers.runtime import Request, Runtime, sandbox
from explainers.runtime.store import Store
from explainers.runtime.types import COMMAND_LINE, Job
from model_zoo import catalogue
from model_zoo.facts import Facts
from model_zoo.types import Column, UserError

ALICE, BOB = "a11ce" * 6, "b0b00" * 6
LIMIT = 60
contained = pytest.mark.skipif(not sandbox.host().contained, reason="TorchScript is opened in a whole sandbox only")


def facts(label):
    return Facts(modality="tabular", columns=tuple(Column(one) for one in "abcd"), labels=("no", label))


def network(seed):
    torch.manual_seed(seed)
    file = io.BytesIO()
    torch.jit.save(
        torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))), file
    )
    return file.getvalue()


def person(runtime, owner, seed, word):
    """Somebody's model, sample and finished run; `word` is in all that is theirs alone."""
    upload = runtime.receive(io.BytesIO(network(seed)), "net.ts", owner)
    runtime.inspect(upload.id, owner)
    card = runtime.describe(upload.id, owner, facts(word))
    row = json.dumps({"a": float(seed), "b": 1.0, "c": -1.0, "d": 0.5}).encode()
    input = runtime.put(row, "row.json", owner)
    job = runtime.submit(Request(card.id, input, "integrated_gradients", group="click"), owner)
    return SimpleNamespace(owner=owner, model=card.id, input=input, job=job, word=word, row=row, seed=seed)


@pytest.fixture(scope="module")
def two(toys, tmp_path_factory):
    """A runtime with two people who did the same at the same time."""
    with Runtime(tmp_path_factory.mktemp("two"), "cpu", catalogue=toys, server=False) as runtime:
        found = {}
        threads = [
            threading.Thread(target=lambda about=about: found.update({about[0]: person(runtime, *about)}))
            for about in ((ALICE, 1, "alice_label"), (BOB, 2, "bob_label"))
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        for one in found.values():
            assert runtime.wait(one.job, LIMIT).status == "done", runtime.job(one.job)
        yield runtime, found[ALICE], found[BOB]


# What one person may try with the other's ids: what comes of it, for each public method of Runtime.
TRIES = {
    "cards": lambda r, me, it: r.cards(me),
    "card": lambda r, me, it: r.card(it.model, me),
    "look": lambda r, me, it: r.look(it.model, it.mine, owner=me),
    "rows": lambda r, me, it: r.rows(it.model, it.mine, owner=me),
    "doctor": lambda r, me, it: r.doctor(it.model, None, me),
    "submit": lambda r, me, it: r.submit(Request(it.model, it.mine, "saliency"), me),
    "uploads": lambda r, me, it: r.uploads(me),
    "upload": lambda r, me, it: r.upload(it.model, me),
    "inspect": lambda r, me, it: r.inspect(it.model, me),
    "describe": lambda r, me, it: r.describe(it.model, me, Facts(title="mine now")),
    "rename": lambda r, me, it: r.rename(it.model, "mine now", me),
    "remove": lambda r, me, it: r.remove(it.model, me),
    "quota": lambda r, me, it: r.quota(me),
    "read": lambda r, me, it: r.read(it.input, me),
    "name": lambda r, me, it: r.name(it.input, me),
    "samples": lambda r, me, it: r.samples(me),
    "rename_sample": lambda r, me, it: r.rename_sample(it.input, "mine now", me),
    "remove_sample": lambda r, me, it: r.remove_sample(it.input, me),
    "job": lambda r, me, it: r.job(it.job, me),
    "jobs": lambda r, me, it: (r.jobs(me), r.jobs(me, group=it.job)),
    "partial": lambda r, me, it: r.partial(it.job, me),
    "result": lambda r, me, it: r.result(it.job, me),
    "record": lambda r, me, it: r.record(it.job, me),
    "cancel": lambda r, me, it: r.cancel(it.job, me),
    "delete": lambda r, me, it: r.delete(it.job, me),
    "wait": lambda r, me, it: r.wait(it.job, 1, me),
    "past": lambda r, me, it: r.past("quick", "integrated_gradients"),
    "receive": lambda r, me, it: r.receive(io.BytesIO(it.bytes), "net.ts", me),
    "attach": lambda r, me, it: r.attach(it.where, me),
}
SAMPLE_TRIES = {  # a model of one's own, or a bundled one, and the other's input
    "look": lambda r, me, it: r.look("quick", it.input, owner=me),
    "rows": lambda r, me, it: r.rows("quick", it.input, owner=me),
    "doctor": lambda r, me, it: r.doctor("quick", it.input, me),
    "submit": lambda r, me, it: r.submit(Request("quick", it.input, "saliency"), me),
}
NOBODYS = {"put", "device", "host", "warm", "close"}  # tells nothing of anybody


def public():
    return {name for name, one in inspect.getmembers(Runtime, inspect.isfunction) if not name.startswith("_")}


def test_every_public_method_is_tried():
    assert public() == TRIES.keys() | NOBODYS


def came_of(act, runtime, me, it):
    try:
        return repr(act(runtime, me, it)), ""
    except UserError as error:
        return "", str(error)


@contained
@pytest.mark.parametrize(
    ("name", "act"),
    [*TRIES.items(), *SAMPLE_TRIES.items()],
    ids=[*TRIES, *(f"sample-{name}" for name in SAMPLE_TRIES)],
)
def test_what_is_anothers_and_what_is_nobodys_are_told_alike(two, name, act):
    runtime, alice, bob = two
    for me, other in ((alice, bob), (bob, alice)):
        theirs = SimpleNamespace(
            **{**vars(other), "mine": me.input, "bytes": network(other.seed)},
            where=runtime._store.uploads.where(runtime.upload(other.model, other.owner)),
        )
        nobodys = SimpleNamespace(
            model="f" * 32, job="f" * 32, input="sha256:" + "f" * 64, mine=me.input, bytes=b"", where=Path("/nowhere")
        )
        found, told = came_of(act, runtime, me.owner, theirs)
        for secret in (other.word, other.owner, other.model, other.job, other.input):
            assert secret not in found
        if name not in ("receive", "attach"):
            expected = came_of(act, runtime, me.owner, nobodys)
            alike = [one.replace("f" * 32, other.model).replace("sha256:" + "f" * 64, other.input) for one in expected]
            assert [found, told] == alike
        if name == "receive":  # the very same file: one's own, and nothing of what the other said of it
            own = runtime.uploads(me.owner)[0]
            assert (own.facts, own.reading, own.card) == (Facts(), None, None)
            runtime.remove(own.id, me.owner)
    for one in (alice, bob):
        assert runtime.upload(one.model, one.owner).facts == facts(one.word)
        assert runtime.read(one.input, one.owner) == (one.row, "row.json")


@contained
def test_each_finds_all_of_their_own(two):
    runtime, alice, bob = two
    for me in (alice, bob):
        assert [one.id for one in runtime.uploads(me.owner)] == [me.model]
        assert runtime.cards(me.owner)[-1] == runtime.card(me.model, me.owner)
        assert runtime.card(me.model, me.owner).labels == ("no", me.word)
        assert [(one.digest, one.name, one.size) for one in runtime.samples(me.owner)] == [
            (me.input, "row.json", len(me.row))
        ]
        look = runtime.look(me.model, me.input, owner=me.owner)
        assert look.card.labels == ("no", me.word)
        assert runtime.doctor(me.model, me.input, me.owner).card.id == me.model
        found = runtime.result(me.job, me.owner)
        path = runtime._store.uploads.where(runtime.upload(me.model, me.owner))
        local = model_zoo.load(path, trust=True, card=facts(me.word))
        near = explainers.explain(local, me.row, "integrated_gradients", batches=found.provenance.batches)
        np.testing.assert_allclose(found.values, near.values, rtol=1e-6)
        assert [one.id for one in runtime.jobs(me.owner, group="click")] == [me.job]
    assert runtime.quota(ALICE).used == len(network(1)) + len(alice.row)


def test_without_an_owner_there_are_bundled_models_alone(two):
    runtime, alice, _ = two
    assert alice.model not in {card.id for card in runtime.cards()}
    with pytest.raises(UserError, match="There is no model"):
        runtime.look(alice.model, alice.input)


# -- a model's life ----------------------------------------------------------------------------------------------------


@contained
def test_a_file_is_read_described_used_renamed_and_removed_for_good(start, tmp_path):
    runtime = start()
    data = network(3)
    upload = runtime.receive(io.BytesIO(data), "net.ts", ALICE)
    reading, opened = runtime.inspect(upload.id, ALICE), runtime._open.pid()
    assert reading.format == "torchscript"
    assert runtime.upload(upload.id, ALICE).reading == reading
    with pytest.raises(UserError):
        runtime.describe(upload.id, ALICE, Facts(modality="tabular", columns=(Column("a"),), labels=("x", "y")))
    assert runtime.upload(upload.id, ALICE).card is None
    card = runtime.describe(upload.id, ALICE, facts("yes"))
    assert (card.id, card.title, card.labels) == (upload.id, "net", ("no", "yes"))
    row, loaded = runtime.put(b'{"a":1,"b":1,"c":1,"d":1}', "row.json", ALICE), runtime._open.pid()
    runtime.look(upload.id, row, owner=ALICE)
    assert opened == loaded == runtime._open.pid()  # one worker reads the file, is told the facts, and looks
    job = runtime.submit(Request(upload.id, row, "integrated_gradients"), ALICE)
    assert runtime.wait(job, LIMIT).title == "Integrated gradients on net, row.json"
    runtime.rename(upload.id, "My net", ALICE)
    assert runtime.look(upload.id, row, owner=ALICE).card.title == "My net"
    assert runtime.receive(io.BytesIO(data), "again.ts", ALICE).card.title == "My net"
    workers = {*runtime._look.pids(), *runtime._run.pids(), *runtime._open.pids()}
    assert workers
    runtime.remove(upload.id, ALICE)
    assert not any(path.read_bytes() == data for path in (tmp_path / "workspace").rglob("*") if path.is_file())
    end = time.monotonic() + 10
    while any(_lives(pid) for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert runtime.result(job, ALICE).card.title == "net"
    with pytest.raises(UserError, match=rf"There is no model '{upload.id}'; it was removed, or never was one of yours"):
        runtime.submit(runtime.job(job).request, ALICE)
    assert runtime.quota(ALICE).used == len(b'{"a":1,"b":1,"c":1,"d":1}')


def _lives(pid):
    state = Path(f"/proc/{pid}/stat")
    try:
        return ") Z " not in state.read_text()
    except OSError:
        return False


@contained
def test_removing_a_model_that_computes_stops_it(start):
    runtime = start()
    torch.manual_seed(0)

    class Stuck(torch.nn.Module):
        def forward(self, x):
            total = torch.zeros(1)
            if x.shape[0] > 2:
                while bool(total < 1):
                    total = total * 1.0
            return x[:, :2] + total

    file = io.BytesIO()
    torch.jit.save(torch.jit.script(Stuck()), file)
    upload = runtime.receive(io.BytesIO(file.getvalue()), "net.ts", ALICE)
    runtime.describe(upload.id, ALICE, facts("yes"))
    row = runtime.put(b'{"a":1,"b":1,"c":1,"d":1}', "row.json", ALICE)
    jobs = [runtime.submit(Request(upload.id, row, "kernel_shap"), ALICE) for _ in range(2)]
    while runtime.job(jobs[0]).status != "running" or not runtime.job(jobs[0]).total:
        time.sleep(0.02)
    began = time.monotonic()
    runtime.remove(upload.id, ALICE)
    assert [runtime.wait(one, LIMIT).status for one in jobs] == ["cancelled"] * 2
    assert time.monotonic() - began < 3


def test_what_cannot_be_opened_keeps_its_sentence(start):
    runtime = start()
    upload = runtime.receive(io.BytesIO(b"neither this nor that"), "notes.bin", ALICE)
    with pytest.raises(UserError, match=r"notes\.bin is none of the model files"):
        runtime.inspect(upload.id, ALICE, Facts(modality="text"))
    assert not runtime.upload(upload.id, ALICE).problem  # another answer may mend it
    with pytest.raises(UserError, match=r"notes\.bin is none of the model files"):
        runtime.inspect(upload.id, ALICE, Facts())  # nothing more is said than before, as a browser does
    assert runtime.upload(upload.id, ALICE).problem.startswith("notes.bin is none of the model files")
    assert runtime.cards(ALICE) == runtime.cards()


@contained
def test_where_the_sandbox_does_not_hold_a_browser_is_told(start, monkeypatch):
    import dataclasses

    host = dataclasses.replace(sandbox.host(), contained=False)
    monkeypatch.setattr(sandbox, "host", lambda: host)
    runtime = start()
    upload = runtime.receive(io.BytesIO(network(1)), "net.ts", ALICE)
    with pytest.raises(
        UserError, match=r"net\.ts is a TorchScript.*lacks a part of the sandbox.*ask who runs this server"
    ):
        runtime.describe(upload.id, ALICE, Facts(modality="text"))


# -- samples -----------------------------------------------------------------------------------------------------------


def test_files_are_kept_and_typed_texts_and_examples_are_not_listed(start):
    runtime = start()
    cat = runtime.put(b"meow", "cat.png", ALICE)
    runtime.put(b"a typed text", "typed text", ALICE)
    runtime.put(b"{}", "rows.csv, row 3", ALICE)
    example, name = catalogue.read_example(catalogue.examples()[0].id)
    shared = runtime.put(example, name, ALICE)
    assert [(one.digest, one.name, one.size) for one in runtime.samples(ALICE)] == [(cat, "cat.png", 4)]
    assert runtime.read(shared, BOB) == (example, name)
    with pytest.raises(UserError, match="no longer in the workspace; choose it again"):
        runtime.read(cat, BOB)
    assert runtime.read(runtime.put(b"meow", "cat.png", BOB), BOB) == (b"meow", "cat.png")


def test_a_kept_file_outlives_the_day_until_it_is_removed(start, monkeypatch):
    from explainers.runtime import store as stores

    runtime = start()
    kept, typed = runtime.put(b"meow", "cat.png", ALICE), runtime.put(b"text", "typed text", ALICE)
    now = time.time()
    monkeypatch.setattr(stores.time, "time", lambda: now + 2 * stores.UNUSED)
    runtime._store.recover()
    assert runtime.read(kept, ALICE)[0] == b"meow"
    with pytest.raises(UserError, match="choose it again"):
        runtime.read(typed, ALICE)
    runtime.remove_sample(kept, ALICE)
    assert runtime.samples(ALICE) == ()
    assert list((runtime.workspace / "blobs").glob("??/*")) == []
    with pytest.raises(UserError, match="choose it again"):
        runtime.remove_sample(kept, ALICE)


def test_a_removed_file_stays_for_others_and_for_runs(start, ask):
    runtime = start()
    kept = runtime.put(b'{"a":1,"b":1,"c":1,"d":1}', "row.json", ALICE)
    runtime.put(b'{"a":1,"b":1,"c":1,"d":1}', "row.json", BOB)
    job = runtime.submit(Request("quick", kept, "saliency"), ALICE)
    runtime.rename_sample(kept, "My row\n", ALICE)
    assert (runtime.name(kept, ALICE), runtime.name(kept, BOB)) == ("My row", "row.json")
    assert runtime.look("quick", kept, owner=ALICE).sample.name == "My row"
    assert runtime.look("quick", kept, owner=BOB).sample.name == "row.json"
    runtime.remove_sample(kept, ALICE)
    runtime.remove_sample(kept, BOB)
    assert runtime.wait(job, LIMIT).status == "done"
    assert runtime.read(kept, ALICE)[0]
    with pytest.raises(UserError, match="choose it again"):
        runtime.read(kept, BOB)
    with pytest.raises(UserError, match="at least one letter"):
        runtime.rename_sample(kept, " ", ALICE)


def test_samples_count_towards_the_room_of_their_owner(start, monkeypatch):
    monkeypatch.setenv("ASSAY_QUOTA_GIB", repr(10 / 2**30))
    runtime = start()
    runtime.put(b"12345678", "a.txt", ALICE)
    with pytest.raises(UserError, match=r"b\.txt has 8 bytes and 2 bytes of your 10 bytes are left"):
        runtime.put(b"abcdefgh", "b.txt", ALICE)
    assert runtime.put(b"12345678", "a.txt", ALICE)
    assert runtime.put(b"typed, and gone in a day", "typed text", ALICE)


# -- workspaces of before ----------------------------------------------------------------------------------------------

FIRST = """
    CREATE TABLE inputs(id TEXT PRIMARY KEY, name TEXT NOT NULL, blob TEXT NOT NULL, created REAL NOT NULL);
    CREATE TABLE jobs(
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, runner TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        input TEXT NOT NULL, request TEXT NOT NULL, title TEXT NOT NULL, created TEXT NOT NULL,
        status TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
        version INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '', seconds REAL NOT NULL DEFAULT 0,
        result TEXT NOT NULL DEFAULT '');
    CREATE INDEX jobs_of_owner ON jobs(owner);
    PRAGMA user_version=1;
"""  # as the first version wrote it


def test_a_workspace_of_the_first_version_is_taken_over_in_place(tmp_path):
    from explainers.runtime.store import _text

    new = Store(tmp_path / "new")
    input = new.put(b"row", "row.json")
    request = Request("m", input, "lime", {"samples": 10})
    new.close()
    old = tmp_path / "old"
    old.mkdir()
    (tmp_path / "new" / "blobs").rename(old / "blobs")
    record = "ab" + "c" * 62
    (old / "blobs" / "ab").mkdir(exist_ok=True)
    (old / "blobs" / "ab" / ("c" * 62)).write_bytes(b"record")
    blob = next(path for path in (old / "blobs").glob("??/*") if path.read_bytes() == b"row")
    base = sqlite3.connect(old / "assay.db")
    with base:
        base.executescript(FIRST)
        base.execute(
            "INSERT INTO inputs VALUES(?,?,?,?)", (input, "row.json", blob.parent.name + blob.name, time.time())
        )
        base.execute(
            "INSERT INTO jobs(id, owner, runner, input, request, title, created, status, seconds, result)"
            " VALUES('j', 'me', 'gone', ?, ?, 'LIME', '2026', 'done', 2.5, ?)",
            (input, _text(request), record),
        )
    base.close()
    store = Store(old)
    expected = Job("j", request, "me", "done", created="2026", seconds=2.5, result=f"sha256:{record}", title="LIME")
    assert store.job("j") == expected
    assert store.path(expected.result).read_bytes() == b"record"
    assert store.read(input) == store.read(input, "anybody") == (b"row", "row.json")
    assert store.past("m", "lime") == expected
    assert store.recover() == ()
    assert store.read(input)[0] == b"row"
    upload = store.uploads.receive(io.BytesIO(b"weights"), "net.pth", "me")
    store.close()
    again = Store(old)
    assert again.uploads.list("me") == (upload,)
    assert again._base.one("PRAGMA user_version") == (2,)
    again.close()
    assert os.listdir(old / "runners") == []


def test_the_command_line_and_browsers(start):
    """Browsers see the runs of the command line and may read their inputs, but not the models that it attached."""
    runtime = start()
    path = runtime.workspace / "net.bin"
    path.write_bytes(b"weights")
    runtime.attach(path, COMMAND_LINE)
    assert runtime.uploads(BOB) == ()
    row = runtime.put(b'{"a":1,"b":1,"c":1,"d":1}', "row.json")
    job = runtime.submit(Request("quick", row, "saliency"), COMMAND_LINE)
    assert runtime.wait(job, LIMIT, BOB).status == "done"
    assert runtime.result(job, BOB).card.id == "quick"
    assert runtime.read(row, BOB)[1] == "row.json"
