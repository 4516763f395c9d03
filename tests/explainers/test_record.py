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
from PIL import Image

import explainers
from explainers import durable, figures, record
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


# -- strangers' records: whatever opens can be told, drawn and reported ----------------------------------------------


def text_with(**changes):
    """The text's record with another view; what codec.encode makes of it is well formed."""
    plain = handmade.text()
    return replace(plain, sample=replace(plain.sample, view=replace(plain.sample.view, **changes)))


def image_with(**changes):
    plain = handmade.image()
    return replace(plain, sample=replace(plain.sample, view=replace(plain.sample.view, **changes)))


def small(width, height, kind="PNG", mode="RGB"):
    held = io.BytesIO()
    Image.new(mode, (width, height)).save(held, kind)
    return held.getvalue()


def misfits():
    text, image, table, sheet = handmade.text(), handmade.image(), handmade.table(), handmade.attention(2, 2)
    weights, length = sheet.extras["attention"], len(text.sample.x)
    left, top, right, bottom = image.sample.view.box
    owner = image.players.owner
    yield "a table's view", replace(text, sample=replace(text.sample, view=table.sample.view))
    yield "a text's view", replace(image, sample=replace(image.sample, view=text.sample.view))
    yield "no view", replace(table, sample=replace(table.sample, view=None))
    yield "no cells", replace(table, sample=replace(table.sample, view=replace(table.sample.view, cells=())))
    yield "another modality", replace(text, sample=replace(text.sample, modality="tabular"))
    yield (
        "an unknown modality",
        replace(text, sample=replace(text.sample, modality="x"), card=replace(text.card, modality="x")),
    )
    yield "width", image_with(width=0)
    yield "height", image_with(height=-3)
    yield "huge", image_with(width=10**400)
    yield "box of nothing", image_with(box=(left, top, left, bottom))
    yield "box beyond", image_with(box=(left, top, 1e9, bottom))
    yield "box of nan", image_with(box=(float("nan"), top, right, bottom))
    yield "seen", image_with(seen=(3, 3))
    yield "no photo", image_with(photo=b"")
    yield "half a photo", image_with(photo=image.sample.view.photo[:2000])
    yield "a photo too large", image_with(photo=small(5000, 5000))
    yield "a photo of another kind", image_with(photo=small(9, 9, "BMP"))
    yield "a photo with a palette", image_with(photo=small(9, 9, mode="P"))
    yield "spans", text_with(spans=((0, 10**6),) * length)
    yield "spans backwards", text_with(spans=((9, 3),) * length)
    yield "words", text_with(words=((0, 10**6),))
    yield "kept", text_with(kept=10**6)
    yield "kept before the first", text_with(kept=-1)
    yield "few tokens", text_with(tokens=("a",))
    yield "few words of tokens", text_with(word_of=(0,))
    yield "word of token", text_with(word_of=(10**6,) * length)
    yield "attention of another text", replace(sheet, extras={"attention": weights[..., :-1, :-1]})
    yield "attention of three axes", replace(sheet, extras={"attention": weights[0]})
    yield "endless extras", replace(sheet, extras={"map": np.broadcast_to(np.float64(0), (1 << 24,))})
    yield "many extras", replace(sheet, extras={str(number): np.zeros(1) for number in range(101)})
    yield "an extra without end in its name", replace(sheet, extras={"x" * 101: np.zeros(1)})
    yield "no attention", replace(sheet, extras={"attention": weights[:0]})
    yield "attention of nan", replace(sheet, extras={"attention": weights * np.nan})
    yield "attention in words", replace(sheet, extras={"attention": None})
    yield "owner of one axis", replace(image, players=replace(image.players, owner=owner[0]))
    yield "owner of another size", replace(image, players=replace(image.players, owner=owner[:-1]))
    yield "owner wide", replace(image, players=replace(image.players, owner=owner.astype(np.uint64)))
    yield "owner of floats", replace(image, players=replace(image.players, owner=owner.astype(float)))
    yield "nameless segments", replace(image, players=replace(image.players, kind="segments", owner=owner // 2 * 2))
    yield "pixels of a table", replace(table, players=replace(table.players, kind="pixels"))
    yield "names", replace(table, players=replace(table.players, names=("a",)))
    yield "count", replace(table, players=replace(table.players, count=0))
    yield "values of nan", replace(table, values=table.values * np.nan)
    yield "values of yes and no", replace(table, values=table.values > 0)
    yield "explained", replace(table, explained=float("inf"))
    yield "errors", replace(table, std_error=np.zeros(3))
    yield "target", replace(table, target=replace(table.target, index=2))
    yield "target before the first", replace(table, target=replace(table.target, index=-1))
    yield "probabilities", replace(table, prediction=replace(table.prediction, probabilities=np.ones(3)))
    yield "labels", replace(table, prediction=replace(table.prediction, labels=("a",)))
    yield "raw", replace(table, prediction=replace(table.prediction, raw=np.array([np.nan])))
    yield "raw of a regression", replace(table, prediction=replace(table.prediction, probabilities=None))
    yield "reference", replace(table, reference=replace(table.reference, rows=np.zeros((2, 3))))


MISFITS = dict(misfits())


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_neither_opened_nor_written(name, tmp_path):
    with pytest.raises(UserError, match="not a record that Assay wrote"):
        record.open_record(record.dump((MISFITS[name],)))
    with pytest.raises(UserError, match="do not fit one another"):
        record.save(tmp_path / "run.assay", (MISFITS[name],))


STRANGE = [
    None, True, -1, 0, 1, 3, 10**30, 10**400, -0.5, 1e308, {"float": "nan"}, {"float": "-inf"}, "", "<b>", "\ud800",
    "pixels", "tokens", "columns", "image", "text", "tabular", "regression", "value", {"tuple": []}, {"dict": []}, [],
    {"array": 0}, {"array": 1}, {"bytes": 0}, {"tuple": [{"tuple": [5, 2]}]}, {"tuple": ["a", "b"]},
]  # fmt: skip


def leaves(header, path=()):
    """The places in a header where a value stands."""
    inner = []
    if isinstance(header, dict) and "fields" in header:
        inner = [(("fields", key), one) for key, one in header["fields"].items()]
    elif isinstance(header, dict) and "tuple" in header:
        inner = [(("tuple", number), one) for number, one in enumerate(header["tuple"])]
    elif isinstance(header, dict) and "dict" in header:
        inner = [(("dict", number, 1), pair[1]) for number, pair in enumerate(header["dict"])]
    found = [path] if path else []
    return found + [leaf for step, one in inner for leaf in leaves(one, (*path, *step))]


def edited(header, rng):
    """The header with one to three of its values replaced, taken away, or exchanged for another one of its own."""
    header = json.loads(json.dumps(header))
    for _ in range(rng.integers(1, 4)):
        places = leaves(header)
        *way, last = places[rng.integers(len(places))]
        holder = header
        for step in way:
            holder = holder[step]
        if rng.random() < 0.25:
            new = header
            for step in places[rng.integers(len(places))]:
                new = new[step]
            holder[last] = json.loads(json.dumps(new))
        else:
            holder[last] = STRANGE[rng.integers(len(STRANGE))]
    return header


def altered(arrays, rng):
    """The arrays, one of which may have another shape, kind or content."""
    arrays, place = list(arrays), rng.integers(len(arrays))
    one = arrays[place]
    arrays[place] = [
        lambda: one[:0],
        lambda: one[..., None],
        lambda: one.reshape(-1),
        lambda: one.astype(np.float16),
        lambda: one.astype(np.uint64),
        lambda: one.astype(bool),
        lambda: np.where(rng.random(one.shape) < 0.2, np.nan, one),
        lambda: np.roll(one, 1),
        lambda: np.zeros_like(one),
    ][rng.integers(9)]()
    return arrays


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # huge but finite numbers add up to more
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize(
    "make",
    [lambda: handmade.image("segments", 16), handmade.image, *ALL[1:2], lambda: handmade.attention(2, 2), *ALL[3:]],
)
def test_whatever_opens_can_be_told_drawn_and_reported(make):
    """Edited records, as a stranger may send them: a sentence when they are opened, or no trouble at all."""
    from app import terminal
    from app.reports import report
    from explainers import codec

    header, arrays = codec.encode((make(),))
    rng, opened = np.random.default_rng(0), 0
    for turn in range(60):
        changed = edited(header, rng) if turn % 3 else header
        other = arrays if turn % 3 else altered(arrays, rng)
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr("record.json", json.dumps({"format": 1, "explanations": changed}))
            for number, array in enumerate(other):
                member = io.BytesIO()
                np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0))
                archive.writestr(f"arrays/{number}.npy", member.getvalue())
        try:
            found = record.open_record(held.getvalue())
        except UserError:
            continue
        opened += 1
        for one in found.explanations:
            assert one.sentence()
            assert figures.pictures(one)
            assert terminal.shown(one)
        report.html(found.explanations).encode()
    assert opened > 5
