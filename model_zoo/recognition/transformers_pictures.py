"""Classifiers of pictures with the library's names: ViT, DeiT and ConvNeXt.

Patch and image size follow from the shapes of the patch embedding and of the table of positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from model_zoo.facts import IMAGENET_MEAN, IMAGENET_STD, Facts
from model_zoo.recognition import Architecture, Finder, Near, Shapes
from model_zoo.recognition._transformers import Family, consistent, heads, layers, rows

PATCHES = "embeddings.patch_embeddings.projection.weight"
HALF = (0.5, 0.5, 0.5)
SQUEEZED = 0.0  # a crop of nothing: all of the photo is squeezed to the size
WIDTHS = {192: (3, "ViT-tiny"), 384: (6, "ViT-small")}


def find(shapes: Shapes) -> Iterator[Architecture]:
    """A vision transformer or ConvNeXt with a classifier."""
    family = consistent(lambda: _family(shapes))
    if family is not None:
        yield from family.architectures()


def near(shapes: Shapes) -> Iterator[Near]:
    """The network whose names these resemble, where some tensors differ."""
    family = consistent(lambda: _family(shapes))
    if family is not None:
        yield family.near(shapes)


def _family(shapes: Shapes) -> Family | None:
    for inside in ("vit.", "deit."):
        if inside + PATCHES in shapes:
            return _vit(shapes, inside)
    return _convnext(shapes) if "convnext.embeddings.patch_embeddings.weight" in shapes else None


def _picture(outputs: int, size: int, channels: int, mean: Any, std: Any, **more: Any) -> Facts:
    single = outputs == 1
    usual = {"mean": mean, "std": std, "scale": 1.0, "resample": "bilinear"} if channels == 3 else {}
    return Facts(
        modality="image",
        task="regression" if single else "classification",
        output="value" if single else "logit",
        size=(size, size),
        channels=channels,
        **(usual | more),
    )


def _vit(shapes: Shapes, inside: str) -> Family | None:
    distilled = inside == "deit."
    teacher = "cls_classifier.weight" in shapes
    outputs = rows(shapes, "cls_classifier.weight" if teacher else "classifier.weight")
    width, channels, patch, _ = shapes[inside + PATCHES]
    places = shapes.get(f"{inside}embeddings.position_embeddings", (1, 0, 0))[1] - (2 if distilled else 1)
    side = math.isqrt(max(places, 0))
    # Version 5 of the library has other names for the layers; files have those of version 4 as a rule.
    old = layers(shapes, f"{inside}encoder.layer.")
    inner = f"{inside}encoder.layer.0.intermediate.dense.weight" if old else f"{inside}layers.0.mlp.fc1.weight"
    if not outputs or side * side != places or not rows(shapes, inner):
        return None
    settings = {
        "hidden_size": width,
        "num_hidden_layers": old or layers(shapes, f"{inside}layers."),
        "intermediate_size": rows(shapes, inner),
        "num_channels": channels,
        "patch_size": patch,
        "image_size": side * patch,
        "qkv_bias": any(one.endswith(("query.bias", "q_proj.bias")) for one in shapes),
        "num_labels": outputs,
    }
    mean, std, crop = (IMAGENET_MEAN, IMAGENET_STD, 0.875) if distilled else (HALF, HALF, SQUEEZED)
    kind = "DeiT" if distilled else "ViT"
    return Family(
        kind.lower(), f"{kind} classifier", f"{kind}ForImageClassification{'WithTeacher' if teacher else ''}",
        f"{kind}Config", settings, "image",
        _picture(outputs, side * patch, channels, mean, std, crop=crop), heads(width, WIDTHS),
    )  # fmt: skip


def _convnext(shapes: Shapes) -> Family | None:
    outputs = rows(shapes, "classifier.weight")
    stages = layers(shapes, "convnext.encoder.stages.")
    _, channels, patch, _ = shapes["convnext.embeddings.patch_embeddings.weight"]
    if not outputs or not stages:
        return None
    settings = {
        "num_channels": channels,
        "patch_size": patch,
        "num_stages": stages,
        "hidden_sizes": [
            rows(shapes, f"convnext.encoder.stages.{one}.layers.0.dwconv.weight") for one in range(stages)
        ],
        "depths": [layers(shapes, f"convnext.encoder.stages.{one}.layers.") for one in range(stages)],
        "num_labels": outputs,
    }
    facts = _picture(outputs, 224, channels, IMAGENET_MEAN, IMAGENET_STD, crop=0.875, resample="bicubic")
    return Family(
        "convnext", "ConvNeXt classifier", "ConvNextForImageClassification", "ConvNextConfig", settings, "image", facts
    )


FINDER = Finder(find, near)
