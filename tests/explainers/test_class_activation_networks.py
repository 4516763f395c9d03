"""Class activation maps of networks of many kinds, on planted objects, and on a photograph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from activation_oracles import CLASSES, FORMULAS, MAPS, same, taken, wrapped
from torch import nn

import explainers
import model_zoo
from model_zoo import catalogue, vision

vision.ready()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# -- networks of many kinds --------------------------------------------------------------------------------------


def _resnet() -> tuple[nn.Module, str, tuple[int, int]]:
    from torchvision.models.resnet import BasicBlock, ResNet

    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=CLASSES), "layer4", (64, 96)


def _mobilenet() -> tuple[nn.Module, str, tuple[int, int]]:
    import timm

    return timm.create_model("mobilenetv3_small_050", num_classes=CLASSES), "blocks.5", (64, 96)


def _convnext() -> tuple[nn.Module, str, tuple[int, int]]:
    from timm.models import ConvNeXt

    return ConvNeXt(num_classes=CLASSES, depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)), "stages.3", (64, 96)


def _swin() -> tuple[nn.Module, str, tuple[int, int]]:
    from torchvision.models import SwinTransformer

    return SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=CLASSES), "norm", (32, 48)


def _timm_swin() -> tuple[nn.Module, str, tuple[int, int]]:
    from timm.models import SwinTransformer

    shape: dict[str, Any] = {"patch_size": 4, "window_size": 2, "embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2)}
    return SwinTransformer(img_size=(32, 48), num_classes=CLASSES, **shape), "norm", (32, 48)


def _vit(kind: str = "VisionTransformer", **about: Any) -> tuple[nn.Module, str, tuple[int, int]]:
    from timm.models import deit, vision_transformer

    build = getattr(deit if "Distilled" in kind else vision_transformer, kind)
    shape: dict[str, Any] = {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    network = build(img_size=(32, 48), num_classes=CLASSES, **shape, **about)
    return network, "blocks.1" if about.get("global_pool") == "avg" else "blocks.1.norm1", (32, 48)


NETWORKS: dict[str, Callable[[], tuple[nn.Module, str, tuple[int, int]]]] = {
    "residual": _resnet,
    "works in place": _mobilenet,
    "ConvNeXt": _convnext,
    "Swin": _swin,
    "Swin of timm": _timm_swin,
    "class token": _vit,
    "registers": lambda: _vit(reg_tokens=4),
    "distillation token": lambda: _vit("VisionTransformerDistilled"),
    "mean of patches": lambda: _vit(global_pool="avg"),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_of_many_kinds(kind: str) -> None:
    """The layer is found, oblong maps are not turned, and each map is its formula on what a hook of ours took there."""
    torch.manual_seed(0)
    network, layer, size = NETWORKS[kind]()
    network = network.eval()
    for name, one in network.named_parameters():
        if one.ndim > 1 and name.startswith(("head", "fc", "classifier")):
            nn.init.normal_(one)
    x = np.random.default_rng(0).normal(size=(3, *size)).astype(np.float32)
    model = wrapped(network, size)
    features, gradient = (_as_map(one, size) for one in taken(network, network.get_submodule(layer), x, 2))
    for method, formula in FORMULAS.items():
        plain = {"relu": False} if method in ("grad_cam", "hires_cam") else {}
        found = explainers.explain(model, x, method, target=2, **plain)
        wanted = formula(features, gradient)
        same(found.extras["map"], wanted if plain else np.maximum(wanted, 0))
        assert found.notes[0].startswith(f"Layer {layer}")
        assert found.extras["map"].any() or not plain
    assert explainers.explain(model, x, "score_cam", target=2, channels=4).extras["map"].shape == features.shape[1:]


def _as_map(state: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(channels, rows, columns) of what a layer gives: channels last, or tokens of which the last ones are patches."""
    if state.ndim == 2:
        rows, columns = size[0] // 8, size[1] // 8
        return state[len(state) - rows * columns :].T.reshape(-1, rows, columns)
    return state if state.shape[1] * size[1] == state.shape[2] * size[0] else state.transpose(2, 0, 1)


