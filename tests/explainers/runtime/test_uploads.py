"""People's models in the workspace: taken in whole or not at all, within their room, nobody's but their owner's."""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from explainers import codec
from explainers.runtime import attached
from explainers.runtime import room as rooms
from explainers.runtime import uploads as module
from explainers.runtime.store import Store
from explainers.runtime.types import COMMAND_LINE
from model_zoo.facts import Facts
from model_zoo.files import Reading
from model_zoo.types import ModelCard, UserError

GIB = 1 << 30
TOKENIZER = '{"model": "ä"}' * 20_000
CARD = ModelCard("", "A net", "image", "classification", "logit", ("a", "b"))


@pytest.fixture
def open_store(tmp_path, monkeypatch):
    """Open the workspace with limits in bytes; all are closed at the end."""
    opened = []

    def begin(owner=None, capacity=None):
        for name, limit in (("ASSAY_QUOTA_GIB", owner), ("ASSAY_STORE_GIB", capacity)):
            if limit is not None:
                monkeypatch.setenv(name, repr(limit / GIB))
        opened.append(Store(tmp_path / "w"))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


@pytest.fixture
def store(open_store):
    return open_store()


class Pipe(io.RawIOBase):
    """A stream that cannot be wound back, as a request's body is."""

    def __init__(self, data, fail=False):
        self._inner, self._fail = io.BytesIO(data), fail

    def readable(self):
        return True

    def read(self, count=-1):
        found = self._inner.read(count)
        if not found and self._fail:
            raise ConnectionResetError
        return found


def receive(store, data=b"weights", name="net.pth", owner="me"):
    return store.uploads.receive(io.BytesIO(data), name, owner)


def files(store):
    """Every file with bytes that somebody gave."""
    return sorted(
        path.read_bytes()
        for home in ("blobs", "incoming")
        for path in (store.folder / home).rglob("*")
        if path.is_file()
    )


def test_a_file_comes_in_by_chunks_under_the_digest_of_its_bytes(store, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1000)
    data, largest = os.urandom(12_345), []

    class File(io.BytesIO):
        def read(self, count=-1):
            found = super().read(count)
            largest.append(len(found))
            return found

    upload = store.uploads.receive(File(data), "C:\\models\\my net.pth", "me")
    assert max(largest) == 1000
    assert (upload.name, upload.title, upload.size) == ("my net.pth", "my net", 12_345)
    assert upload.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert store.uploads.where(upload).read_bytes() == data
    assert store.uploads.where(upload).stat().st_mode & 0o077 == 0
    assert store.uploads.list("me") == (upload,)
    assert len({receive(store, b"%d" % one).id for one in range(20)}) == 20
    assert len(upload.id) >= 32


def test_the_same_bytes_again_are_the_same_upload_with_what_was_said_of_it(store):
    first = receive(store)
    store.uploads.describe(first.id, "me", Facts(labels=("a", "b")), CARD)
    assert receive(store, name="other name.pth").facts.labels == ("a", "b")
    assert store.uploads.receive(Pipe(b"weights"), "net.pth", "me").id == first.id
    assert len(store.uploads.list("me")) == 1


def test_the_same_bytes_of_another_lie_there_once_and_outlive_the_first_owner(store):
    mine, other = receive(store), receive(store, owner="you", name="net.pth")
    assert mine.id != other.id
    assert files(store) == [b"weights"]
    assert store.room.quota("you").used == 7  # as if it were alone
    store.uploads.remove(mine.id, "me")
    assert store.uploads.where(other).read_bytes() == b"weights"
    store.uploads.remove(other.id, "you")
    assert files(store) == []


def test_nothing_is_left_of_one_that_broke_off(store):
    with pytest.raises(UserError, match=r"net\.pth broke off before its end and was not kept; upload it again"):
        store.uploads.receive(Pipe(bytes(3 << 20), fail=True), "net.pth", "me")
    with pytest.raises(UserError, match=r"net\.pth is empty"):
        receive(store, b"")
    with pytest.raises(UserError, match=r"net\.pth is empty"):
        store.uploads.receive(Pipe(b""), "net.pth", "me")
    assert files(store) == []
    assert store.uploads.list("me") == ()
    assert store.room.quota("me").used == 0


