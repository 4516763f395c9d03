"""Bare state dicts as people save them: of published networks, of plain layers, and inside training checkpoints."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Built, Entry

from model_zoo import vision
from model_zoo.facts import Facts

PHOTO = np.random.default_rng(1).integers(0, 256, (80, 96, 3), dtype=np.uint8)
FEW = {"window": 0.5, "stride": 1.0}  # four windows
SMALL = Facts(size=(64, 64))


def stirred(make: Callable[[], Any], seed: int = 0) -> Any:
    """A network with seeded weights and with running statistics that are none of a fresh one."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make().eval()
        for name, one in network.state_dict().items():
            if name.endswith("running_mean"):
                one.normal_(0, 0.1)
            elif name.endswith("running_var"):
                one.uniform_(0.8, 1.2)
    return network.requires_grad_(False)


def published(name: str, classes: int = 7, **settings: Any) -> Any:
    """A network of torchvision, by its name."""
    return stirred(lambda: vision.torchvision().models.get_model(name, weights=None, num_classes=classes, **settings))


def of_timm(name: str, classes: int = 7, **settings: Any) -> Any:
    """A network of timm, by its name."""
    vision.ready()
    import timm

    return stirred(lambda: timm.create_model(name, pretrained=False, num_classes=classes, **settings))


def scores(network: Any) -> Callable[[np.ndarray], np.ndarray]:
    """What the network itself says of x."""
    import torch

    def run(x: np.ndarray) -> np.ndarray:
        dtype = next(network.parameters()).dtype
        with torch.no_grad():
            return network(torch.as_tensor(x[None]).to(dtype))[0].numpy()

    return run


def saved(
    make: Callable[[], Any],
    wrapped: Callable[[dict[str, Any], Any], Any] = lambda state, network: state,
    name: str = "model.pt",
    raw: Any = PHOTO,
    **how: Any,
) -> Callable[[Path], Built]:
    """A file with the state dict of a network, as `wrapped` puts it."""

    def build(folder: Path) -> Built:
        import torch
        from safetensors.torch import save_file

        network = make()
        path = folder / name
        held = wrapped(dict(network.state_dict()), network)
        if path.suffix == ".safetensors":
            save_file({key: one.contiguous() for key, one in held.items()}, path)
        else:
            torch.save(held, path, **how)
        return Built(path, raw, scores(network))

    return build


def image(
    id: str, what: str, build: Callable[[Path], Built], facts: Facts = SMALL, format: str = "state_dict"
) -> Entry:
    """An entry for a network of pictures."""
    return Entry(id, format, what, build, facts, parameters=FEW, bare=True)


# -- how training scripts put them


def lightning(state: dict[str, Any], network: Any) -> dict[str, Any]:
    """A checkpoint of a LightningModule whose network is its attribute `model`, with a weighted loss beside it."""
    import torch

    return {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {**{f"model.{name}": one for name, one in state.items()}, "criterion.weight": torch.ones(7)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_score": torch.tensor(0.3)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 1e-3, "classes": 7},
    }


def averaged(state: dict[str, Any], network: Any) -> dict[str, Any]:
    """What torch.optim.swa_utils.AveragedModel saves."""
    from torch.optim.swa_utils import AveragedModel

    return dict(AveragedModel(network).state_dict())


def timm_training(state: dict[str, Any], network: Any) -> dict[str, Any]:
    """A checkpoint of timm's train.py: arguments, an optimiser, weights and their moving average."""
    import torch

    worse = {name: torch.zeros_like(one) for name, one in state.items()}
    return {
        "epoch": 9,
        "arch": "resnet18",
        "args": argparse.Namespace(lr=0.1),
        "state_dict": worse,
        "state_dict_ema": state,
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(4)}}, "param_groups": []},
    }


def pruned() -> Any:
    """A ResNet-18 with half of each convolution's weights pruned, the masks still beside them."""
    import torch
    from torch.nn.utils import prune

    network = published("resnet18")
    for one in network.modules():
        if isinstance(one, torch.nn.Conv2d):
            prune.l1_unstructured(one, "weight", amount=0.5)
    return network


def normed() -> Any:
    """A perceptron under weight normalisation, old and new, and spectral normalisation, old and new."""
    import warnings

    from torch import nn
    from torch.nn.utils import parametrizations, spectral_norm, weight_norm

    def make() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the old forms are deprecated, and files of them remain
            return nn.Sequential(
                weight_norm(nn.Linear(5, 8)),
                nn.ReLU(),
                parametrizations.weight_norm(nn.Linear(8, 8)),
                nn.ReLU(),
                spectral_norm(nn.Linear(8, 8)),
                nn.ReLU(),
                parametrizations.spectral_norm(nn.Linear(8, 3)),
            )

    return stirred(make)


