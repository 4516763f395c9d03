"""Networks of other packages that timm has under other names: EfficientNet as efficientnet_pytorch writes it.

There the blocks are counted through (`_blocks.5._depthwise_conv`), in timm by stages (`blocks.2.1.conv_dw`); a stage
ends where the number of channels changes. Its padding and epsilon are TensorFlow's, as in timm's `tf_` variants.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from model_zoo.recognition import Architecture, Finder, Shapes, published

TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
PARTS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
WITHOUT_EXPANSION = {**PARTS, "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def find(shapes: Shapes) -> Iterator[Architecture]:
    """timm's architecture under the names of efficientnet_pytorch."""
    if "_conv_stem.weight" not in shapes:
        return
    names = _names(shapes)
    if names is None:
        return

    def rename(tensors: dict[str, Any]) -> dict[str, Any]:
        return {names[name]: one for name, one in tensors.items()}

    for one in published.find({names[name]: shape for name, shape in shapes.items()}):
        if "/tf_" in one.id:
            yield dataclasses.replace(
                one,
                title=f"{one.title}, with the names of efficientnet_pytorch",
                rename=rename,
                reason=f"The names are those of the package efficientnet_pytorch. {one.reason}",
                same="",
            )


def _names(shapes: Shapes) -> dict[str, str] | None:
    """timm's name of each tensor; None where one has no counterpart."""
    places: dict[str, str] = {}
    stage, within, channels = -1, 0, 0
    for number in range(len(shapes)):
        project = shapes.get(f"_blocks.{number}._project_conv.weight")
        if project is None:
            break
        stage, within = (stage, within + 1) if project[0] == channels else (stage + 1, 0)
        channels = project[0]
        places[str(number)] = f"blocks.{stage}.{within}"
    found = {}
    for name in shapes:
        match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        first, _, rest = name.partition(".")
        if match and match[1] in places:
            expanded = f"_blocks.{match[1]}._expand_conv.weight" in shapes
            part = (PARTS if expanded else WITHOUT_EXPANSION).get(match[2])
            if part is None:
                return None
            found[name] = f"{places[match[1]]}.{part}.{match[3]}"
        elif first in TOP:
            found[name] = f"{TOP[first]}.{rest}"
        else:
            return None
    return found


FINDER = Finder(find)