def test_kill_in_mid_upload_leaves_nothing(store):
    script = f"""
import os, sys, time
from explainers.runtime.store import Store
from pathlib import Path
class Slow:
    def read(self, count):
        print("read", flush=True)
        time.sleep(0.01)
        return bytes(count)
    def tell(self): raise OSError
Store(Path({str(store.folder)!r})).uploads.receive(Slow(), "net.pth", "me")
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        for _ in range(5):
            child.stdout.readline()
        assert any((store.folder / "incoming").iterdir())
        again = Store(store.folder)  # one that lives is left alone
        again.close()
        assert any((store.folder / "incoming").iterdir())
        os.kill(child.pid, signal.SIGKILL)
    again = Store(store.folder)
    assert files(again) == []
    assert again.uploads.list("me") == ()
    again.close()


def test_quotas_stop_what_is_too_large_and_say_what_is_left(open_store):
    store = open_store(owner=10_240, capacity=20_480)
    receive(store, bytes(7168))
    with pytest.raises(
        UserError,
        match=r"^big\.pth has 4 KiB and 3 KiB of your 10 KiB are left; remove a model, or ask who runs this server for",
    ):
        receive(store, bytes(4096), "big.pth")
    with pytest.raises(UserError, match=r"^big\.pth has more than 4 KiB and 3 KiB of your 10 KiB are left"):
        store.uploads.receive(Pipe(bytes(4096)), "big.pth", "me")
    assert receive(store, bytes(7168)).size == 7168  # what is there already needs no room
    receive(store, b"a" * 9216, owner="you")
    with pytest.raises(UserError, match=r"^big\.pth has 5 KiB and 4 KiB of the 20 KiB for all models on this server"):
        receive(store, bytes(5120), "big.pth", owner="her")
    quota = store.room.quota("me")
    assert (quota.used, quota.limit, quota.stored, quota.capacity) == (7168, 10_240, 16_384, 20_480)
    assert len(files(store)) == 2


def test_uploads_at_the_same_time_do_not_share_the_last_room(open_store, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1024)
    store = open_store(owner=10_240)
    begun, go = threading.Event(), threading.Event()

    class Waiting(io.BytesIO):
        def read(self, count=-1):
            begun.set()
            assert go.wait(20)
            return super().read(count)

    told = []

    def upload():
        with pytest.raises(UserError) as error:
            store.uploads.receive(Waiting(bytes(8192)), "first.pth", "me")
        told.append(str(error.value))

    first = threading.Thread(target=upload)
    first.start()
    assert begun.wait(20)
    with pytest.raises(UserError, match=r"has 4 KiB and 2 KiB of your 10 KiB"):
        receive(store, bytes(4096))
    other = Store(store.folder)  # another process sees it when it is done
    receive(other, b"b" * 4096)
    go.set()
    first.join()
    assert "first.pth has 8 KiB and 6 KiB of your 10 KiB are left" in told[0]
    assert [one.size for one in store.uploads.list("me")] == [4096]
    assert len(files(store)) == 1
    other.close()


def test_the_disk_keeps_a_gibibyte_free(store, monkeypatch):
    usage = type(shutil.disk_usage("."))
    monkeypatch.setattr(rooms.shutil, "disk_usage", lambda path: usage(100 * GIB, 99 * GIB, GIB + 2048))
    receive(store, bytes(1024))
    with pytest.raises(UserError, match=r"net\.pth does not fit: 1 GiB of this server's disk are free, and 1 GiB stay"):
        receive(store, bytes(4096))
    monkeypatch.setattr(rooms.shutil, "disk_usage", lambda path: usage(100 * GIB, 99 * GIB, GIB - 1))
    with pytest.raises(UserError, match="does not fit"):
        store.uploads.receive(Pipe(bytes(4096)), "net.pth", "me")
    assert len(files(store)) == 1


@pytest.mark.parametrize("value", ["ten", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_is_said(open_store, monkeypatch, value):
    monkeypatch.setenv("ASSAY_QUOTA_GIB", value)
    with pytest.raises(UserError, match=r"ASSAY_QUOTA_GIB is a number of GiB, such as 10; '.*' came"):
        open_store()


def test_what_is_said_and_found_is_kept_and_long_texts_are_files(store):
    upload = receive(store)
    facts = Facts(tokenizer=TOKENIZER, labels=("a", "b"), background="x\n" * codec.LONG)
    reading = Reading("hf", "A folder", "BERT", Facts(tokenizer=TOKENIZER))
    store.uploads.read(upload.id, "me", reading)
    store.uploads.describe(upload.id, "me", facts, replace(CARD, id=upload.id))
    found = store.uploads.find(upload.id, "me")
    assert (found.facts, found.reading, found.title) == (facts, reading, "A net")
    assert store.uploads.find(upload.id, "me").facts is found.facts
    assert store.uploads.cards("me") == (replace(CARD, id=upload.id),)
    rows = store._base.all("SELECT facts || reading || card FROM uploads")
    assert len(rows[0][0]) < 5000
    assert len(files(store)) == 3  # the tokenizer once
    used = store.room.quota("me").used
    assert used == 7 + 2 * len(TOKENIZER.encode()) + 2 * codec.LONG
    store.uploads.describe(upload.id, "me", Facts(labels=("c",)), CARD)
    assert len(files(store)) == 2
    assert store.recover() == ()
    assert store.uploads.find(upload.id, "me").reading == reading
    store.uploads.remove(upload.id, "me")
    assert files(store) == []
    assert store.room.quota("me").used == 0


def test_what_is_said_needs_room_too_and_nothing_changes_without(open_store):
    store = open_store(owner=100_000)
    upload = receive(store)
    with pytest.raises(UserError, match="What is said of this model has 2"):
        store.uploads.describe(upload.id, "me", Facts(tokenizer=TOKENIZER), CARD)
    assert store.uploads.find(upload.id, "me") == upload


def test_a_card_that_says_more_completes_the_kept_one_unless_other_facts_were_said_since(store):
    upload = receive(store)
    facts, more = Facts(modality="image"), replace(CARD, labels=("a", "b", "c"))
    store.uploads.complete(upload.id, Facts(), more)
    assert store.uploads.cards("me") == ()  # one that has no card yet gets none
    store.uploads.describe(upload.id, "me", facts, CARD)
    store.uploads.complete(upload.id, facts, more)
    assert store.uploads.cards("me") == (more,)
    assert store.uploads.card(upload.id, "me") == more
    assert store.uploads.card(upload.id, "you") is store.uploads.card("none", "me") is None
    store.uploads.describe(upload.id, "me", Facts(modality="image", labels=("x", "y")), CARD)
    store.uploads.complete(upload.id, facts, more)
    assert store.uploads.cards("me") == (CARD,)


def test_a_problem_is_kept_until_it_is_mended(store):
    upload = receive(store)
    store.uploads.read(upload.id, "me", None, "It is a full pickle.")
    assert store.uploads.find(upload.id, "me").problem == "It is a full pickle."
    store.uploads.read(upload.id, "me", Reading("f", "F", "what", Facts()))
    assert store.uploads.find(upload.id, "me").problem == ""


def test_renaming(store):
    upload = receive(store)
    store.uploads.describe(upload.id, "me", Facts(title="Old"), replace(CARD, title="Old"))
    found = store.uploads.rename(upload.id, " Cats/dogs \n", "me")
    assert (found.title, found.card.title, found.facts.title) == ("Cats/dogs", "Cats/dogs", "Cats/dogs")
    with pytest.raises(UserError, match="at least one letter"):
        store.uploads.rename(upload.id, " \t", "me")


def test_a_stranger_and_nobody_are_told_the_same(store):
    upload = receive(store)
    acts = (
        lambda id, owner: store.uploads.find(id, owner),
        lambda id, owner: store.uploads.own(id, owner),
        lambda id, owner: store.uploads.rename(id, "Mine now", owner),
        lambda id, owner: store.uploads.remove(id, owner),
        lambda id, owner: store.uploads.describe(id, owner, Facts(), CARD),
        lambda id, owner: store.uploads.read(id, owner, None, "spoilt"),
    )
    for act in acts:
        told = []
        for id, owner in ((upload.id, "you"), ("f" * 32, "me")):
            with pytest.raises(UserError) as error:
                act(id, owner)
            told.append(str(error.value))
        assert told == [module.GONE] * 2
    assert store.uploads.list("you") == store.uploads.cards("you") == ()
    assert store.uploads.find(upload.id, "me") == upload


def test_in_a_shared_workspace_all_see_and_only_owners_change(store, monkeypatch):
    upload = receive(store)
    monkeypatch.setenv("ASSAY_SHARED", "1")
    shared = Store(store.folder)
    seen = shared.uploads.find(upload.id, "you")
    assert seen == replace(upload, owner="")  # an owner's number is their key
    assert shared.uploads.list("you") == (seen,)
    with pytest.raises(UserError, match="given by somebody else"):
        shared.uploads.remove(upload.id, "you")
    shared.uploads.remove(upload.id, "me")
    shared.close()


# -- paths on the server -----------------------------------------------------------------------------------------------


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder that the operator named, beside one that nobody did."""
    (tmp_path / "models" / "bert").mkdir(parents=True)
    (tmp_path / "models" / "net.pth").write_bytes(b"weights")
    (tmp_path / "models" / "bert" / "config.json").write_text("{}")
    (tmp_path / "models" / "bert" / "model.safetensors").write_bytes(b"12345")
    (tmp_path / "secret.pth").write_bytes(b"secret")
    monkeypatch.setenv("ASSAY_MODELS", os.pathsep.join((str(tmp_path / "none"), str(tmp_path / "models"))))
    return tmp_path / "models"


