"""Vision transformers of any depth, width, patch and picture, of timm (DeiT among them) and of torchvision.

The weights do not say how many attention heads share a width, so that is a choice: 64 numbers a head are the usual.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from model_zoo.recognition import Architecture, Finder, Shape, Shapes
from model_zoo.recognition._family import SCORE, architecture, count, members, models, with_stem
from model_zoo.recognition._transformers import counted, heads

HALF = (0.5, 0.5, 0.5)


def find(shapes: Shapes) -> Iterator[Architecture]:
    """Members of the two families, one for each likely number of heads."""
    return members((_vit, _torchvision_vit), shapes)


def _vit(shapes: Shapes) -> Iterator[Architecture]:
    """timm's VisionTransformer, DeiT among them, of any depth, width and patch."""
    patch, position, head = shapes["patch_embed.proj.weight"], shapes["pos_embed"], shapes["head.weight"]
    width, depth = position[2], count(shapes, "blocks.#.")
    special = sum(shapes[name][1] for name in ("cls_token", "reg_token") if name in shapes)
    whole = round((position[1] - special) ** 0.5) ** 2 == position[1] - special
    grid = round((position[1] - (special if whole else 0)) ** 0.5)
    if depth < 1 or grid < 1 or patch[2] != patch[3]:
        return
    size = grid * patch[2]

    def build(heads: int) -> Any:
        from model_zoo import vision

        vision.ready()
        from timm.models.vision_transformer import VisionTransformer

        return VisionTransformer(
            img_size=size,
            patch_size=patch[2],
            in_chans=patch[1],
            num_classes=head[0],
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            mlp_ratio=shapes["blocks.0.mlp.fc1.weight"][0] / width,
            qkv_bias="blocks.0.attn.qkv.bias" in shapes,
            qk_norm="blocks.0.attn.q_norm.weight" in shapes,
            init_values=1e-5 if "blocks.0.ls1.gamma" in shapes else None,
            class_token="cls_token" in shapes,
            reg_tokens=shapes["reg_token"][1] if "reg_token" in shapes else 0,
            no_embed_class=whole and special > 0 and grid * grid == position[1],
            pre_norm="norm_pre.weight" in shapes,
            fc_norm="fc_norm.weight" in shapes,
            global_pool="avg" if "fc_norm.weight" in shapes or "cls_token" not in shapes else "token",
        )

    yield from _of_each("timm", depth, width, patch, build, head[0], size, mean=HALF, std=HALF)


def _torchvision_vit(shapes: Shapes) -> Iterator[Architecture]:
    """torchvision's VisionTransformer of any depth, width and patch."""
    patch, position, head = shapes["conv_proj.weight"], shapes["encoder.pos_embedding"], shapes["heads.head.weight"]
    width, depth = position[2], count(shapes, "encoder.layers.encoder_layer_#.")
    size = round((position[1] - 1) ** 0.5) * patch[2]
    mlp = shapes["encoder.layers.encoder_layer_0.mlp.0.weight"][0]

    def build(heads: int) -> Any:
        made = models().vision_transformer.VisionTransformer(
            size, patch[2], depth, heads, width, mlp, num_classes=head[0]
        )
        return with_stem(made, "conv_proj.weight", patch)

    yield from _of_each("torchvision", depth, width, patch, build, head[0], size)


def _of_each(
    library: str,
    depth: int,
    width: int,
    patch: Shape,
    build: Callable[[int], Any],
    classes: int,
    size: int,
    **more: Any,
) -> Iterator[Architecture]:
    """One for each likely number of heads, the usual first."""
    for rank, one in enumerate(heads(width, standard=())):
        yield architecture(
            f"{library}/vit-{depth}x{width}-patch{patch[2]}/{one.count}_heads",
            f"Vision transformer of {library}, {depth} blocks of width {width}, {counted(one.count)}, patches of"
            f" {patch[2]}",
            functools.partial(build, one.count),
            classes,
            size,
            patch[1],
            reason=f"{counted(one.count)}, {one.reason}.",
            score=SCORE - 0.01 * rank,
            notes=(
                f"The weights do not say how many attention heads there are; {counted(one.count)} are assumed. Choose"
                " another number under architecture if yours differs.",
            ),
            **more,
        )


FINDER = Finder(find)
