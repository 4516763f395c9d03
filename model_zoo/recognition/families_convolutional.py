"""Convolutional families with settings of their own: a ResNet of any depth and width, a VGG of any plan, and so on.

The settings are read off the shapes; torchvision's or timm's own constructor then makes the network, and whoever opens
the file compares every name and shape. What shapes cannot tell (strides) is as the family has it, or a choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from model_zoo.recognition import Architecture, Finder, Shapes
from model_zoo.recognition._family import SCORE, architecture, count, members, models, with_stem


def find(shapes: Shapes) -> Iterator[Architecture]:
    """Members of the families that the names belong to."""
    return members((_resnet, _vgg, _densenet, _mobilenet_v2, _mobilenet_v3, _convnext), shapes)


STEMS = (  # of a small first kernel: what the shapes do not tell
    ("cifar", 1, False, 32, "stride 1 and no pooling, as for pictures of 32 × 32 pixels"),
    ("pooled", 1, True, 64, "stride 1 and pooling, as for pictures of 64 × 64 pixels"),
    ("strided", 2, True, 224, "stride 2 and pooling, as for pictures of 224 × 224 pixels"),
)


def _resnet(shapes: Shapes) -> Iterator[Architecture]:
    """torchvision's ResNet, ResNeXt and Wide ResNet; the same with the names of the usual CIFAR code."""
    renamed = "linear.weight" in shapes and "fc.weight" not in shapes
    names = {_torchvision_name(name): shape for name, shape in shapes.items()} if renamed else dict(shapes)
    depths = [count(names, f"layer{stage}.#.") for stage in range(1, 5)]
    stem, head = names["conv1.weight"], names["fc.weight"]
    if min(depths) < 1 or stem[0] != 64:
        return
    bottleneck = "layer1.0.conv3.weight" in names
    inner = names["layer1.0.conv2.weight"]
    groups = inner[0] // inner[1] if bottleneck else 1
    width = inner[0] // groups

    def build(stride: int | None, pooled: bool) -> Callable[[], Any]:
        def made() -> Any:
            from torch import nn

            resnet = models().resnet
            block = resnet.Bottleneck if bottleneck else resnet.BasicBlock
            settings = {"groups": groups, "width_per_group": width} if bottleneck else {}
            network = with_stem(
                resnet.ResNet(block, depths, num_classes=head[0], **settings), "conv1.weight", stem, stride
            )
            if not pooled:
                network.maxpool = nn.Identity()
            return network

        return made

    kind = "bottleneck" if bottleneck else "basic"
    layers = 2 + sum(depths) * (3 if bottleneck else 2)
    title = f"ResNet of {layers} layers ({kind} blocks {depths}" + (
        f", {groups} groups of {width})" if groups > 1 else ")"
    )
    more: dict[str, Any] = {"rename": _renaming} if renamed else {}
    base = f"torchvision/resnet-{kind}-{'-'.join(map(str, depths))}"
    if stem[2] > 3:
        reason = "Blocks, depths and widths are read off the shapes; strides are those of torchvision's ResNet."
        yield architecture(base, title, build(None, True), head[0], 224, stem[1], reason=reason, **more)
        return
    for rank, (named, stride, pooled, size, said) in enumerate(STEMS):
        yield architecture(
            f"{base}/{named}",
            f"{title}, {said}",
            build(stride, pooled),
            head[0],
            size,
            stem[1],
            reason=f"Its first convolution is {stem[2]} × {stem[2]}, which usually goes with {said}.",
            score=SCORE - 0.01 * rank,
            notes=(
                f"The file does not say the stride of its first convolution; assumed: {said}. Choose another under"
                " architecture if yours differs.",
            ),
            **more,
        )


def _torchvision_name(name: str) -> str:
    return re.sub(r"^linear\.", "fc.", name.replace(".shortcut.", ".downsample."))


def _renaming(tensors: dict[str, Any]) -> dict[str, Any]:
    return {_torchvision_name(name): one for name, one in tensors.items()}


def _vgg(shapes: Shapes) -> Iterator[Architecture]:
    """torchvision's VGG of any plan: a gap in the numbers is a pooling layer."""
    convolutions = sorted(
        int(name.split(".")[1])
        for name, one in shapes.items()
        if re.fullmatch(r"features\.\d+\.weight", name) and len(one) == 4
    )
    hidden, head = shapes["classifier.0.weight"], shapes["classifier.6.weight"]
    normed = f"features.{convolutions[0] + 1}.running_mean" in shapes
    step = 3 if normed else 2
    plan: list[int | str] = []
    for at, following in zip(convolutions, (*convolutions[1:], None), strict=True):
        plan.append(shapes[f"features.{at}.weight"][0])
        if following is None or following == at + step + 1:
            plan.append("M")
        elif following != at + step:
            return
    first = shapes["features.0.weight"]
    if hidden[1] != int(plan[-2]) * 49:
        return

    def build() -> Any:
        from torch import nn

        vgg = models().vgg
        network = vgg.VGG(vgg.make_layers(plan, batch_norm=normed), num_classes=head[0], init_weights=False)
        network = with_stem(network, "features.0.weight", first)
        last = shapes["classifier.3.weight"]
        for at, shape in ((0, hidden), (3, last), (6, head)):
            network.classifier[at] = nn.Linear(shape[1], shape[0])
        return network

    yield architecture(
        f"torchvision/vgg-{'-'.join(map(str, plan))}{'-bn' if normed else ''}",
        f"VGG of {len(convolutions) + 3} layers{' with batch normalisation' if normed else ''}",
        build,
        head[0],
        224,
        first[1],
        reason="The numbers of its layers show where it pools.",
    )


