"""Published architectures, found in the index: torchvision, timm and our own, whatever their number of classes.

A file fits an entry when the names and shapes of its body are the entry's, free axes aside. Its head may be the
published one, with any number of classes, or one that was put in its place: a chain of numbered linear layers.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from model_zoo.facts import Facts
from model_zoo.recognition import Architecture, Finder, Near, Shape, Shapes, _index, _layers
from model_zoo.recognition._index import FREE, Entry
from model_zoo.recognition._libraries import TITLES

MOST = 8  # architectures of one and the same shape that are offered
MOST_NEAR = 3
RARE = re.compile(r"flexi|test_|pruned|blur|aa\d|_cr_|lingbot|gap|^tf_|_cc_")
SIZED = re.compile(r"_\d{3}$")
TRANSFORMED = ("torchvision/googlenet", "torchvision/inception_v3")  # these may change the colours of photos inside


def find(shapes: Shapes) -> Iterator[Architecture]:
    """Entries whose body the file has, those of the likeliest library first."""
    index = _index.index()
    tensors = _index.kept(shapes)
    fitting: dict[str, tuple[Entry, tuple[Architecture, ...]]] = {}
    for homes in index.homes:
        rest = [one for one in tensors if not _index.below(one[0], homes)]
        if len(rest) == len(tensors) or not rest:
            continue
        bodies: dict[Any, str] = {}
        for one in index.places.get((homes, _index.digest(name for name, _ in rest)), ()):
            free = (*one.stem, *one.position)
            if free not in bodies:
                bodies[free] = _index.body(rest, free)
            if bodies[free] == one.body:
                fitting[one.id] = (one, tuple(_architectures(one, shapes)))
    for around in dict.fromkeys(place for place, _ in index.around):
        rest = [one for one in tensors if not _index.below(one[0], (around,))]
        for one in index.around.get((around, _index.digest(name for name, _ in rest)), ()):
            if not fitting.get(one.id, (one, ()))[1] and _index.body(rest, one.stem) == one.whole[1]:
                fitting[one.id] = (one, tuple(_architectures(one, shapes, around)))
    size = next((made[0].facts.size for _, made in fitting.values() if made), None)
    ranked = sorted(
        (kept for kept in fitting.values() if kept[1]),
        key=lambda kept: (*order(kept[0])[:2], kept[0].size != size, *order(kept[0])),
    )
    for rank, (one, made) in enumerate(ranked[:MOST]):
        for architecture in made:
            yield _related(architecture, one, rank, [other for other, _ in ranked])


def order(one: Entry) -> tuple[int, bool, int, str]:
    """torchvision, Assay, then timm: rarer variants after the usual ones, which have shorter names."""
    library, _, name = one.id.partition("/")
    return (("torchvision", "assay", "timm").index(library), bool(RARE.search(name)), len(name), name)


def function_of(one: Entry) -> str:
    """What two entries share that compute the same from the same photo; names of timm may end in the picture's size."""
    return f"{one.twin or (SIZED.sub('', one.id) if one.position else one.id)} {one.mean} {one.std}"


def _related(one: Architecture, entry: Entry, rank: int, all_: list[Entry]) -> Architecture:
    """With the reason told against the others that fit."""
    same = [other.id for other in all_ if other.id != entry.id and function_of(entry) == function_of(other)]
    differ = [other.id for other in all_ if other.id != entry.id and other.id not in same]
    reason = "Names and shapes of all tensors are its own"
    if same:
        reason += f"; the same function as {', '.join(same[:3])}"
    if differ:
        fit = f"{', '.join(differ[:3])} fit{'s' * (len(differ) == 1)} as well"
        reason += f"; {fit}, with other colours, padding, pooling, epsilon or activation"
        reason += ", but less usually" * (rank == 0)
    score = 0.95 - 0.01 * rank
    library, _, name = entry.id.partition("/")
    padded = f"{library}/{name.removeprefix('tf_') if name.startswith('tf_') else f'tf_{name}'}"
    if padded in differ:
        one = dataclasses.replace(
            one,
            notes=(
                *one.notes,
                f"{entry.id} and {padded} have the same names and shapes and pad their pictures differently: those with"
                f" tf_ as TensorFlow does. {entry.id} is taken; choose {padded} under architecture if yours is that.",
            ),
        )
    return dataclasses.replace(
        one,
        reason=f"{reason}. {one.reason}".strip(),
        score=one.score - 0.001 * rank if "+" in one.id else score,
        same=function_of(entry) + one.id.partition("+")[2],
    )


