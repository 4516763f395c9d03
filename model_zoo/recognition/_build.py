"""Makes the index of published architectures from the installed libraries: python -m model_zoo.recognition._build

Every classification network of torchvision, timm and model_zoo/architectures is made a few times on the meta device,
with other numbers of classes, channels and pixels; the axes that follow are free in the index, so nothing is assumed
about how a head or a stem is called. Networks with the same names and shapes are then given the same random weights and
the same picture, which tells whether they are one function under two names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from model_zoo import vision
from model_zoo.recognition import Shape, _index
from model_zoo.recognition._index import FREE, Entry
from model_zoo.recognition._libraries import LIBRARIES, construct

CLASSES, CHANNELS, PIXELS = 1000, 3, 32  # as published; and by how much the size is changed
OTHER_CLASSES, OTHER_CHANNELS = 7, 5
MOST_MILLION = 120.0  # parameters of networks that are run to compare them
NOISE = 1_000_003  # numbers that weights are filled with; a prime, so that no two rows are the same
SIDE = 64  # pixels of the pictures that tell functions apart
SAME = 1e-4  # relative difference of what one function says of them


def main() -> None:
    """Write the index."""
    vision.ready()
    start = time.perf_counter()
    patterns: dict[str, int] = {}
    entries = []
    for library, names in LIBRARIES.items():
        for count, name in enumerate(names()):
            if count % 200 == 0:
                print(f"{library}, {count}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
            try:
                entries.append(_entry(f"{library}/{name}", patterns))
            except Exception as error:  # a constructor may raise anything; what cannot be made cannot be found
                print(f"left out: {library}/{name}: {str(error).partition(chr(10))[0][:100]}", file=sys.stderr)
    write([*twinned(entries)], list(patterns))


def write(entries: list[Entry], patterns: list[str]) -> None:
    """Write the index, without what is as a rule."""
    blank = Entry("", "", "", (), ())
    rows = [
        {key: value for key, value in dataclasses.asdict(one).items() if value != getattr(blank, key)}
        | {"names": one.names, "body": one.body, "homes": one.homes, "head": one.head}
        for one in entries
    ]
    text = json.dumps(
        {"versions": _versions(), "patterns": patterns, "entries": rows}, separators=(",", ":"), sort_keys=True
    )
    _index.FILE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(entries)} entries, {_index.FILE.stat().st_size:,} bytes", file=sys.stderr)


def _versions() -> dict[str, str]:
    import timm
    import torchvision

    return {"torchvision": torchvision.__version__.partition("+")[0], "timm": timm.__version__}


def shapes(identity: str, **settings: Any) -> dict[str, Shape]:
    """Names and shapes of a network, made on the meta device where its constructor allows it."""
    import torch

    from model_zoo.formats._weights import blank

    try:
        with torch.device("meta"):
            network = construct(identity, **settings)
    except (NotImplementedError, RuntimeError):  # a constructor that looks at numbers
        with blank():
            network = construct(identity, **settings)
    return {name: tuple(one.shape) for name, one in network.state_dict().items()}


def _entry(identity: str, patterns: dict[str, int]) -> Entry:
    usual = shapes(identity, classes=CLASSES)
    head = _axes(usual, shapes(identity, classes=OTHER_CLASSES))
    if not head:
        raise ValueError("no classes")
    homes = tuple(sorted({name.rpartition(".")[0] for name, _ in head if "." in name}))
    if not homes:
        raise ValueError("the classes are no module's")
    facts = LIBRARIES.facts(identity)
    stem = _try(lambda: _axes(usual, shapes(identity, classes=CLASSES, channels=OTHER_CHANNELS)))
    stem = tuple(one for one in stem if not _index.below(one[0], homes))
    position: tuple[tuple[str, int], ...] = ()
    if facts.size is not None and any("pos" in name for name in usual):
        size = (facts.size[0] + PIXELS, facts.size[1] + PIXELS)
        position = _try(lambda: _axes(usual, shapes(identity, classes=CLASSES, size=size)))
        if not all(len(usual[name]) == 3 and axis == 1 for name, axis in position):
            position = ()  # relative positions: the usual size alone
    tensors = _index.kept(usual)
    rest = [one for one in tensors if not _index.below(one[0], homes)]
    classes = set(head)
    around = homes[0].rpartition(".")[0] if len(homes) == 1 and identity.startswith("torchvision/") else ""
    whole = ("", "", 0)
    if around and "." not in around:
        outside = [one for one in tensors if not _index.below(one[0], (around,))]
        inside = [shape for name, shape in usual.items() if _index.below(name, (around,)) and name.endswith("weight")]
        whole = (_index.digest(name for name, _ in outside), _index.body(outside, stem), inside[0][-1])
    return Entry(
        id=identity,
        names=_index.digest(name for name, _ in rest),
        body=_index.body(rest, (*stem, *position)),
        homes=homes,
        head=tuple(
            (name, tuple(FREE if (name, i) in classes else n for i, n in enumerate(shape)))
            for name, shape in tensors
            if _index.below(name, homes)
        ),
        whole=whole,
        stem=stem,
        each=usual[stem[0][0]][stem[0][1]] // CHANNELS if stem else 1,
        position=position,
        tokens=usual[position[0][0]][1] if position else 0,
        size=facts.size,
        mean=facts.mean,
        std=facts.std,
        crop=facts.crop,
        resample=facts.resample,
        order=facts.order,
        scale=facts.scale,
        others=facts.others,
        patterns=tuple(sorted({patterns.setdefault(_index.pattern(name), len(patterns)) for name, _ in tensors})),
        million=round(sum(math.prod(shape) for _, shape in tensors) / 1e6, 2),
    )


def _axes(one: dict[str, Shape], other: dict[str, Shape]) -> tuple[tuple[str, int], ...]:
    """Where two variants of a network differ; ValueError where more than the lengths of axes do."""
    if one.keys() != other.keys() or any(len(one[name]) != len(other[name]) for name in one):
        raise ValueError("a setting changes the names")
    return tuple(
        (name, axis)
        for name in one
        for axis, (a, b) in enumerate(zip(one[name], other[name], strict=True))
        if a != b and not name.endswith(_index.SPARE)
    )


def _try(look: Callable[[], tuple[tuple[str, int], ...]]) -> tuple[tuple[str, int], ...]:
    """Free axes, or none where the library has no such setting."""
    try:
        return look()
    except Exception:  # constructors raise anything on settings that they do not take
        return ()


def twinned(entries: list[Entry]) -> Iterator[Entry]:
    """The entries, those that compute the same as an earlier one of the same names and shapes with its id."""
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for one in entries:
        groups.setdefault((one.names, one.body, one.homes, one.head), []).append(one)
    for group in groups.values():
        told: list[tuple[Any, str]] = []
        for one in group:
            scores = _scores(one, group) if len(group) > 1 and one.million < MOST_MILLION else None
            twin = next((known for other, known in told if scores is not None and _close(scores, other)), "")
            if scores is not None and not twin:
                told.append((scores, one.id))
            yield dataclasses.replace(one, twin=twin)


def _scores(one: Entry, group: list[Entry]) -> Any:
    """How scores change from one picture to another, with weights that follow from their names; None if it cannot run.

    All of a group see the same pictures: small ones, or where these do not fit, of the size that the first is for.
    """
    for size in ((SIDE, SIDE), group[0].size or (224, 224)):
        if not one.position or size == group[0].size:
            with contextlib.suppress(Exception):  # a network that cannot be run on them has no twin
                return _change(one, size)
    return None


def _change(one: Entry, size: tuple[int, int]) -> Any:
    import torch

    from model_zoo.formats._weights import blank

    drawn = torch.empty(NOISE).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    with blank():
        network = construct(one.id, OTHER_CLASSES, size=size if one.position else None).eval()
    for name, tensor in sorted(network.state_dict().items()):
        if tensor.is_floating_point() and not name.endswith(_index.SPARE):
            place = int(_index.digest([name]), 16) % NOISE
            noise = drawn.roll(place).repeat(-(-tensor.numel() // NOISE))[: tensor.numel()].view_as(tensor)
            if tensor.ndim > 1:
                tensor.copy_(noise * math.sqrt(6 / max(1, tensor[0].numel())))
            else:
                tensor.copy_(0.1 * noise if name.endswith(("bias", "mean")) else 1 + 0.5 * noise)
    pictures = torch.randn(2, CHANNELS, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = network(pictures)
    if not isinstance(found, torch.Tensor) or not bool(torch.isfinite(found).all()):
        raise ValueError("no scores")
    return found[1] - found[0]


def _close(one: Any, other: Any) -> bool:
    """Whether two changes are one; a change of nothing tells nothing."""
    spread = float(one.abs().max())
    return one.shape == other.shape and spread > 0 and float((one - other).abs().max()) / spread < SAME


if __name__ == "__main__":
    main()
