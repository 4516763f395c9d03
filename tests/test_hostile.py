"""No hostile file does harm: each ends in a sentence or in the death of its worker, and nothing outside is touched."""

import hashlib
import json
import random
import secrets
import stat
import subprocess
import sys
from collections import Counter

import confined
import hostile
import pytest

from explainers.runtime.sandbox import host

CONTAINED = host().contained
SHARE = 60  # entries that a run of CI draws besides one of every format; `make soak` runs them all
SEED = 20260101
IMPORTS = ("hostile_warmth",)


def sample():
    """One entry of each format and SHARE more, drawn with a seed."""
    drawn = random.Random(SEED)
    quick = [one for one in hostile.entries() if not one.slow]
    first = {one.format: one for one in drawn.sample(quick, len(quick))}
    return sorted(
        {one.id: one for one in (*first.values(), *drawn.sample(quick, SHARE))}.values(), key=lambda one: one.id
    )


@pytest.fixture(scope="module")
def warm():
    one = confined.Warm(*IMPORTS)
    yield one
    one.close()


@pytest.fixture
def world(tmp_path):
    """A secret and a target that every user may read and write: only the sandbox is in the way."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text(f"CANARY-{secrets.token_hex(16)}")
    (folder / "target").write_text("as it was")
    for one in (folder, folder / "secret", folder / "target"):
        one.chmod(0o777)
    return hostile.World(folder / "secret", folder / "target", folder)


def contents(*folders):
    """Every file beneath, with what is in it."""
    found = {}
    for folder in folders:
        for one in sorted(folder.rglob("*")):
            kind = one.lstat().st_mode
            plain = stat.S_ISREG(kind)
            found[str(one)] = (kind, hashlib.sha256(one.read_bytes()).hexdigest() if plain else "")
    return found


def tried(entry, warm, world, tmp_path, code=False):
    """Build an entry and let a confined child open it; code: as if the operator had allowed formats that are code."""
    place = tmp_path / "upload"
    place.mkdir()
    path = entry.build(place, world)
    before = contents(place, world.folder)
    limits = confined.Limits(seconds=entry.seconds, memory=1 << 30, file_size=256 << 20)
    outcome = warm.call(
        "hostile:guest", str(path), path.name, entry.facts, entry.shape, code, readable=(str(path),), limits=limits
    )
    assert contents(place, world.folder) == before, "a file outside the scratch was changed"
    assert outcome.seconds < limits.seconds + 2
    canary = world.secret.read_text()
    assert canary not in json.dumps([outcome.value, outcome.text, outcome.log])
    return outcome


def judged(entry, outcome):
    """A sentence, a death that is told, or, for an entry that may, an opened model; never code that ran."""
    if outcome.kind == "died":
        assert outcome.text
        return "died"
    assert outcome.kind == "answer", f"{outcome.text}\n{outcome.log[-3000:]}"
    assert not outcome.value["ran"], "code of the file ran"
    sentence = outcome.value["sentence"]
    if not sentence:
        assert entry.may_open, outcome.value
        return "opened"
    first, *code = sentence.split("\n")  # a refused pickle is told the two lines that save it safely
    assert 20 < len(first) < 1000, sentence
    assert first[-1] in ".:?)"
    assert all(line.startswith("    ") or line.endswith(".") for line in code), sentence
    assert "Traceback" not in sentence
    return "refused"


def test_there_are_enough_of_them_and_of_every_format():
    entries = hostile.entries()
    ids = [one.id for one in entries]
    assert sorted(set(ids)) == sorted(ids)
    assert len(entries) >= 120
    assert len(Counter(one.format for one in entries)) >= 12


@pytest.mark.skipif(not CONTAINED, reason=host().sentence)
@pytest.mark.parametrize("entry", sample(), ids=lambda one: one.id)
def test_a_hostile_file_does_no_harm(entry, warm, world, tmp_path):
    judged(entry, tried(entry, warm, world, tmp_path))


@pytest.mark.soak
@pytest.mark.skipif(not CONTAINED, reason=host().sentence)
@pytest.mark.parametrize("entry", hostile.entries(), ids=lambda one: one.id)
def test_no_hostile_file_does_harm(entry, warm, world, tmp_path):
    judged(entry, tried(entry, warm, world, tmp_path))


@pytest.mark.skipif(not CONTAINED, reason=host().sentence)
@pytest.mark.parametrize("entry", [one for one in hostile.entries() if "pickle_exec" in one.id], ids=lambda one: one.id)
def test_code_that_the_operator_allows_reaches_nothing_either(entry, warm, world, tmp_path):
    """With the flag for pickles their code runs, in the sandbox: the canary stays unread, and nothing is changed."""
    outcome = tried(entry, warm, world, tmp_path, code=True)
    assert outcome.kind in ("answer", "failed", "died")


@pytest.mark.skipif(not CONTAINED, reason=host().sentence)
def test_the_code_of_the_files_would_do_harm_without_the_sandbox(world, tmp_path):
    """The control: what the gadgets try does succeed where nothing is in the way."""
    subprocess.run([sys.executable, "-c", world.code], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / hostile.MARK).exists()
    assert (world.folder / "stolen").exists()


def test_the_document_says_how_each_format_is_treated():
    """docs/safety.md has a row for every format, with its class, and the figures that the tests have."""
    from model_zoo.opening import formats

    text = (confined.ROOT / "docs" / "safety.md").read_text()
    missing = [one.title for one in formats() if f"| {one.title} | {one.trust.name} |" not in text]
    assert missing == []
    assert f"{len(hostile.entries())} hostile files" in text
