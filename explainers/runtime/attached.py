"""Models that stay where they are on the server: which paths may be named, and whether a file is still the same.

A browser may name what lies in the folders of ASSAY_MODELS alone (os.pathsep between them), after links are followed;
the command line may name anything. The digest of a folder is over the names and bytes of its files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from explainers.runtime.types import COMMAND_LINE
from model_zoo.types import UserError

FOLDERS = "ASSAY_MODELS"
CHUNK = 1 << 20
MOST = 10_000  # files in a folder


def located(path: str | Path, owner: str) -> Path:
    """The file or folder that an owner names, links followed; UserError if there is none that may be named."""
    try:
        found = Path(path).expanduser()
        found = Path(os.path.abspath(found)) if owner == COMMAND_LINE else found.resolve()
        if owner != COMMAND_LINE:
            allowed = folders()
            for one in (found, *(_files(found) if _inside(found, allowed) and found.is_dir() else ())):
                if not _inside(one.resolve(), allowed):
                    raise UserError(_outside(path, allowed))
        there = found.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, with a zero in it, a loop of links, no such home
        if isinstance(error, UserError):
            raise
        raise UserError(f"{str(path)[:200]!r} is not a path of this server; check it.") from error
    if not there:
        raise UserError(f"There is no file or folder {str(path)[:200]!r} on this server; check the path.")
    return found


def linked(path: Path) -> tuple[Path, ...]:
    """Where the links in a folder lead to, as those of Hugging Face's cache do; nothing for a file.

    Only within the model's own place in that cache (snapshots/<revision> -> blobs), or within ASSAY_MODELS: a folder
    that somebody else made may link to anything, and the worker may read what is returned here.
    """
    if not path.is_dir():
        return ()
    home = path.resolve()
    own = home.parent.parent if home.parent.name == "snapshots" else home
    targets = [one.resolve() for one in _files(path) if one.is_symlink() and one.is_file()]
    return tuple(one for one in targets if _inside(one, (own, *folders())))


def folders() -> tuple[Path, ...]:
    """The folders that the operator named."""
    return tuple(Path(one).expanduser().resolve() for one in os.environ.get(FOLDERS, "").split(os.pathsep) if one)


def stamp(path: Path) -> str:
    """Names, sizes and times of the files, as text: another one means that a file may have changed."""
    with _readable(path):
        return json.dumps(
            [[_name(one, path), (about := one.stat()).st_size, about.st_mtime_ns] for one in _files(path)]
        )


def size(path: Path) -> int:
    """Bytes of the files."""
    with _readable(path):
        return sum(one.stat().st_size for one in _files(path))


def digest(path: Path) -> str:
    """sha256 of a file's bytes; of a folder over the names, sizes and bytes of its files: "sha256:..."."""
    found = hashlib.sha256()
    with _readable(path):
        for one in _files(path):
            if one != path:
                found.update(json.dumps([_name(one, path), one.stat().st_size]).encode() + b"\n")
            with one.open("rb") as file:
                while chunk := file.read(CHUNK):
                    found.update(chunk)
    return f"sha256:{found.hexdigest()}"


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What the disk refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} can no longer be read: {error.strerror}. Put it back, or remove the model here."
        ) from error


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or a folder's files at any depth, in order."""
    if not path.is_dir():
        yield path
        return
    count = 0
    for home, inner, names in os.walk(path):
        inner.sort()
        for name in sorted(names):
            count += 1
            if count > MOST:
                raise UserError(f"{path} has more than {MOST:,} files; name the folder of one model.")
            yield Path(home, name)


def _name(one: Path, path: Path) -> str:
    return "" if one == path else one.relative_to(path).as_posix()


def _inside(path: Path, allowed: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(one) for one in allowed)


def _outside(path: str | Path, allowed: tuple[Path, ...]) -> str:
    if not allowed:
        return (
            "Whoever runs this server has named no folder of models that a browser may open; upload the file, or ask"
            f" them to set {FOLDERS}."
        )
    listed = ", ".join(map(str, allowed))
    return f"{str(path)[:200]!r} lies outside the folders of models on this server; name a path in one of: {listed}."