def _architectures(one: Entry, shapes: Shapes, around: str = "") -> Iterator[Architecture]:
    """One entry with the settings that the file's shapes say, and with its head or another in its place.

    around: the module around the head, where all of that was replaced.
    """
    channels = shapes[one.stem[0][0]][one.stem[0][1]] / one.each if one.stem else 3
    size = size_of(one, shapes)
    if size is None or channels != int(channels) or channels < 1:
        return
    homes = (around,) if around else one.homes
    head = {name: tuple(shape) for name, shape in shapes.items() if _index.below(name, homes)}
    own = dict(one.head)
    facts = facts_of(one, int(channels), size)
    resized = size if one.position and size != one.size else None
    settings = Settings(one.id, int(channels), resized)
    notes: tuple[str, ...] = ()
    if channels != 3:
        notes = (
            f"Pictures of {int(channels)} channel{'s' * (channels > 1)} have no usual mean and standard deviation, so"
            " pixels are given as they are, from 0 to 1; give yours under mean and std if it was trained with others.",
        )
    elif one.others:
        notes = (
            "Photos are taken with the mean and standard deviation of its usual training"
            f" ({one.mean[0]:.3g} ... and {one.std[0]:.3g} ...); others of it in timm differ: give yours if you know"
            " them.",
        )
    trained = {name: shape for name, shape in head.items() if not name.endswith(_index.SPARE)}
    if trained.keys() == own.keys() and all(_fits(shape, own[name]) for name, shape in trained.items()):
        classes = {
            shape[axis] for name, shape in trained.items() for axis, length in enumerate(own[name]) if length == FREE
        }
        if len(classes) == 1:
            count = classes.pop()
            title = f"{settings.title}, {classes_of(count)}"
            yield Architecture(one.id, title, lambda: settings.build(count), labelled(facts, count), notes=notes)
            if one.id.partition(":")[0] in TRANSFORMED and int(channels) == 3:
                changed = dataclasses.replace(settings, transformed=True)
                yield Architecture(
                    f"{one.id}+transform_input",
                    f"{title}, which changes the colours of photos inside (transform_input)",
                    lambda: changed.build(count),
                    labelled(facts, count),
                    reason="So torchvision makes it for its published weights, and so it stays as they are trained on.",
                    score=0.96,
                    notes=("It is assumed to begin with torchvision's published weights (transform_input).",),
                )
        return
    if len(homes) > 1:
        return
    (home,) = homes
    width = one.whole[2] if around else own[f"{home}.weight"][1] if f"{home}.weight" in own else 0
    layers = _layers.layers_of({name[len(home) + 1 :]: shape for name, shape in head.items()})
    if not layers or not _layers.is_chain(layers, width):
        return
    count = layers[-1].outputs
    for rank, activation in enumerate(_layers.activations(layers)):
        named = f"+{activation}" if activation else ""
        yield Architecture(
            one.id + named,
            f"{settings.title} with a head of {len(layers)} layers{f' and {activation}' if activation else ''},"
            f" {classes_of(count)}",
            _with_head(settings, home, layers, activation),
            labelled(facts, count),
            reason=_layers.REASONS.get(activation, ""),
            score=0.9 - 0.01 * rank,
            notes=(*notes, *_layers.notes(layers, activation)),
            guessed=bool(activation),
        )


def _with_head(settings: Settings, home: str, layers: tuple[_layers.Layer, ...], activation: str) -> Any:
    def build() -> Any:
        network = settings.build(1)
        parent, _, last = home.rpartition(".")
        network.get_submodule(parent).register_module(last, _layers.chain(layers, activation, flat=True))
        return network

    return build


