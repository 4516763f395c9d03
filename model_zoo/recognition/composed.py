"""A published network without its head, and a head of one's own beside it: `backbone.*` and `classifier.*`.

The usual way of fine-tuning from Python: a class of one's own holds the body of a published network, whose last layer
was taken out (or left an nn.Identity), and a chain of linear layers. Names and shapes prove both parts; that the head
takes what the body gives is what such classes do, and is said. fastai's learners are such, with a head that is always
the same: `0.*` is the body, and `1.*` takes the largest values and the means of all channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from model_zoo.recognition import Architecture, Finder, Shapes, _index, _layers
from model_zoo.recognition.published import Settings, classes_of, facts_of, function_of, labelled, order, size_of

SHARE = 0.5  # of all numbers, that the body has at least
SCORE = 0.85
FASTAI = [("1.2", "batch"), ("1.4", "linear"), ("1.6", "batch"), ("1.8", "linear")]  # create_head's, bn then linear
MOST = 3  # bodies of the same shapes that are offered
RESNET = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")  # children() of torchvision's


def find(shapes: Shapes) -> Iterator[Architecture]:
    """Bodies in the index, under the prefix that most of the numbers have, with the rest as their head."""
    weights: dict[str, int] = {}
    for name, shape in shapes.items():
        weights[name.partition(".")[0]] = weights.get(name.partition(".")[0], 0) + math.prod(shape)
    prefix = max(weights, key=lambda one: weights[one], default="")
    inner = {name[len(prefix) + 1 :]: one for name, one in shapes.items() if name.startswith(f"{prefix}.")}
    outer = {name: one for name, one in shapes.items() if not name.startswith(f"{prefix}.")}
    if not inner or not outer or weights[prefix] < SHARE * sum(weights.values()):
        return
    head = _layers.layers_of(outer)
    if not head or not _layers.is_chain(head):
        return
    numbered = all(name.partition(".")[0].isdigit() for name in inner)
    body = {_renamed(name): one for name, one in inner.items()} if numbered else inner
    doubled = numbered and [(one.name, one.kind) for one in head] == FASTAI
    fitting = [one for one in _entries(body) if head[0].inputs == one.head[-1][1][-1] * (2 if doubled else 1)]
    functions: dict[str, _index.Entry] = {}
    for one in sorted(fitting, key=order):
        functions.setdefault(function_of(one), one)
    for rank, one in enumerate(list(functions.values())[:MOST]):
        size = size_of(one, body)
        if size is None:
            continue
        channels = body[one.stem[0][0]][one.stem[0][1]] // one.each if one.stem else 3
        settings = Settings(one.id, channels, size if one.position and size != one.size else None)
        for place, activation in enumerate(("ReLU",) if doubled else _layers.activations(head)):
            count = head[-1].outputs
            yield Architecture(
                f"{one.id}+head" + (f"+{activation}" if activation else ""),
                f"{settings.title} with a head of its own"
                + (f" of {len(head)} layers and {activation}" if activation else "")
                + f", {classes_of(count)}",
                _build(settings, one.homes[0], prefix, head, activation, numbered, doubled),
                labelled(facts_of(one, channels, size), count),
                reason=f"All tensors of {prefix!r} are its body's."
                + (" Its head is the one that fastai makes." if doubled else "")
                + (f" {_layers.REASONS[activation]}" if activation and not doubled else ""),
                score=SCORE - 0.02 * rank - 0.005 * place,
                notes=("Its head is taken to be fastai's: the largest values and means of all channels, and ReLU.",)
                if doubled
                else (
                    f"{prefix!r} is taken to give its pooled features to"
                    f" {', '.join(layer.name for layer in head)}, as classes of such a body and head do.",
                    *_layers.notes(head, activation),
                ),
                guessed=bool(activation) and not doubled,
            )


def _entries(body: Shapes) -> Iterator[_index.Entry]:
    """Entries with one head whose body this is."""
    index = _index.index()
    tensors = _index.kept(body)
    names = _index.digest(name for name, _ in tensors)
    for homes in index.homes:
        for one in index.places.get((homes, names), ()):
            if len(homes) == 1 and _index.body(tensors, (*one.stem, *one.position)) == one.body:
                yield one


def _renamed(name: str) -> str:
    """A name in nn.Sequential(*resnet.children()) by the child's own name."""
    first, dot, rest = name.partition(".")
    return (RESNET[int(first)] if first.isdigit() and int(first) < len(RESNET) else first) + dot + rest


def _build(
    settings: Settings,
    home: str,
    prefix: str,
    head: tuple[_layers.Layer, ...],
    activation: str,
    numbered: bool,
    doubled: bool,
) -> Any:
    def build() -> Any:
        from torch import nn

        from model_zoo.recognition._planned import ConcatPool, Planned

        network = settings.build(1)
        parent, _, last = home.rpartition(".")
        if numbered:
            left = {home, "avgpool"} if doubled else {home}
            network = nn.Sequential(*(child for name, child in network.named_children() if name not in left))
        else:
            network.get_submodule(parent).register_module(last, nn.Identity())
        chain = {one.name: one.module() for one in head}
        steps: list[Any] = [prefix, ConcatPool() if doubled else nn.Flatten()]
        for one, on in zip(head, _layers.active(head), strict=True):
            steps += [one.name, getattr(nn, activation)()] if on else [one.name]
        return Planned({prefix: network, **chain}, steps)

    return build


FINDER = Finder(find)
