"""Scratch folders go, whatever was made in them and however their process ended."""

import os
import subprocess
import sys

import pytest

from explainers.runtime import scratch


def nested(path, depth):
    """Folders within folders, deeper than a path can be long."""
    here = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 50, dir_fd=here)
        inner = os.open("d" * 50, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def test_folders_are_made_and_removed(tmp_path):
    held = scratch.Scratch(tmp_path)
    one, other = held.make(), held.make()
    assert one != other
    (one / "a").write_text("x" * 10_000)
    (one / "b").mkdir()
    assert scratch.size(one)[0] >= 10_000
    assert scratch.size(one)[1] == 2
    assert one.stat().st_mode & 0o077 == 0
    scratch.remove(one)
    assert not one.exists()
    assert other.exists()
    held.close()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_is_made_to_stay_goes_too(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    nested(folder, 1500)
    (folder / "link").symlink_to(victim)
    (folder / "closed").mkdir()
    (folder / "closed" / "file").write_text("x")
    (folder / "closed").chmod(0)
    assert scratch.size(folder)[1] > scratch.MOST
    scratch.remove(folder)
    assert not folder.exists()
    assert (victim / "kept").read_text() == "x"


def test_what_cannot_be_counted_is_too_much():
    """As nobody: root may read every folder."""
    script = """
import os, pathlib, tempfile
from explainers.runtime import scratch
os.getuid() or (os.setgid(65534), os.setuid(65534))
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "a" / "b").mkdir(parents=True)
(folder / "a" / "b").chmod(0)
(folder / "a").chmod(0o300)
print(scratch.size(folder)[1] > scratch.MOST)
scratch.remove(folder)
print(folder.exists())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_files_without_a_name_are_counted(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        before = scratch.unlinked(os.getpid())
        file.write(b"x" * 100_000)
        file.flush()
        assert scratch.unlinked(os.getpid()) == before
        (tmp_path / "x").unlink()
        assert scratch.unlinked(os.getpid()) - before >= 100_000


def test_a_link_in_a_folders_place_is_not_followed(tmp_path, monkeypatch):
    """As somebody who still lives puts it there between two steps."""
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    (victim / "kept").write_text("x")
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    original = scratch._folders

    def swapped(held):
        found = original(held)
        if "a" in found:
            (folder / "a").rmdir()
            (folder / "a").symlink_to(victim)
        return found

    monkeypatch.setattr(scratch, "_folders", swapped)
    scratch.remove(folder)
    assert (victim / "kept").read_text() == "x"
    assert victim.stat().st_mode & 0o777 == 0o755


def test_many_files_are_counted_no_further_than_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "MOST", 10)
    for number in range(50):
        (tmp_path / str(number)).touch()
    assert scratch.size(tmp_path)[1] == 11


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_the_next_process_removes_what_a_killed_one_left_and_no_more(tmp_path):
    script = f"""
import os, pathlib, signal
from explainers.runtime.scratch import Scratch
held = Scratch(pathlib.Path({str(tmp_path)!r}))
(held.make() / "x").write_text("secret")
os.kill(os.getpid(), signal.SIGKILL)
"""
    living = scratch.Scratch(tmp_path)
    living.make()
    subprocess.run([sys.executable, "-c", script], check=False)
    assert len(list((tmp_path / "scratch").iterdir())) == 2
    new = scratch.Scratch(tmp_path)
    assert {one.name for one in (tmp_path / "scratch").iterdir()} == {living.folder.name, new.folder.name}
    assert list(living.folder.iterdir()) != []
    living.close()
    new.close()
