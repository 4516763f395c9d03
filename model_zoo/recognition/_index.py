"""The index of published architectures: what each looks like by its tensors' names and shapes; made by _build.py.

Two digests find an architecture, however many classes it was trained for:
    names   of all tensors but those of the classification head and spare buffers
    body    of the same names with their shapes, where an axis that follows from a setting (input channels, image size)
            counts as free
The head is kept apart, since people replace it: its names and shapes, the class axis free.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_zoo.recognition import SPARE, Shape, Shapes

FILE = Path(__file__).with_name("index.json.gz")
FREE = -1  # an axis that may have any length
Axes = tuple[tuple[str, int], ...]  # (tensor, axis) pairs


@dataclass(frozen=True)
class Entry:
    """One architecture of a library."""

    id: str  # "timm/resnet50"
    names: str
    body: str
    homes: tuple[str, ...]  # dotted paths of the modules of its head
    head: tuple[tuple[str, Shape], ...]  # its tensors, the class axis FREE
    whole: tuple[str, str, int] = ("", "", 0)  # names and body without the module around the head, and what that takes
    stem: Axes = ()  # where the input channels are
    each: int = 1  # entries of that axis for one channel
    position: Axes = ()  # where the image size is
    tokens: int = 0  # entries of that axis at the usual size
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop: float | None = None
    resample: str = ""
    order: str = ""
    scale: float | None = None
    others: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()  # mean and std of other trainings of it
    twin: str = ""  # the first architecture that computes the same from the same weights
    patterns: tuple[int, ...] = ()  # of its names, as positions in Index.patterns
    million: float = 0.0  # parameters


@dataclass(frozen=True)
class Index:
    """Every entry, and where to look."""

    entries: tuple[Entry, ...]
    patterns: tuple[str, ...]
    versions: Mapping[str, str]  # of the libraries that it was made from
    places: Mapping[tuple[tuple[str, ...], str], tuple[Entry, ...]] = field(default_factory=dict)  # by (homes, names)
    around: Mapping[tuple[str, str], tuple[Entry, ...]] = field(
        default_factory=dict
    )  # by (module around the head, names)

    @functools.cached_property
    def homes(self) -> tuple[tuple[str, ...], ...]:
        """Every place of a head, once."""
        return tuple(dict.fromkeys(one.homes for one in self.entries))

    def __post_init__(self) -> None:
        found: dict[tuple[tuple[str, ...], str], list[Entry]] = {}
        for one in self.entries:
            found.setdefault((one.homes, one.names), []).append(one)
        object.__setattr__(self, "places", {key: tuple(value) for key, value in found.items()})
        around: dict[tuple[str, str], list[Entry]] = {}
        for one in self.entries:
            if one.whole[0]:
                around.setdefault((one.homes[0].rpartition(".")[0], one.whole[0]), []).append(one)
        object.__setattr__(self, "around", {key: tuple(value) for key, value in around.items()})


def digest(parts: Iterable[str]) -> str:
    """Twelve hexadecimal digits of the parts in order."""
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()


def below(name: str, homes: tuple[str, ...]) -> bool:
    """Whether a tensor belongs to one of these modules."""
    return any(name.startswith(home) and name[len(home) : len(home) + 1] == "." for home in homes)


def kept(shapes: Shapes) -> list[tuple[str, Shape]]:
    """The tensors that tell architectures apart, in a fixed order."""
    return sorted((name, tuple(shape)) for name, shape in shapes.items() if not name.endswith(SPARE))


def body(tensors: Iterable[tuple[str, Shape]], free: Axes) -> str:
    """The digest of names and shapes, without the lengths of free axes."""
    axes: dict[str, set[int]] = {}
    for name, axis in free:
        axes.setdefault(name, set()).add(axis)
    return digest(
        f"{name} {tuple(FREE if i in axes[name] else n for i, n in enumerate(shape)) if name in axes else shape}"
        for name, shape in tensors
    )


def pattern(name: str) -> str:
    """A tensor's name with its numbers blotted out."""
    return re.sub(r"\d+", "#", name)


@functools.cache
def index() -> Index:
    """The index, as committed."""
    found = json.loads(gzip.decompress(FILE.read_bytes()))
    return Index(
        entries=tuple(Entry(**{key: _frozen(value) for key, value in one.items()}) for one in found["entries"]),
        patterns=tuple(found["patterns"]),
        versions=found["versions"],
    )


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