def _densenet(shapes: Shapes) -> Iterator[Architecture]:
    """torchvision's DenseNet of any growth and depth."""
    blocks = [
        count(shapes, f"features.denseblock{number}.denselayer#.") - 1
        for number in range(1, count(shapes, "features.denseblock#."))
    ]
    growth, inner = shapes["features.denseblock1.denselayer1.conv2.weight"][:2]
    stem, head = shapes["features.conv0.weight"], shapes["classifier.weight"]

    def build() -> Any:
        network = models().densenet.DenseNet(
            growth_rate=growth,
            block_config=tuple(blocks),
            num_init_features=stem[0],
            bn_size=inner // growth,
            num_classes=head[0],
        )
        return with_stem(network, "features.conv0.weight", stem)

    yield architecture(
        f"torchvision/densenet-{growth}-{'-'.join(map(str, blocks))}",
        f"DenseNet of growth {growth} and blocks {blocks}",
        build,
        head[0],
        224,
        stem[1],
        reason="Growth and depths are read off the shapes.",
    )


WIDTHS = (0.25, 0.35, 0.5, 0.75, 1.0, 1.25, 1.3, 1.4, 1.5, 1.75, 2.0)


def _mobilenet_v2(shapes: Shapes) -> Iterator[Architecture]:
    """torchvision's MobileNetV2 of another width."""
    stem, head = shapes["features.0.0.weight"], shapes["classifier.1.weight"]
    last = shapes["features.18.0.weight"][0]
    narrow = shapes["features.1.conv.1.weight"][0]
    for width in WIDTHS:
        if (_eighths(32 * width), _eighths(16 * width), _eighths(1280 * max(1.0, width))) != (stem[0], narrow, last):
            continue

        def build(width: float = width) -> Any:
            network = models().mobilenet_v2(weights=None, width_mult=width, num_classes=head[0])
            return with_stem(network, "features.0.0.weight", stem)

        yield architecture(
            f"torchvision/mobilenet_v2-{width:g}",
            f"MobileNetV2 of width {width:g}",
            build,
            head[0],
            224,
            stem[1],
            reason="The width is read off the shapes.",
        )


def _mobilenet_v3(shapes: Shapes) -> Iterator[Architecture]:
    """torchvision's MobileNetV3 of another width."""
    stem, head, last = shapes["features.0.0.weight"], shapes["classifier.3.weight"], shapes["classifier.0.weight"]
    kind, depth, wide = ("large", 17, 960) if "features.16.0.weight" in shapes else ("small", 13, 576)
    first = shapes[f"features.{depth - 1}.0.weight"][0]
    for width in WIDTHS:
        for reduced in (False, True):
            tail = 6 * _eighths((wide // 6) * width / (2 if reduced else 1))
            if tail != first:
                continue

            def build(width: float = width, reduced: bool = reduced) -> Any:
                parts = models().mobilenetv3
                settings, _ = parts._mobilenet_v3_conf(f"mobilenet_v3_{kind}", width_mult=width, reduced_tail=reduced)
                network = parts.MobileNetV3(settings, last[0], num_classes=head[0])
                return with_stem(network, "features.0.0.weight", stem)

            yield architecture(
                f"torchvision/mobilenet_v3_{kind}-{width:g}{'-reduced' if reduced else ''}",
                f"MobileNetV3 {kind} of width {width:g}",
                build,
                head[0],
                224,
                stem[1],
                reason="The width is read off the shapes.",
            )


def _eighths(value: float) -> int:
    """The nearest multiple of 8 that is not smaller by more than a tenth (Howard et al., 2017)."""
    found = max(8, int(value + 4) // 8 * 8)
    return found + 8 if found < 0.9 * value else found


def _convnext(shapes: Shapes) -> Iterator[Architecture]:
    """ConvNeXt of any depths and widths, with timm's names or torchvision's."""
    if "stem.0.weight" in shapes:
        depths = [count(shapes, f"stages.{stage}.blocks.#.") for stage in range(4)]
        widths = [shapes[f"stages.{stage}.blocks.0.conv_dw.weight"][0] for stage in range(4)]
        stem, head = shapes["stem.0.weight"], shapes["head.fc.weight"]
    else:
        depths = [count(shapes, f"features.{2 * stage + 1}.#.") for stage in range(4)]
        widths = [shapes[f"features.{2 * stage + 1}.0.block.0.weight"][0] for stage in range(4)]
        stem, head = shapes["features.0.0.weight"], shapes["classifier.2.weight"]
    theirs = "stem.0.weight" in shapes

    def build() -> Any:
        if theirs:
            from model_zoo import vision

            vision.ready()
            from timm.models.convnext import ConvNeXt

            return ConvNeXt(
                in_chans=stem[1],
                num_classes=head[0],
                depths=tuple(depths),
                dims=tuple(widths),
                patch_size=stem[2],
                use_grn="stages.0.blocks.0.mlp.grn.weight" in shapes,
                ls_init_value=1e-6 if "stages.0.blocks.0.gamma" in shapes else None,
            )
        parts = models().convnext
        blocks = [
            parts.CNBlockConfig(width, following, depth)
            for width, following, depth in zip(widths, (*widths[1:], None), depths, strict=True)
        ]
        return with_stem(parts.ConvNeXt(blocks, num_classes=head[0]), "features.0.0.weight", stem)

    library = "timm" if theirs else "torchvision"
    yield architecture(
        f"{library}/convnext-{'-'.join(map(str, depths))}-{'-'.join(map(str, widths))}",
        f"ConvNeXt of {library}, depths {depths}, widths {widths}",
        build,
        head[0],
        224,
        stem[1],
        reason="Depths and widths are read off the shapes.",
    )


FINDER = Finder(find)