def with_head() -> Any:
    """A ResNet-18 with a head of two layers in place of its own."""
    from torch import nn

    def make() -> Any:
        network = vision.torchvision().models.resnet18(weights=None)
        network.fc = nn.Sequential(nn.Linear(512, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 7))
        return network

    return stirred(make)


def for_small_pictures() -> Any:
    """A ResNet-18 as it is changed for CIFAR: a first convolution of 3 × 3 without stride, and no pooling."""
    from torch import nn

    def make() -> Any:
        network = vision.torchvision().models.resnet18(weights=None, num_classes=10)
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
        return network

    return stirred(make)


def narrow_vgg() -> Any:
    """torchvision's VGG with a plan of its own, batch normalised."""
    from torch import nn

    def make() -> Any:
        vgg = vision.torchvision().models.vgg
        network = vgg.VGG(vgg.make_layers([8, "M", 16, 16, "M", 24, "M"], batch_norm=True), num_classes=5)
        network.classifier = nn.Sequential(
            *(nn.Linear(24 * 49, 40), nn.ReLU(), nn.Dropout(), nn.Linear(40, 30), nn.ReLU(), nn.Dropout()),
            nn.Linear(30, 5),
        )
        return network

    return stirred(make)


def small_vit() -> Any:
    """torchvision's vision transformer, three blocks of width 192."""

    def make() -> Any:
        kind = vision.torchvision().models.vision_transformer.VisionTransformer
        network = kind(48, 8, 3, 3, 192, 384, num_classes=5)
        network.heads.head.weight.data.normal_(0, 0.1)  # begins as zeros, which explain nothing
        return network

    return stirred(make)