# -- a planted object --------------------------------------------------------------------------------------------

ROWS, COLUMNS, PATCH = 4, 6, 8
MANY, FEW = 4, 3
CHANCE = MANY / (ROWS * COLUMNS)


def _planted(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Noise with MANY patches bright in one colour, which is the class, and FEW in another; where the many are."""
    draw = torch.Generator().manual_seed(seed)
    x = 0.5 * torch.randn(count, 3, ROWS * PATCH, COLUMNS * PATCH, generator=draw)
    colour = torch.randint(0, 3, (count,), generator=draw)
    other = (colour + torch.randint(1, 3, (count,), generator=draw)) % 3
    where = np.zeros((count, ROWS, COLUMNS))
    for row in range(count):
        for order, place in enumerate(torch.randperm(ROWS * COLUMNS, generator=draw)[: MANY + FEW].tolist()):
            down, across = divmod(place, COLUMNS)
            one = colour[row] if order < MANY else other[row]
            x[row, one, down * PATCH : (down + 1) * PATCH, across * PATCH : (across + 1) * PATCH] += 2
            where[row, down, across] = order < MANY
    return x, colour, where


@pytest.fixture(scope="module", params=["mean", "token"])
def trained(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """A vision transformer that tells the commoner colour, by the mean of its patches or by a class token."""
    from timm.models import VisionTransformer

    torch.manual_seed(0)
    about = {"global_pool": "avg", "class_token": False, "depth": 2} if request.param == "mean" else {"depth": 1}
    size = (ROWS * PATCH, COLUMNS * PATCH)
    shape: dict[str, Any] = {"patch_size": PATCH, "embed_dim": 24, "num_heads": 2, "num_classes": 3, "fc_norm": False}
    network = VisionTransformer(img_size=size, final_norm=False, **shape, **about)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for step in range(150):
        x, colour, _ = _planted(32, step)
        nn.functional.cross_entropy(network(x), colour).backward()
        optimiser.step()
        optimiser.zero_grad()
    return request.param, network.eval()


@pytest.mark.parametrize("method", MAPS)
def test_planted_objects_are_found_by_vision_transformers(method: str, trained: tuple[str, nn.Module]) -> None:
    """The share of the map on the planted patches; a map that was turned or shifted would have their share of the area.

    Behind a class token the two that weigh features place by place find them; averaged gradients tell less.
    """
    kind, network = trained
    x, colour, where = _planted(20, 1000)
    model = wrapped(network, (ROWS * PATCH, COLUMNS * PATCH))
    right = (network(x).argmax(1) == colour).numpy()
    assert right.mean() > 0.9
    found = [explainers.explain(model, one, method).extras["map"] for one in x.numpy()[right]]
    planted = where[right]
    share = np.mean([(one * there).sum() / one.sum() for one, there in zip(found, planted, strict=True)])
    peaks = np.mean(
        [there[np.unravel_index(one.argmax(), one.shape)] for one, there in zip(found, planted, strict=True)]
    )
    exact = kind == "mean" or method in ("hires_cam", "layer_cam")
    assert share > (0.8 if exact else 1.3 * CHANCE)
    if exact or method in ("grad_cam", "eigen_cam"):
        assert peaks > (0.8 if exact else 2 * CHANCE)


# -- a real network ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", MAPS)
def test_the_cup_of_coffee(method: str) -> None:
    """The cup fills 0.13 to 0.83 of the width and the upper 0.62 of what the bundled network sees: 43 % of the area."""
    model = model_zoo.load("efficientnet_lite0")
    sample = model.sample(*catalogue.read_example("coffee"))
    more = {"channels": 64} if method == "score_cam" else {}
    found = explainers.explain(model, sample, method, target="espresso", **more).dense()
    rows, columns = found.shape
    cup = found[: round(0.62 * rows), round(0.13 * columns) : round(0.83 * columns)]
    assert cup.sum() / found.sum() > 0.65
    assert (found >= 0).all()
