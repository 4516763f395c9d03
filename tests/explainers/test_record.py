"""Records: opened as they were saved, saved again to the same bytes; anything else is one sentence."""

import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import explainers
from explainers import durable, record
from model_zoo.types import UserError

sys.path.insert(0, str(Path(__file__).parents[1]))
import handmade

ALL = [handmade.image, handmade.text, handmade.attention, handmade.table, handmade.regression]


def same(one, other):
    for name in ("values", "explained", "unit", "evidence", "cost", "provenance", "target", "card", "notes", "title"):
        np.testing.assert_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.players.owner, other.players.owner)
    assert one.players.names == other.players.names
    assert repr(one.sample.view) == repr(other.sample.view)
    assert one.sample.x.dtype == other.sample.x.dtype
    np.testing.assert_array_equal(one.sample.x, other.sample.x)
    assert one.extras.keys() == other.extras.keys()
    for key in one.extras:
        np.testing.assert_array_equal(one.extras[key], other.extras[key])


@pytest.mark.parametrize("make", ALL)
def test_what_is_saved_opens_as_it_was(make, tmp_path):
    path = tmp_path / "run.assay"
    make().save(path)
    found = explainers.open_record(path)
    same(found.only, make())
    assert found.values.tolist() == make().values.tolist()
    assert found.evidence == make().evidence
    assert found.sentence() == make().sentence()
    found.save(tmp_path / "again.assay")
    assert (tmp_path / "again.assay").read_bytes() == path.read_bytes()
    assert explainers.open_record(path.read_bytes()).title == make().title
    assert sorted(one.name for one in tmp_path.iterdir()) == ["again.assay", "run.assay"]


def test_several_explanations_in_one_record(tmp_path):
    record.save(tmp_path / "two.assay", (handmade.image(), handmade.text()))
    found = record.open_record(tmp_path / "two.assay")
    assert [one.card.modality for one in found.explanations] == ["image", "text"]
    with pytest.raises(UserError, match="holds 2 explanations; choose one"):
        _ = found.values
    with pytest.raises(AttributeError):
        _ = found.nonsense


def test_opening_needs_no_torch(tmp_path):
    handmade.text().save(tmp_path / "run.assay")
    script = (
        f"import sys, explainers; print(explainers.open_record({str(tmp_path / 'run.assay')!r}).sentence());"
        "assert not {'torch', 'shap', 'plotly', 'PIL'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60).returncode == 0


def repacked(change):
    """The bytes of a record whose members went through change(name, data)."""
    source, out = io.BytesIO(record.dump((handmade.text(),))), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out.getvalue()


def with_header(edit):
    def change(name, data):
        if name != "record.json":
            return data
        top = json.loads(data)
        edit(top)
        return json.dumps(top)

    return repacked(change)


def bomb():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("record.json", b"{}")
        with archive.open("arrays/0.npy", "w", force_zip64=True) as member:
            for _ in range(30):
                member.write(bytes(1 << 20))
    return out.getvalue()


def npy(array, **header):
    held = io.BytesIO()
    about = {"descr": "<f8", "fortran_order": False, "shape": array.shape, **header}
    np.lib.format.write_array_header_1_0(held, about)
    return held.getvalue() + array.tobytes()


def with_array(data):
    return repacked(lambda name, old: data if name == "arrays/0.npy" else old)


def extra_member():
    out = io.BytesIO(record.dump((handmade.text(),)))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("../../escape.txt", "x")
    return out.getvalue()


def shifted_owner():
    plain = handmade.text()
    return record.dump((replace(plain, players=replace(plain.players, owner=plain.players.owner + 1000)),))


def pickled():
    held = io.BytesIO()
    np.save(held, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return with_array(held.getvalue())


HOSTILE = {
    "empty": b"",
    "text": b"not a record at all",
    "cut": record.dump((handmade.text(),))[:-200],
    "other zip": extra_member(),
    "no json": repacked(lambda name, data: b"{" if name == "record.json" else data),
    "deep json": repacked(lambda name, data: b"[" * 100_000 if name == "record.json" else data),
    "a list": repacked(lambda name, data: b"[]" if name == "record.json" else data),
    "no explanations": with_header(lambda top: top.update(explanations={"tuple": []})),
    "something else": with_header(lambda top: top.update(explanations={"tuple": [5]})),
    "a class that is not ours": with_header(
        lambda top: top.update(explanations={"tuple": [{"is": "os:system", "fields": {}}]})
    ),
    "a class that cannot travel": with_header(
        lambda top: top.update(explanations={"tuple": [{"is": "explainers.types:Method", "fields": {"id": "x"}}]})
    ),
    "an array header that does not end": with_array(b"\x93NUMPY\x01\x00\x0c\x00{'descr': (\n"),
    "huge claim": with_array(npy(np.zeros(2), shape=(10**13,))),
    "negative": with_array(npy(np.zeros(2), shape=(-2,))),
    "pickle": pickled(),
    "text array": with_array(npy(np.zeros(2), descr="<U4")),
    "owner beyond the players": shifted_owner(),
    "too few values": record.dump((replace(handmade.text(), values=np.zeros(1)),)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_is_one_sentence(name, tmp_path):
    path = tmp_path / "bad.assay"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(UserError, match=r"bad\.assay is not a record that Assay wrote|This is not a record") as told:
        explainers.open_record(path)
    assert "\n" not in str(told.value)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(record, "LARGEST", 20 << 20)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(UserError, match="unpacks to 30 MiB; a record has at most 20 MiB"):
        explainers.open_record(bomb())


def test_a_record_of_the_future_asks_for_an_update():
    with pytest.raises(UserError, match="newer Assay"):
        explainers.open_record(with_header(lambda top: top.update(format=99)))


def test_flipped_bits_never_raise_anything_else():
    good = record.dump((handmade.text(),))
    rng = np.random.default_rng(0)
    for _ in range(150):
        bad = bytearray(good)
        for place in rng.integers(0, len(bad), 3):
            bad[place] ^= 1 << rng.integers(0, 8)
        try:
            explainers.open_record(bytes(bad))
        except UserError:
            continue


def test_a_place_that_cannot_be_written_to_is_said(tmp_path):
    with pytest.raises(UserError, match="could not be written: No such file"):
        handmade.text().save(tmp_path / "missing" / "run.assay")
    with pytest.raises(UserError, match="could not be read: No such file"):
        explainers.open_record(tmp_path / "none.assay")


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.assay"
    handmade.text().save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        handmade.image().save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.assay"]