def test_a_path_is_attached_where_it_lies_and_never_removed(store, models):
    upload = store.uploads.attach(models / "net.pth", "me")
    assert (upload.name, upload.size, upload.path) == ("net.pth", 7, str(models / "net.pth"))
    assert upload.digest == "sha256:" + hashlib.sha256(b"weights").hexdigest()
    assert store.uploads.where(upload) == models / "net.pth"
    assert store.uploads.attach(str(models / "net.pth"), "me") == upload
    assert store.uploads.attach(models / "net.pth", "you").id != upload.id
    assert store.room.quota("me").used == 0
    assert files(store) == []
    store.uploads.remove(upload.id, "me")
    assert (models / "net.pth").read_bytes() == b"weights"


def test_a_folder_has_a_digest_of_names_and_bytes(store, models):
    first = store.uploads.attach(models / "bert", "me")
    assert first.size == 7
    (models / "bert" / "config.json").rename(models / "bert" / "renamed.json")
    with pytest.raises(UserError, match=r"bert has changed since it was attached; attach it again"):
        store.uploads.where(first)
    second = store.uploads.attach(models / "bert", "me")
    assert second.digest != first.digest


def test_a_changed_file_is_noticed_and_taken_as_it_is_by_attaching_it_again(store, models):
    upload = store.uploads.attach(models / "net.pth", "me")
    store.uploads.describe(upload.id, "me", Facts(labels=("a",)), CARD)
    os.utime(models / "net.pth", (1, 1))  # touched, with the same bytes
    assert store.uploads.where(upload) == models / "net.pth"
    (models / "net.pth").write_bytes(b"wEights")
    with pytest.raises(UserError, match=r"net\.pth has changed since it was attached"):
        store.uploads.where(upload)
    again = store.uploads.attach(models / "net.pth", "me")
    assert (again.id, again.facts.labels, again.card) == (upload.id, ("a",), None)
    assert store.uploads.where(again)
    (models / "net.pth").unlink()
    with pytest.raises(UserError, match=r"There is no file or folder '.*net\.pth' on this server"):
        store.uploads.where(again)


