"""SqueezeNet 1.1 on ImageNet, converted once from the authors' weights (training/squeezenet.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_zoo.bundled import _imagenet
from model_zoo.types import Capability, ModelCard
from model_zoo.weights import BUNDLED, checked

if TYPE_CHECKING:
    from model_zoo.model import Model

CARD = ModelCard(
    id="squeezenet",
    title="SqueezeNet 1.1",
    modality="image",
    task="classification",
    output="logit",
    labels=_imagenet.LABELS,
    can=Capability.GRADIENTS | Capability.SPATIAL,
    description="A small convolutional network (1.2 million parameters) that names what a photograph shows.",
    inputs="A photograph; the largest centred square is scaled to 227 × 227 pixels, BGR minus the mean colour.",
    metric=(
        "57.5 % top-1 and 80.3 % top-5 on ImageNet's 50,000 validation images, as published for SqueezeNet"
        " (version 1.1 is stated to keep it); not measured again here, since those images cannot be bundled."
    ),
    data=_imagenet.DATA,
    licence="MIT (the package ndf); the authors' weights: BSD 2-Clause",
    source="Iandola et al. (2016), arXiv:1602.07360; weights from the package ndf 0.1.4",
    digest="sha256:26da2bdb3abb6129362b1fa17028122cb37d7d7748260e65e340de200add55b5",
    examples=_imagenet.EXAMPLES,
)


def load(device: str = "cpu") -> Model:
    """The network with its weights, 16 bit as kept and 32 bit as run."""
    from safetensors.torch import load as tensors

    from model_zoo.architectures.squeezenet import SqueezeNet
    from model_zoo.modalities.image import ImageInput
    from model_zoo.model import Model

    (content,) = checked(CARD, BUNDLED / "squeezenet.safetensors")
    network = SqueezeNet(len(CARD.labels))
    network.load_state_dict(tensors(content))
    taken = ImageInput(
        (227, 227), crop=1.0, order="BGR", scale=255, mean=(104, 117, 123), zero="the training mean colour"
    )
    return Model(CARD, network, taken).to(device)
