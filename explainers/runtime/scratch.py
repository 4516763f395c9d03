"""Folders where workers may write: one a worker, gone with it, and with a server that was killed.

    scratch/<token>/         of one running Assay, which holds it locked for as long as it lives
    scratch/<token>/<n>/     of one worker

What a worker leaves behind may be made to be hard to remove: folders without rights, or nested deeper than a path may
be long.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

DEEPEST = 64  # folders within folders, past which no size is looked for
MOST = 10_000  # files and folders of one worker


class Scratch:
    """This process's folders in a workspace."""

    def __init__(self, workspace: Path) -> None:
        """Make its own, and remove those of processes that are gone."""
        self._home = workspace / "scratch"
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._numbers = itertools.count(1)
        with _locked(self._home):  # so that nobody sweeps a folder between its making and its locking
            for left in self._home.iterdir():
                _sweep(left)
            self.folder = self._home / secrets.token_hex(8)
            self.folder.mkdir(mode=0o700)
            self._lock = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def make(self) -> Path:
        """A new empty folder."""
        path = self.folder / str(next(self._numbers))
        path.mkdir(mode=0o700)
        return path

    def close(self) -> None:
        """Remove all of them; to be called once, when the workers are gone."""
        remove(self.folder)
        os.close(self._lock)


def remove(folder: Path) -> None:
    """Remove a folder and all in it, whatever its makers did; what the system does not let go of stays, silently.

    No link is followed, also where somebody who still lives puts one in a folder's place meanwhile.
    """
    unused, numbers = secrets.token_hex(8), itertools.count()
    with contextlib.suppress(OSError), _opened(folder) as top:
        while found := _folders(top):
            for one in found:  # what is in them moves up, so that no path grows
                with _opened(one, top) as held:
                    for inner in _folders(held):
                        os.rename(inner, f"{unused}-{next(numbers)}", src_dir_fd=held, dst_dir_fd=top)
                os.rmdir(one, dir_fd=top)
        os.rmdir(folder)


def size(folder: Path) -> tuple[int, int]:
    """Bytes on the disk, and number of files and folders; counting ends past MOST.

    Past it counts what cannot be counted: folders past DEEPEST, and those that may not be read.
    """
    total = count = 0
    waiting = [(os.fspath(folder), 0)]
    while waiting and count <= MOST:
        path, depth = waiting.pop()
        if depth > DEEPEST:
            return total, MOST + 1
        try:
            with os.scandir(path) as listed:
                for one in itertools.islice(listed, MOST + 1 - count):
                    count += 1
                    with contextlib.suppress(FileNotFoundError):
                        if one.is_dir(follow_symlinks=False):
                            waiting.append((one.path, depth + 1))
                        else:
                            total += one.stat(follow_symlinks=False).st_blocks * 512
        except (FileNotFoundError, NotADirectoryError):
            continue  # it is gone since
        except OSError:
            return total, MOST + 1
    return total, count


def unlinked(pid: int) -> int:
    """Bytes of the files that a process holds open and that have no name any more; 0 where the system does not tell."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as listed:
        for one in listed:
            with contextlib.suppress(OSError):
                about = one.stat()
                if stat.S_ISREG(about.st_mode) and about.st_nlink == 0:
                    total += about.st_blocks * 512
    return total


@contextlib.contextmanager
def _opened(folder: str | Path, within: int | None = None) -> Iterator[int]:
    """A descriptor of a folder, which is no link."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        yield held
    finally:
        os.close(held)


def _folders(held: int) -> list[str]:
    """The names of the folders in an open folder, which may now be opened and moved; its files are removed."""
    found = []
    with os.scandir(held) as listed:
        for one in listed:
            if one.is_dir(follow_symlinks=False):
                os.chmod(one.name, 0o700, dir_fd=held, follow_symlinks=False)
                found.append(one.name)
            else:
                os.unlink(one.name, dir_fd=held)
    return found


def _sweep(folder: Path) -> None:
    """Remove a folder whose process is gone."""
    with contextlib.suppress(OSError), _opened(folder) as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with _opened(folder) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
