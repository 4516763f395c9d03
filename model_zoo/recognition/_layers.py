"""Plain layers by their tensors: which kind each is, how they follow one another, and what cannot be told.

Linear, convolution and normalisation layers are known by their shapes. Activations, dropout and pooling have no
tensors: a gap in the numbering of an nn.Sequential shows where they are, never which. So the usual is assumed, said,
and offered beside the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_zoo.recognition import Shape, Shapes

ACTIVATIONS = ("ReLU", "GELU", "Tanh", "LeakyReLU", "SiLU", "ELU", "Sigmoid")  # the likeliest first
REASONS = {
    "ReLU": "Activations have no weights, so the file cannot say which they are; ReLU is by far the most usual.",
    "GELU": "Usual after transformers.",
    "Tanh": "Usual in small and in older networks.",
    "LeakyReLU": "With torch's slope of 0.01.",
    "SiLU": "Also called swish.",
    "ELU": "With torch's alpha of 1.",
    "Sigmoid": "In older networks.",
}
PARTS = {
    frozenset({"weight"}),
    frozenset({"weight", "bias"}),
    frozenset({"weight", "bias", "running_mean", "running_var"}),
    frozenset({"running_mean", "running_var"}),
}


@dataclass(frozen=True)
class Layer:
    """One layer with tensors; `name` is its dotted path."""

    name: str
    kind: str  # "linear", "conv", "batch", "layer", "prelu"
    shape: Shape  # of its weight, or of its running mean
    bias: bool = True

    @property
    def home(self) -> str:
        """The path of the module that it is in."""
        return self.name.rpartition(".")[0]

    @property
    def number(self) -> int | None:
        """Its number in an nn.Sequential."""
        last = self.name.rpartition(".")[2]
        return int(last) if last.isdigit() else None

    @property
    def outputs(self) -> int:
        """Features or channels that leave it."""
        return self.shape[0]

    @property
    def inputs(self) -> int:
        """Features or channels that it takes; of a convolution those of one group."""
        return self.shape[1] if self.kind in ("linear", "conv") else self.shape[0]

    def module(self) -> Any:
        """The torch module, without its weights."""
        from torch import nn

        if self.kind == "conv":
            raise ValueError("a convolution's padding and groups are not in its weights")
        if self.kind == "batch":
            return nn.BatchNorm1d(self.outputs, affine=self.bias)
        if self.kind == "linear":
            return nn.Linear(self.inputs, self.outputs, bias=self.bias)
        if self.kind == "layer":
            return nn.LayerNorm(self.shape, bias=self.bias)
        return nn.PReLU(self.outputs)


def layers_of(shapes: Shapes) -> tuple[Layer, ...] | None:
    """The layers in the order of the file, numbered ones by their numbers; None where a tensor is of another kind."""
    groups: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        home, _, part = name.rpartition(".")
        if part != "num_batches_tracked":
            groups.setdefault(home, {})[part] = tuple(shape)
    found = []
    for name, parts in groups.items():
        one = _layer(name, parts)
        if one is None:
            return None
        found.append(one)
    return tuple(sorted(found, key=lambda one: _numbers(one, found)))


def _numbers(one: Layer, among: list[Layer]) -> tuple[int, ...]:
    """Where a layer comes: its module where that is first met, then its number in it."""
    first = next(position for position, other in enumerate(among) if other.home == one.home)
    return (first, one.number) if one.number is not None else (among.index(one), 0)


def _layer(name: str, parts: Mapping[str, Shape]) -> Layer | None:
    if frozenset(parts) not in PARTS:
        return None
    bias = "bias" in parts
    if "running_mean" in parts:
        return Layer(name, "batch", parts["running_mean"], bias)
    shape = parts["weight"]
    if bias and parts["bias"] != shape[:1] and len(shape) > 1:
        return None
    if len(shape) == 2:
        return Layer(name, "linear", shape, bias)
    if len(shape) == 4:
        return Layer(name, "conv", shape, bias)
    if len(shape) == 1:
        return Layer(name, "layer" if bias or shape[0] > 1 else "prelu", shape, bias)
    return None


def is_chain(layers: tuple[Layer, ...], width: int = 0) -> bool:
    """Whether each layer takes what the one before gives, first `width` features, and the last one is linear."""
    for one in layers:
        if one.kind == "conv" or (width and one.inputs != width and one.kind != "prelu"):
            return False
        width = one.outputs if one.kind != "prelu" else width
    return bool(layers) and layers[-1].kind == "linear"


def gaps(layers: tuple[Layer, ...]) -> tuple[int | None, ...]:
    """Layers without tensors after each layer, as the numbers tell; None where they do not."""
    found: list[int | None] = []
    for one, following in zip(layers, (*layers[1:], None), strict=True):
        known = (
            following is not None
            and one.number is not None
            and following.number is not None
            and one.home == following.home
        )
        found.append(following.number - one.number - 1 if known else None)  # type: ignore[union-attr, operator]
    return tuple(found)


def active(layers: tuple[Layer, ...], other: bool = False) -> tuple[bool, ...]:
    """After which layers an activation is assumed: one in each hidden block, where the numbers leave room.

    A block is a linear layer and its normalisation. Where both leave room, the numbers tell of an activation and a
    dropout, and the activation is the first; where there are no numbers, it is the last. `other`: the other way.
    """
    room = gaps(layers)
    numbered = any(one for one in room if one)
    found = [False] * len(layers)
    block: list[int] = []
    for i, one in enumerate(layers[:-1]):
        following = layers[i + 1]
        normalised = one.kind in ("batch", "layer") and (i == 0 or (one.kind == "layer" and room[i] == 0))
        closed = numbered and room[i] == 0
        if not (following.kind == "prelu" or one.kind == "prelu" or normalised or closed):
            block.append(i)
        if following.kind not in ("batch", "layer"):
            if block:
                first = (numbered and room[block[0]] is not None) != other
                found[block[0] if first else block[-1]] = True
            block = []
    return tuple(found)


def placements(layers: tuple[Layer, ...]) -> tuple[bool, ...]:
    """What `active` may be told as `other`: both ways, where they differ."""
    return (False,) if active(layers) == active(layers, True) else (False, True)


BESIDE = {"res", "skip", "shortcut", "downsample", "residual", "resblock", "gate", "gating", "attn", "attention", "qkv"}
SEVERAL = (  # two of one group lie beside one another
    {"q", "k", "v", "query", "key", "value", "keys", "values", "queries"},
    {"actor", "critic", "policy", "value", "advantage", "reward"},
    {"mu", "mean", "logvar", "var", "sigma", "std"},
    {"generator", "discriminator"},
    {"student", "teacher"},
)


RECURRENT = {4: "an LSTM", 3: "a GRU", 1: "a recurrent layer"}  # by the gates of one step
SHRINKING = {"down", "encoder", "enc", "downs", "contract"}
GROWING = {"up", "ups", "upconv", "decoder", "dec", "expand", "upsample"}


def kind_of(shapes: Shapes) -> str:
    """What a network is for or made of, where its names tell that it is no chain: "a segmentation network"; else ""."""
    words = {one for name in shapes for one in re.split(r"[._\d]+", name.lower())}
    for name, shape in shapes.items():
        if name.endswith("weight_hh_l0") and len(shape) == 2 and shape[1]:
            layer = RECURRENT.get(shape[0] // shape[1], RECURRENT[1])
            return f"an embedding with {layer}" if any(one.startswith("emb") for one in words) else layer
    flat = any(len(shape) == 2 for shape in shapes.values())
    maps = any(len(shape) == 4 for shape in shapes.values())
    if maps and ("unet" in words or "segmentation" in words or (not flat and words & SHRINKING and words & GROWING)):
        return "a segmentation network (one that answers for each pixel)"
    return ""


def branches(shapes: Shapes) -> tuple[str, ...]:
    """By what layers lie beside one another: names of shortcuts, gates, attention, two heads; blocks of a ResNet."""
    modules = (name.rpartition(".")[0].lower() for name in shapes)
    words = dict.fromkeys(one for name in modules for one in re.split(r"[._\d]+", name) if one)
    found = [one for one in words if one in BESIDE]
    for group in SEVERAL:
        both = [one for one in words if one in group]
        found += both if len(both) > 1 else []
    return tuple(dict.fromkeys((*found, *_blocks(shapes))))


def _blocks(shapes: Shapes) -> tuple[str, ...]:
    """Numbered modules of several named layers that give as much as they take, as what is added to its input does."""
    blocks: dict[str, list[Shape]] = {}
    for name, shape in shapes.items():
        home, _, layer = name.rpartition(".")[0].rpartition(".")
        if len(shape) in (2, 4) and not layer.isdigit() and re.search(r"\d$", home):
            blocks.setdefault(home, []).append(shape)
    return tuple(home for home, inside in blocks.items() if len(inside) > 1 and inside[0][1] == inside[-1][0])


def activations(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Activations that there may be; "" alone where no place is left for one."""
    return ACTIVATIONS if any(active(layers)) else ("",)


def notes(layers: tuple[Layer, ...], activation: str, other: bool = False) -> tuple[str, ...]:
    """What was assumed, in a sentence."""
    if not activation:
        return ()
    after = ", ".join(one.name for one, on in zip(layers, active(layers, other), strict=True) if on)
    named = [] if all(one.number is not None for one in layers) else [one.name for one in layers]
    in_order = f"Its layers are taken one after the other as they lie in the file: {', '.join(named)}."
    return (
        *([in_order] if named else []),
        f"The file does not say which activation lies between its layers; {activation} is assumed, after {after}."
        " Choose another under architecture if yours differs.",
    )


def chain(layers: tuple[Layer, ...], activation: str, flat: bool = False, other: bool = False) -> Any:
    """The chain as a torch module whose layers keep their names; `flat`: it takes maps of one pixel, too."""
    from torch import nn

    from model_zoo.recognition._planned import Planned

    if not layers[0].name:  # one layer saved by itself
        return layers[0].module()
    made = {one.name: one.module() for one in layers}
    steps: list[Any] = [nn.Flatten()] if flat else []
    for one, on in zip(layers, active(layers, other), strict=True):
        steps += [one.name, getattr(nn, activation)()] if on else [one.name]
    return Planned(made, steps)
