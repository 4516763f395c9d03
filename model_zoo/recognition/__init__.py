"""Which architecture bare weights belong to, by the names and shapes of their tensors; no heavy library is loaded.

A file in this folder with `FINDER = Finder(find)` is asked; files with an underscore are their parts. A finder never
fetches anything, imports torch and the model libraries inside functions only, and answers within a fraction of a
second: it proposes, and `Architecture.build` proves. Whoever opens the file builds the network under
`model_zoo.formats._weights.blank()`, so that no time goes into random numbers, and refuses it unless its names and
shapes are exactly those of the file, but for the tensors that `Architecture.spare` allows either side to lack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from model_zoo.discovery import Broken, discover
from model_zoo.facts import Facts

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

# Buffers that a constructor makes and training never changes (or, as counters, evaluation never reads): by the end of
# their names. A file may lack or have them, whatever this version of the library does.
WITHIN = 0.25  # of the best score: what is less likely by more than that is not offered
SPARE = (
    "num_batches_tracked",
    "relative_position_index",
    "position_ids",
    "attn_mask",
    "relative_coords_table",
)


@dataclass(frozen=True)
class Architecture:
    """One network that the weights may belong to."""

    id: str  # "torchvision/resnet50": what Facts.architecture picks
    title: str  # "ResNet-50 of torchvision"
    build: Callable[[], Any]  # the torch module in the file's own names and shapes; its parameters may be anything
    facts: Facts = field(default_factory=Facts)  # what is usual for it: modality, task, image size, mean, std, labels
    reason: str = ""  # a sentence: what speaks for it
    score: float = 0.5  # 0 to 1; the highest is taken first, equal ones by id
    notes: tuple[str, ...] = ()  # sentences for the person, about what had to be assumed
    rename: Callable[[dict[str, Any]], dict[str, Any]] | None = None  # the file's tensors by the network's names
    spare: tuple[str, ...] = SPARE  # ends of names of buffers that the file or the network may lack
    input: Any = None  # how it takes its input, where Facts cannot say
    guessed: bool = False  # other networks have the same names and shapes: whoever knows must choose
    same: str = ""  # two of one id here are the same function: the second is not worth asking about


@dataclass(frozen=True)
class Near:
    """A family that resembles the weights without fitting them."""

    id: str
    title: str
    likeness: float  # 0 to 1: the share of tensor names in common
    shapes: Callable[[], Shapes]  # of its tensors; built when asked for


def _none(shapes: Shapes) -> Iterable[Near]:
    return ()


@dataclass(frozen=True)
class Finder:
    """One file of this folder: what the shapes may be; and what comes closest, where nothing fits."""

    find: Callable[[Shapes], Iterable[Architecture]]
    near: Callable[[Shapes], Iterable[Near]] = _none


def broken() -> tuple[Broken, ...]:
    """Finders that did not import, with the reason; the others answer without them."""
    return discover(__name__, "FINDER")[1]


def _finders() -> tuple[Finder, ...]:
    return discover(__name__, "FINDER")[0]


def recognise(shapes: Shapes) -> tuple[Architecture, ...]:
    """Every architecture that the names and shapes fit, the likeliest first; of those that compute the same, one.

    A published architecture scores about 0.95, a family with settings of the file's own 0.65, a guess from plain layers
    0.35: where one of the first is found, the last is not offered.
    """
    found = [one for finder in _finders() for one in finder.find(shapes)]
    best = max((one.score for one in found), default=0.0)
    found = [one for one in found if one.score >= best - WITHIN]
    kept: dict[str, Architecture] = {}
    for one in sorted(found, key=lambda one: (-one.score, one.id)):
        kept.setdefault(one.same or one.id, one)
    return tuple(kept.values())


def nearest(shapes: Shapes, most: int = 3) -> tuple[Near, ...]:
    """The families that come closest, the closest first; of equals, as their finder has them."""
    found = [one for finder in _finders() for one in finder.near(shapes)]
    return tuple(sorted(found, key=lambda one: -one.likeness)[:most])
