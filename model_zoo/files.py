"""The nouns of model files: a file or folder, its format, what is found in it; no heavy library is imported here.

The bytes decide what a file is, never its name. How far a format is trusted follows from what a hostile file of it can
do (docs/safety.md): see Trust.
"""

from __future__ import annotations

import enum
import functools
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_zoo.facts import Facts
from model_zoo.types import UserError

HEAD = 1 << 16  # bytes that are looked at to tell a format


class Trust(enum.Enum):
    """What a hostile file of a format can do, and so where it may be opened."""

    DATA = "data"  # numbers alone: anywhere, a script's own process too
    SANDBOX = "sandbox"  # runs code or a parser that crashes: only where the sandbox holds
    CODE = "code"  # runs any code: refused, unless the operator has said otherwise, and in the sandbox even then
    REFUSED = "refused"  # never opened


@dataclass(frozen=True)
class ModelFile:
    """A file or folder that a person calls a model; `name` is what they called it."""

    path: Path
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.path.name)

    @property
    def folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    @functools.cached_property
    def head(self) -> bytes:
        """The first bytes; empty for a folder."""
        if self.folder:
            return b""
        with self.path.open("rb") as file:
            return file.read(HEAD)

    @functools.cached_property
    def size(self) -> int:
        """Bytes; of a folder those of its files, one level deep."""
        if self.folder:
            return sum(one.stat().st_size for one in self.path.iterdir() if one.is_file())
        return self.path.stat().st_size

    @functools.cached_property
    def entries(self) -> tuple[str, ...]:
        """Names of the members of a zip archive, or of the files of a folder; empty for any other file."""
        if self.folder:
            return tuple(sorted(one.name for one in self.path.iterdir() if one.is_file()))
        try:
            with zipfile.ZipFile(self.path) as archive:
                return tuple(archive.namelist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            return ()

    def member(self, name: str, most: int) -> bytes:
        """The bytes of one entry; UserError if it unpacks to more than `most` bytes or is damaged."""
        if self.folder:
            path = self.path / name
            try:
                if path.stat().st_size > most:
                    raise UserError(f"{name} in {self.name} is larger than {most >> 20} MiB, which no such file needs.")
                return path.read_bytes()
            except OSError as error:  # a link that leads out of the folder, where the sandbox holds
                raise UserError(
                    f"{name} in {self.name} cannot be read ({error.strerror}); a file of the folder itself is expected,"
                    " which may be read."
                ) from error
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
                data = file.read(most + 1)
        except (
            zipfile.BadZipFile,
            OSError,
            ValueError,
            NotImplementedError,
            EOFError,
            RuntimeError,
            KeyError,
        ) as error:
            raise UserError(f"{self.name} is damaged: {name} in it cannot be read. Save or upload it again.") from error
        if len(data) > most:
            raise UserError(f"{name} in {self.name} unpacks to more than {most >> 20} MiB, which no such file needs.")
        return data

    def open(self) -> io.BufferedReader:
        """The file, to be read."""
        return self.path.open("rb")


@dataclass(frozen=True)
class Choice:
    """One way to read an ambiguous file: what it would be taken for, and what speaks for it."""

    id: str
    title: str
    reason: str


@dataclass(frozen=True)
class Opened:
    """What a format finds in a file: what wrap() takes, and what the file says or suggests of it.

    network: a torch module, a callable (n, *x.shape) -> (n, outputs), or a fitted estimator.
    notes: sentences for the person about how it was opened ("explained as a black box, since ...").
    choices: other readings, the one taken first, where the file is ambiguous.
    uncertain: nothing in the file speaks for the first of the choices, so the owner has to choose one.
    usual: how pictures are prepared in `guess` is what is usual for its architecture, and no word of the file.
    input: how it takes its input, where the format knows more than Facts can say; else made from the facts.
    settle: called with the first input x, to compare a converted model with the original: None, or the network to take
        instead and a note why; UserError stops it.
    """

    network: Any
    guess: Facts = field(default_factory=Facts)
    what: str = ""  # "ResNet-50 of torchvision, 25.6 million parameters, 7 classes"
    notes: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    uncertain: bool = False
    usual: bool = False
    input: Any = None
    settle: Callable[[Any], tuple[Any, str] | None] | None = None


@dataclass(frozen=True)
class Format:
    """One kind of model file; a file in formats/ that has FORMAT is discovered."""

    id: str
    title: str  # "PyTorch state dict"
    endings: tuple[str, ...]  # what such files are usually called, for menus; never used to tell a format
    trust: Trust
    sniff: Callable[[ModelFile], bool]  # by the bytes; no heavy import, no code of the file runs, raises nothing
    open: Callable[[ModelFile, Facts], Opened]  # heavy imports inside; UserError says in a sentence what to do
    summary: str  # for a person: what opens, and how it is explained
    order: int = 50  # those with a lower one are asked first
    refusal: str | Callable[[ModelFile], str] = ""  # why, and what to do, for CODE and REFUSED; {name} is the file's

    def refused(self, file: ModelFile) -> str:
        """Why this file is not opened and what to do; "" where the format has no words of its own for it."""
        return self.refusal(file) if callable(self.refusal) else self.refusal.format(name=file.name)


@dataclass(frozen=True)
class Reading:
    """What was found in an upload, before its owner has said the rest; crosses the wire to the form."""

    format: str  # id
    title: str  # "PyTorch state dict"
    what: str
    guess: Facts
    required: tuple[str, ...] = ()  # names of facts without which it cannot be explained
    outputs: int | None = None  # columns of scores, where a first run has told
    parameters: int = 0
    notes: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    uncertain: bool = False  # the owner has to choose one
    problem: str = ""  # why the first run failed, where it did: the form may mend it
    assumed: tuple[str, ...] = ()  # names of facts in `guess` that are usual, while nothing in the file says them
    own_input: bool = False  # the file itself says how it takes its input: facts about that are not asked for
