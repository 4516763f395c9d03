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
