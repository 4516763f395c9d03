"""What the shapes in a file suggest of its input, where nobody has said it; no heavy library is imported here.

A declared input (N, 3, H, W) is a picture, whole numbers (N, L) are a text, floats (N, F) are rows of a table. Without
a declared input the first weight that sees it tells: (out, in, height, width) is a convolution's, (words, width) an
embedding's, (out, in) a linear layer's. A guess fills a form; what the owner says comes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from model_zoo.facts import Facts
from model_zoo.types import Column

COLOURS = (3, 1)  # channels of a picture
MOST_COLUMNS = 10_000  # a table with more is none that a person reads
# Sides of pictures that networks are trained on, the likeliest first.
SIDES = (224, 32, 28, 64, 96, 48, 128, 256, 299, 227, 160, 192, 240, 288, 320, 384, 448, 512, 112, 56, 84, 16, 8)
WORDS = ("emb", "wte", "word", "token", "lookup", "vocab")  # in the name of a table of words
PLACES = ("pos", "wpe", "segment", "token_type", "relative")  # of tables that do not take the ids themselves
IMAGE_NAMES = ("pixel_values", "image", "img", "pixels", "photo")
TEXT_NAMES = ("input_ids", "ids", "tokens", "token_ids")


def by_shape(shape: Sequence[Any], dtype: Any, name: str = "") -> Facts:
    """Facts from a declared input; a size that is None, a name or below 1 is left open. Empty Facts: cannot tell."""
    sizes = [_known(one) for one in shape]
    whole = "int" in str(dtype).lower() or "long" in str(dtype).lower()
    if len(sizes) == 4:
        order = layout(sizes)
        if not order:
            open_channels = sizes[1] is None or any(one in name.lower() for one in IMAGE_NAMES)
            return Facts(modality="image") if open_channels and not (sizes[1] or 0) > 4 else Facts()
        channels, height, width = sizes[1:] if order == "NCHW" else (sizes[3], sizes[1], sizes[2])
        size = None if height is None or width is None else (height, width)
        return Facts(modality="image", channels=channels, size=size, scale=255.0 if "uint8" in str(dtype) else None)
    if len(sizes) == 2 and whole:
        return Facts(modality="text", limit=sizes[1])
    if len(sizes) == 2:
        return Facts(modality="tabular", columns=columns(sizes[1]))
    return Facts()


def layout(shape: Sequence[Any]) -> str:
    """ "NCHW", or "NHWC" where only the last axis can be that of the colours, or "" for what is no picture."""
    sizes = [_known(one) for one in shape]
    if len(sizes) != 4:
        return ""
    if sizes[1] in COLOURS:
        return "NCHW"
    return "NHWC" if sizes[3] in COLOURS else ""


def columns(count: int | None) -> tuple[Column, ...]:
    """Columns without names of their own, as many as are known."""
    if count is None or not 0 < count <= MOST_COLUMNS:
        return ()
    return tuple(Column(f"feature {index}") for index in range(count))


def by_weights(shapes: Mapping[str, Sequence[int]] | Iterable[tuple[str, Sequence[int]]]) -> Facts:
    """Facts from the shapes of a state dict in its order: those of the first weight that sees the input."""
    items = list(shapes.items() if isinstance(shapes, Mapping) else shapes)
    names = {name for name, _ in items}
    for name, shape in items:
        low = name.lower()
        if len(shape) == 4 and (low.endswith("weight") or "weight" in low or "kernel" in low or "conv" in low):
            if shape[1] not in COLOURS:
                return Facts()
            return Facts(modality="image", channels=shape[1], size=_by_patches(items, shape))
        if len(shape) == 3 and "weight" in low and "norm" not in low:
            return Facts()  # a convolution along one axis: sound or a series
        if len(shape) != 2 or any(one in low for one in PLACES) or "class_emb" in low or "cls" in low:
            continue
        if "weight_ih" in low or "weight_hh" in low:
            return Facts()  # a recurrent layer that takes vectors: a series
        lone = low.endswith("weight") and name[: -len("weight")] + "bias" not in names
        if lone and (any(one in low for one in WORDS) or shape[0] > max(999, 4 * shape[1])):
            return Facts(modality="text")
        if low.endswith("weight"):
            return Facts(modality="tabular", columns=columns(shape[1]))
    return Facts()


def by_network(network: Any) -> Facts:
    """Facts from a torch module, scripted ones too: from the first layer that sees the input, by its kind."""
    items = [(name, tuple(one.shape)) for name, one in _numbers(network)]
    for name, module in network.named_modules() if hasattr(network, "named_modules") else ():
        kind = str(getattr(module, "original_name", type(module).__name__))
        weight = _weight(module)
        if weight is None or any(one in name.lower() for one in PLACES):
            continue
        if kind == "Conv2d" or (len(weight) == 4 and "conv" in kind.lower()):
            channels = weight[1] * int(getattr(module, "groups", 1) or 1)
            if channels not in COLOURS:
                return Facts()
            return Facts(modality="image", channels=channels, size=_by_patches(items, weight))
        if kind in ("Embedding", "EmbeddingBag"):
            return Facts(modality="text")
        if "Linear" in kind and len(weight) == 2:
            return Facts(modality="tabular", columns=columns(weight[1]))
        if kind in ("Conv1d", "Conv3d"):
            return Facts()
    return by_weights(items)


def picture_size(run: Callable[[int, int], Any], sides: Iterable[int] = SIDES) -> tuple[int, int] | None:
    """The first usual size on which `run(height, width)` raises nothing; None where it fails on all."""
    for side in sides:
        try:
            run(side, side)
        except Exception:  # a stranger's network may raise anything
            continue
        return (side, side)
    return None


def _known(size: Any) -> int | None:
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def _numbers(network: Any) -> list[tuple[str, Any]]:
    named = getattr(network, "named_parameters", None)
    return list(named()) if callable(named) else []


def _weight(module: Any) -> tuple[int, ...] | None:
    """The shape of a layer's own weight; a quantised layer's is packed away, so it is pieced together."""
    shape = getattr(getattr(module, "weight", None), "shape", None)
    if shape is not None:
        return tuple(shape)
    taken, given = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if isinstance(taken, int) and isinstance(given, int):
        return (given, taken)
    taken, given, side = (getattr(module, name, None) for name in ("in_channels", "out_channels", "kernel_size"))
    if isinstance(taken, int) and isinstance(given, int) and isinstance(side, tuple):
        return (given, taken // int(getattr(module, "groups", 1) or 1), *side)
    return None


def _by_patches(items: list[tuple[str, Any]], kernel: Sequence[int]) -> tuple[int, int] | None:
    """The picture size of a vision transformer: its places are a square of patches, and perhaps a class token."""
    for name, shape in items:
        low = name.lower()
        if "pos" in low and "emb" in low and len(shape) in (2, 3):
            for extra in (1, 0, 2):
                side = math.isqrt(max(0, shape[-2] - extra))
                if side > 1 and side * side == shape[-2] - extra and kernel[-1] == kernel[-2] > 1:
                    return (side * kernel[-2], side * kernel[-1])
    return None