@pytest.mark.parametrize(
    "name", ["secret.pth", "nothing.pth", "models/../secret.pth", "models/link.pth", "models/linked"]
)
def test_a_browser_names_only_what_lies_in_the_operators_folders(store, models, tmp_path, name):
    (models / "link.pth").symlink_to(tmp_path / "secret.pth")
    (models / "linked").mkdir()
    (models / "linked" / "inner.pth").symlink_to(tmp_path / "secret.pth")
    with pytest.raises(UserError, match=r"lies outside the folders of models on this server; name a path in one of: "):
        store.uploads.attach(tmp_path / name, "me")


def test_without_such_folders_a_browser_names_nothing_and_the_command_line_anything(
    store, models, tmp_path, monkeypatch
):
    monkeypatch.delenv("ASSAY_MODELS")
    with pytest.raises(UserError, match="has named no folder of models that a browser may open; upload the file"):
        store.uploads.attach(models / "net.pth", "me")
    assert store.uploads.attach(tmp_path / "secret.pth", COMMAND_LINE).name == "secret.pth"
    with pytest.raises(UserError, match="There is no file or folder"):
        store.uploads.attach(tmp_path / "nothing.pth", COMMAND_LINE)
    with pytest.raises(UserError, match=r"is not a path of this server|There is no file"):
        store.uploads.attach("a\0b", COMMAND_LINE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty is empty"):
        store.uploads.attach(Path(tmp_path / "empty"), COMMAND_LINE)


def test_a_folder_of_links_as_a_cache_keeps_it(store, models, tmp_path, monkeypatch):
    """Hugging Face's cache: snapshots/<revision>/ has links to blobs/."""
    (models / "blobs").mkdir()
    (models / "blobs" / "1a2b").write_bytes(b"tensors")
    (models / "snapshot").mkdir()
    (models / "snapshot" / "model.safetensors").symlink_to("../blobs/1a2b")
    upload = store.uploads.attach(models / "snapshot", "me")
    assert upload.size == 7
    assert attached.linked(Path(upload.path)) == (models / "blobs" / "1a2b",)
    (models / "snapshot" / "model.safetensors").unlink()
    (models / "snapshot" / "model.safetensors").symlink_to(tmp_path / "secret.pth")
    with pytest.raises(UserError, match="lies outside the folders"):
        store.uploads.where(upload)
    monkeypatch.delenv("ASSAY_MODELS")
    with pytest.raises(UserError, match="has named no folder"):
        store.uploads.where(upload)
