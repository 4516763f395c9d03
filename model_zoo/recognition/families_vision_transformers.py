"""Vision transformers of any depth, width, patch and picture, of timm (DeiT among them) and of torchvision.

The weights do not say how many attention heads share a width, so that is a choice: 64 numbers a head are the usual.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model_zoo.recognition import Architecture, Shapes
from model_zoo.recognition._family import SCORE, architecture, count, members, models, with_stem

HALF = (0.5, 0.5, 0.5)


def find(shapes: Shapes) -> Iterator[Architecture]:
    """Members of the two families, one for each likely number of heads."""
    return members((_vit, _torchvision_vit), shapes)


def _heads(width: int) -> tuple[int, ...]:
    """Numbers of attention heads that divide the width, the usual 64 a head first; the weights do not tell."""
    usual = [width // each for each in (64, 32, 48, 16, 96, 128) if width % each == 0]
    small = [count for count in (4, 3, 8, 2, 6, 12) if width % count == 0]
    return tuple(dict.fromkeys([*usual, *small] if width >= 192 else [*small, *usual]))[:4]


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
    pooled = "fc_norm.weight" in shapes or "cls_token" not in shapes
    for rank, heads in enumerate(_heads(width)):
        settings = {
            "img_size": size,
            "patch_size": patch[2],
            "in_chans": patch[1],
            "num_classes": head[0],
            "embed_dim": width,
            "depth": depth,
            "num_heads": heads,
            "mlp_ratio": shapes["blocks.0.mlp.fc1.weight"][0] / width,
            "qkv_bias": "blocks.0.attn.qkv.bias" in shapes,
            "qk_norm": "blocks.0.attn.q_norm.weight" in shapes,
            "init_values": 1e-5 if "blocks.0.ls1.gamma" in shapes else None,
            "class_token": "cls_token" in shapes,
            "reg_tokens": shapes["reg_token"][1] if "reg_token" in shapes else 0,
            "no_embed_class": whole and special > 0 and grid * grid == position[1],
            "pre_norm": "norm_pre.weight" in shapes,
            "fc_norm": "fc_norm.weight" in shapes,
            "global_pool": "avg" if pooled else "token",
        }

        def build(settings: dict[str, Any] = settings) -> Any:
            from model_zoo import vision

            vision.ready()
            from timm.models.vision_transformer import VisionTransformer

            return VisionTransformer(**settings)

        yield architecture(
            f"timm/vit-{depth}x{width}-patch{patch[2]}/{heads}_heads",
            f"Vision transformer of timm, {depth} blocks of width {width}, {heads} heads, patches of {patch[2]}",
            build,
            head[0],
            size,
            patch[1],
            mean=HALF,
            std=HALF,
            reason=f"{width // heads} numbers a head"
            + (" are the most usual for this width." if rank == 0 else " are possible too."),
            score=SCORE - 0.01 * rank,
            notes=(
                f"The weights do not say how many attention heads there are; {heads} are assumed. Choose another number"
                " under architecture if yours differs.",
            ),
        )


def _torchvision_vit(shapes: Shapes) -> Iterator[Architecture]:
    """torchvision's VisionTransformer of any depth, width and patch."""
    patch, position, head = shapes["conv_proj.weight"], shapes["encoder.pos_embedding"], shapes["heads.head.weight"]
    width, depth = position[2], count(shapes, "encoder.layers.encoder_layer_#.")
    size = round((position[1] - 1) ** 0.5) * patch[2]
    mlp = shapes["encoder.layers.encoder_layer_0.mlp.0.weight"][0]
    for rank, heads in enumerate(_heads(width)):

        def build(heads: int = heads) -> Any:
            made = models().vision_transformer.VisionTransformer(
                size, patch[2], depth, heads, width, mlp, num_classes=head[0]
            )
            return with_stem(made, "conv_proj.weight", patch)

        yield architecture(
            f"torchvision/vit-{depth}x{width}-patch{patch[2]}/{heads}_heads",
            f"Vision transformer of torchvision, {depth} blocks of width {width}, {heads} heads, patches of {patch[2]}",
            build,
            head[0],
            size,
            patch[1],
            reason=f"{width // heads} numbers a head"
            + (" are the most usual for this width." if rank == 0 else " are possible too."),
            score=SCORE - 0.01 * rank,
            notes=(
                f"The weights do not say how many attention heads there are; {heads} are assumed. Choose another number"
                " under architecture if yours differs.",
            ),
        )