def mnist() -> Any:
    """The convolutional network of PyTorch's own MNIST example, by its names."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
            self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
            return self.fc2(F.relu(self.fc1(x.flatten(1))))

    return stirred(Net)


def convolutions() -> Any:
    """A numbered chain with batch normalisation and pooling, for pictures of 32 × 32 pixels."""
    from torch import nn

    def block(channels: int, out: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]

    return stirred(
        lambda: nn.Sequential(
            *block(3, 8), *block(8, 16), nn.Flatten(), nn.Linear(1024, 20), nn.ReLU(), nn.Linear(20, 4)
        )
    )


def perceptron(activation: str = "ReLU", double: bool = False) -> Any:
    """A numbered chain of linear layers."""
    from torch import nn

    act = getattr(nn, activation)
    network = stirred(
        lambda: nn.Sequential(
            *(nn.Linear(6, 16), nn.BatchNorm1d(16), act(), nn.Dropout(0.1), nn.Linear(16, 8), act(), nn.Linear(8, 3))
        )
    )
    return network.double() if double else network


ROW = [0.3, -1.2, 0.8, 2.0, -0.4, 1.1]
ROWS = Facts(modality="tabular", architecture="plain/mlp/relu", background="a,b,c,d,e,f\n0,0,0,0,0,0\n1,1,1,1,1,1\n")
FIVE = Facts(modality="tabular", architecture="plain/mlp/relu", background="a,b,c,d,e\n0,0,0,0,0\n1,1,1,1,1\n")


def table(id: str, what: str, build: Callable[[Path], Built], facts: Facts = ROWS) -> Entry:
    """An entry for a network of rows."""
    return Entry(id, "state_dict", what, build, facts, bare=True)


def trained(folder: Path) -> Built:
    """EfficientNet-Lite0 as its package ships it, trained on ImageNet, beside our own conversion of it."""
    import shutil

    from model_zoo import catalogue
    from model_zoo.bundled.efficientnet_lite0 import PACKAGE, WEIGHTS
    from model_zoo.weights import packaged

    path = folder / "efficientnet-lite0.pth"
    shutil.copyfile(packaged(PACKAGE, WEIGHTS), path)
    return Built(path, PHOTO, scores(catalogue.load("efficientnet_lite0").network))


ENTRIES = (
    image("trained_efficientnet_lite0", "EfficientNet-Lite0 trained on ImageNet, from its package", trained, Facts()),
    image("torchvision_resnet18", "ResNet-18 of torchvision, 7 classes", saved(lambda: published("resnet18"))),
    image("torchvision_resnet50", "ResNet-50 of torchvision, 7 classes", saved(lambda: published("resnet50"))),
    image("torchvision_mobilenet_v3", "MobileNetV3 small", saved(lambda: published("mobilenet_v3_small"))),
    image("torchvision_efficientnet_b0", "EfficientNet-B0", saved(lambda: published("efficientnet_b0"))),
    image("torchvision_densenet121", "DenseNet-121", saved(lambda: published("densenet121"))),
    image("torchvision_regnet", "RegNetY-400MF", saved(lambda: published("regnet_y_400mf"))),
    image("torchvision_shufflenet", "ShuffleNetV2 x0.5", saved(lambda: published("shufflenet_v2_x0_5"))),
    image("torchvision_squeezenet", "SqueezeNet 1.1 of torchvision", saved(lambda: published("squeezenet1_1"))),
    image("torchvision_mnasnet", "MNASNet 0.5", saved(lambda: published("mnasnet0_5"))),
    image(
        "torchvision_vit_small", "Vision transformer of torchvision, 3 blocks of width 192", saved(small_vit), Facts()
    ),
    image("torchvision_vgg_narrow", "VGG of a plan of its own, batch normalised", saved(narrow_vgg)),
    image(
        "timm_vit_tiny_safetensors",
        "ViT tiny, patches of 16, 96 × 96 pixels, timm, safetensors",
        saved(lambda: of_timm("vit_tiny_patch16_224", img_size=96), name="model.safetensors"),
        Facts(),
        "safetensors",
    ),
    image("timm_convnext_atto", "ConvNeXt atto of timm", saved(lambda: of_timm("convnext_atto"))),
    image(
        "timm_resnet_grey", "ResNet-18 of timm for greyscale pictures", saved(lambda: of_timm("resnet18", in_chans=1))
    ),
    image(
        "half_precision_safetensors",
        "MobileNetV2 in half precision, safetensors",
        saved(
            lambda: published("mobilenet_v2").half().float(),
            lambda state, network: {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
            name="model.safetensors",
        ),
        format="safetensors",
    ),
    image(
        "lightning_checkpoint", "Lightning checkpoint of a ResNet-18", saved(lambda: published("resnet18"), lightning)
    ),
    image(
        "data_parallel",
        "DataParallel checkpoint of a MobileNetV2",
        saved(
            lambda: published("mobilenet_v2"),
            lambda state, network: {"model": {f"module.{name}": one for name, one in state.items()}, "epoch": 3},
        ),
    ),
    image("averaged_model", "Averaged ResNet-18 (swa_utils)", saved(lambda: published("resnet18"), averaged)),
    image(
        "timm_training_checkpoint",
        "Checkpoint of timm's train.py with EMA and an argparse namespace",
        saved(lambda: of_timm("resnet18"), timm_training, name="model_best.pth.tar"),
    ),
    image("pruned", "ResNet-18 pruned by torch.nn.utils.prune, masks kept", saved(pruned)),
    image(
        "legacy_stream",
        "ResNet-18 as torch before 1.6 saved it",
        saved(lambda: published("resnet18"), _use_new_zipfile_serialization=False),
    ),
    image(
        "replaced_head",
        "ResNet-18 with a head of two layers in place of its own",
        saved(with_head),
        Facts(size=(64, 64), architecture="torchvision/resnet18+ReLU"),
    ),
    image("cifar_resnet", "ResNet-18 changed for pictures of 32 × 32 pixels", saved(for_small_pictures), Facts()),
    image(
        "mnist_cnn",
        "Two convolutions and two linear layers, by their names",
        saved(mnist),
        Facts(architecture="plain/cnn/valid-pool01-28/relu"),
    ),
    image(
        "numbered_cnn",
        "Numbered chain of convolutions, 32 × 32 pixels",
        saved(convolutions),
        Facts(architecture="plain/cnn/same-pool11-32/relu"),
    ),
    table("perceptron", "Numbered chain of linear layers", saved(perceptron, raw=ROW)),
    table(
        "perceptron_tanh_double",
        "Numbered chain of linear layers with Tanh, float64",
        saved(lambda: perceptron("Tanh", double=True), raw=ROW),
        Facts(modality="tabular", background=ROWS.background, architecture="plain/mlp/tanh"),
    ),
    table("normed_weights", "Perceptron under weight and spectral normalisation", saved(normed, raw=ROW[:5]), FIVE),
)
