"""The files of a Hugging Face folder, or of a zip of one: looked up by plain names, read with bounds.

Nothing is ever unpacked by the names that an archive gives: a member is read under a name that was asked for, and
written, where a library wants a path, under that plain name. Links in a zip are thus files that hold a path as text.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from model_zoo.files import ModelFile
from model_zoo.types import UserError

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
MOST_ENTRIES = 10_000
MIB = 1 << 20
PLAIN = re.compile(r"[\w][\w.+=-]*")  # a file's name without any way out of its folder
INFLATED = 20  # weights that unpack to more than this many times their packed size are none
SMALL = 64 * MIB  # up to here no ratio is asked for
CHUNK = 4 * MIB


class Files:
    """Plain names of the files that lie together, and their contents; one folder around them is looked into."""

    def __init__(self, file: ModelFile) -> None:
        self.name = file.name
        self._entries: dict[str, str] = {}
        if file.folder:
            self._file = _inner(file)
            self._entries = {one: one for one in self._file.entries if PLAIN.fullmatch(one)}
            return
        self._file = file
        listed = file.entries
        if len(listed) > MOST_ENTRIES:
            return
        prefix = _prefix(listed)
        for entry in listed:
            plain = entry.removeprefix(prefix)
            if entry.startswith(prefix) and PLAIN.fullmatch(plain):
                self._entries[plain] = entry

    @property
    def names(self) -> tuple[str, ...]:
        """Plain names of all files, sorted."""
        return tuple(sorted(self._entries))

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def data(self, name: str, most: int = 4 * MIB) -> bytes:
        """The bytes of one file; UserError if there are more than `most`, or it is damaged."""
        return self._file.member(self._entries[name], most)

    def text(self, name: str, most: int = 4 * MIB) -> str:
        """The text of one file; UserError if it is no UTF-8."""
        try:
            return self.data(name, most).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{name} in {self.name} is not a text in UTF-8; save the model again.") from error

    def json(self, name: str, most: int = 4 * MIB) -> dict[str, Any]:
        """What a JSON file says; UserError if it is not an object."""
        try:
            found = json.loads(self.text(name, most))
        except (ValueError, RecursionError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{name} in {self.name} is not valid JSON; save the model again.") from error
        if not isinstance(found, dict):
            raise UserError(f"{name} in {self.name} is expected to hold a JSON object; save the model again.")
        return found

    def path(self, name: str, scratch: Path) -> Path:
        """Where a file lies on disk: in its folder, or unpacked into `scratch` under its plain name."""
        if self._file.folder:
            return self._file.path / self._entries[name]
        found = scratch / name
        try:
            with zipfile.ZipFile(self._file.path) as archive, archive.open(self._entries[name]) as source:
                most = max(SMALL, INFLATED * archive.getinfo(self._entries[name]).compress_size)
                with found.open("wb") as sink:
                    written = 0
                    while chunk := source.read(CHUNK):
                        written += len(chunk)
                        if written > most:
                            raise UserError(
                                f"{name} in {self.name} unpacks to more than {INFLATED} times its packed size, which"
                                " trained weights never do; zip the folder again."
                            )
                        sink.write(chunk)
        except UserError:
            raise
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, RuntimeError) as error:
            raise UserError(
                f"{self.name} is damaged: {name} in it cannot be unpacked. Zip the folder and upload it again."
            ) from error
        return found


def _inner(file: ModelFile) -> ModelFile:
    """The folder itself, or the one in it that has the configuration; a hub's cache keeps it among its snapshots."""
    if any(one in file.entries for one in (CONFIG, ADAPTER)):
        return file
    below = (*sorted(file.path.iterdir()), *sorted(file.path.glob("snapshots/*")))
    inside = [one for one in below if one.is_dir() and (one / CONFIG).is_file()]
    return ModelFile(inside[0], file.name) if len(inside) == 1 else file


def _prefix(entries: tuple[str, ...]) -> str:
    """What comes before the plain names in an archive: nothing, or one folder."""
    for wanted in (CONFIG, ADAPTER, "model.safetensors", "model.safetensors.index.json", "tokenizer.json"):
        found = [one for one in entries if one == wanted or (one.count("/") == 1 and one.endswith(f"/{wanted}"))]
        if found:
            return min(found, key=len).removesuffix(wanted)
    return ""