@dataclass(frozen=True)
class Settings:
    """What construct() is told besides the number of classes."""

    id: str
    channels: int
    size: tuple[int, int] | None
    transformed: bool = False

    @property
    def title(self) -> str:
        """What a person calls it."""
        library, _, name = self.id.partition("/")
        said = [f"{self.channels} input channels"] * (self.channels != 3)
        if self.size is not None:
            said.append(f"{self.size[0]} × {self.size[1]} pixels")
        return ", ".join([f"{name.partition(':')[0]} of {TITLES[library]}", *said])

    def build(self, classes: int) -> Any:
        """The network, untrained."""
        from model_zoo.recognition._libraries import construct

        network = construct(self.id, classes, self.channels, self.size)
        if self.transformed:
            network.transform_input = True
        return network


def _fits(shape: Shape, expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        wanted in (FREE, length) for length, wanted in zip(shape, expected, strict=True)
    )


def size_of(one: Entry, shapes: Shapes) -> tuple[int, int] | None:
    """Height and width of its pictures: as usual, or as its position embeddings say; None where these are no square."""
    size = one.size or (224, 224)
    if not one.position:
        return size
    tokens = shapes[one.position[0][0]][one.position[0][1]]
    if tokens == one.tokens:
        return size
    grid = math.isqrt(one.tokens)
    special = one.tokens - grid * grid
    wanted = math.isqrt(max(0, tokens - special))
    if wanted == 0 or wanted * wanted + special != tokens or size[0] % grid or size[0] != size[1]:
        return None
    return (size[0] // grid * wanted,) * 2


def facts_of(one: Entry, channels: int, size: tuple[int, int]) -> Facts:
    """How it takes a picture, as its library says; other channels than three have no usual mean."""
    photo = channels == 3
    return Facts(
        modality="image",
        size=size,
        channels=channels,
        mean=one.mean if photo else (),
        std=one.std if photo else (),
        crop=one.crop,
        resample=one.resample,
        order=one.order,
        scale=one.scale,
    )


def labelled(facts: Facts, count: int) -> Facts:
    """With the task, and ImageNet's names for its thousand classes."""
    from model_zoo.bundled import _imagenet

    names = _imagenet.LABELS if count == len(_imagenet.LABELS) else ()
    task: Any = "classification" if count > 1 else None
    return dataclasses.replace(facts, labels=names, task=task, output="logit" if count > 1 else None)


def classes_of(count: int) -> str:
    """A number of outputs in words."""
    return f"{count:,} classes" if count > 1 else "one output"


def near(shapes: Shapes) -> Iterator[Near]:
    """Entries whose patterns of names resemble the file's most; of equals, the one of nearest size."""
    index = _index.index()
    known = {one: position for position, one in enumerate(index.patterns)}
    patterns = [_index.pattern(name) for name, _ in _index.kept(shapes)]
    own = {known.get(one, -position) for position, one in enumerate(dict.fromkeys(patterns), 2)}
    million = sum(math.prod(shape) for shape in shapes.values()) / 1e6
    ranked = []
    for one in index.entries:
        both = len(own & set(one.patterns))
        if both:
            likeness = both / len(own | set(one.patterns))
            distance = round(abs(math.log((million + 0.01) / (one.million + 0.01))), 1)
            ranked.append((-round(likeness, 3), distance, order(one), likeness, one))
    for _, _, _, likeness, one in sorted(ranked, key=lambda kept: kept[:3])[:MOST_NEAR]:
        library, _, name = one.id.partition("/")
        yield Near(one.id, f"{name.partition(':')[0]} of {TITLES[library]}", likeness, _shapes_of(one, shapes))


def _shapes_of(one: Entry, file: Shapes) -> Any:
    """The shapes of an entry with as many classes as the file seems to have."""

    def read() -> Shapes:
        from model_zoo.recognition._build import shapes

        name, expected = one.head[0]
        own = file.get(name, ())
        return shapes(one.id, classes=own[expected.index(FREE)] if _fits(own, expected) else 1000)

    return read


FINDER = Finder(find, near)
