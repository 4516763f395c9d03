"""Grad-CAM gives captum's numbers on the layer that captum is told, and finds that layer by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from explainers.engine.evaluator import Evaluator
from explainers.engine.run import Run
from explainers.methods import grad_cam
from explainers.types import Attribution
from model_zoo.architectures.efficientnet_lite import EfficientNetLite0
from model_zoo.architectures.squeezenet import SqueezeNet
from model_zoo.model import Model
from model_zoo.types import Capability, ModelCard, Players, Reference, Sample, Target, UserError

CLASSES, SIZE = 5, 48


def _model(network: Callable[..., Any]) -> Model:
    labels = tuple(f"class {i}" for i in range(CLASSES))
    can = Capability.GRADIENTS | Capability.SPATIAL
    card = ModelCard("net", "The net", "image", "classification", "logit", labels, can)
    return Model(card, network, input=None)  # type: ignore[arg-type]


def _explain(
    network: Callable[..., Any], x: np.ndarray, target: int = 1, output: Any = "logit", owner: Any = None, **knobs: Any
) -> tuple[Attribution, Evaluator]:
    model, run = _model(network), Run()
    run.evaluator = Evaluator(model, run)
    height, width = x.shape[1:]
    owner = np.arange(height * width).reshape(height, width) if owner is None else owner
    players = Players("pixels", owner, int(owner.max()) + 1)
    sample, reference = Sample("image", "x", x, None), Reference("zeros", np.zeros_like(x)[None], "zeros")
    found = grad_cam.explain(
        model, sample, Target(target, f"class {target}", output), players, reference, grad_cam.Params(**knobs), run
    )
    return found, run.evaluator


def _captum(network: nn.Module, layer: nn.Module, x: np.ndarray, target: int, relu: bool = True) -> np.ndarray:
    leaf = torch.tensor(x[None], requires_grad=True)
    small = captum.attr.LayerGradCam(network, layer).attribute(leaf, target=target, relu_attributions=relu)
    full = captum.attr.LayerAttribution.interpolate(small, x.shape[1:], interpolate_mode="bilinear")
    return full[0, 0].detach().numpy()


@pytest.fixture
def x() -> np.ndarray:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return np.random.default_rng(0).normal(size=(3, SIZE, SIZE)).astype(np.float32)


class Plain(nn.Module):
    """Modules throughout, so that captum can be told the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 6, 3), nn.ReLU()
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def _alive(network: nn.Module) -> nn.Module:
    """Untrained networks fade towards 0 with depth; larger weights keep every map in play."""
    with torch.no_grad():
        for one in network.modules():
            if isinstance(one, nn.Conv2d):
                nn.init.kaiming_normal_(one.weight)
    return network.eval()


@pytest.mark.parametrize("target", range(CLASSES))
@pytest.mark.parametrize("relu", [True, False])
def test_captum_on_the_layer_that_was_found(x: np.ndarray, target: int, relu: bool) -> None:
    network = _alive(Plain())
    found, evaluator = _explain(network, x, target, relu=relu)
    wanted = _captum(network, network.features[4], x, target, relu)
    np.testing.assert_allclose(found.values.reshape(SIZE, SIZE), wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())
    assert found.notes[0] == "Layer features.4, 21 × 21."
    assert found.extras["map"].shape == (21, 21)
    assert found.unit == "activation × gradient"
    assert (evaluator.forward, evaluator.backward, evaluator.batches) == (1, 1, [1])


@pytest.mark.parametrize(
    ("build", "layer"),
    [
        (SqueezeNet, "features.10"),
        (SqueezeNet, "features.5"),
        (EfficientNetLite0, "head"),
        (EfficientNetLite0, "blocks.9"),
    ],
)
def test_captum_on_a_named_layer_of_the_bundled_networks(x: np.ndarray, build: Any, layer: str) -> None:
    network = _alive(build(CLASSES))
    found, _ = _explain(network, x, 2, layer=layer)
    wanted = _captum(network, network.get_submodule(layer), x, 2)
    np.testing.assert_allclose(found.values.reshape(SIZE, SIZE), wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())
    assert found.notes[0].startswith(f"Layer {layer}, ")


def test_efficientnets_own_layer_is_its_head(x: np.ndarray) -> None:
    network = _alive(EfficientNetLite0(CLASSES))
    found, _ = _explain(network, x, 3)
    wanted = _captum(network, network.head, x, 3)
    np.testing.assert_allclose(found.values.reshape(SIZE, SIZE), wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())
    assert found.notes[0].startswith("Layer head.active, ")


def test_squeezenets_last_map_is_that_of_the_class_itself(x: np.ndarray) -> None:
    """One map a class, averaged: w is 1 / positions for its own map and 0 elsewhere, so the map sums to the logit."""
    network = _alive(SqueezeNet(CLASSES))
    found, _ = _explain(network, x, 1)
    logit = float(network(torch.tensor(x[None]))[0, 1].detach())
    assert found.extras["map"].sum() == pytest.approx(logit, rel=1e-5)
    assert found.notes[0] == "Layer active_head, 2 × 2."


def test_a_network_of_functions_alone(x: np.ndarray) -> None:
    """No module anywhere; the map by its formula, with captum's twin made of modules."""
    twin = _alive(Plain())
    first, norm, _, second, _ = twin.features

    def network(x: torch.Tensor) -> torch.Tensor:
        maps = F.conv2d(x, first.weight, first.bias, stride=2)
        maps = F.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu_()
        maps = torch.relu(F.conv2d(maps, second.weight, second.bias))
        return F.linear(maps.mean((2, 3)), twin.head[2].weight, twin.head[2].bias)

    found, _ = _explain(network, x, 0)
    wanted = _captum(twin, twin.features[4], x, 0)
    np.testing.assert_allclose(found.values.reshape(SIZE, SIZE), wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())
    assert found.notes[0] == "The last feature map (relu), 21 × 21."


def test_a_probability_is_explained_through_its_softmax(x: np.ndarray) -> None:
    network = _alive(Plain())
    found, _ = _explain(network, x, 2, "probability")
    wanted = _captum(nn.Sequential(network, nn.Softmax(-1)), network.features[4], x, 2)
    np.testing.assert_allclose(found.values.reshape(SIZE, SIZE), wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())


def test_no_positive_evidence_is_said(x: np.ndarray) -> None:
    network = _alive(Plain())
    with torch.no_grad():
        network.head[2].weight[4] = -1
    found, _ = _explain(network, x, 4)
    assert not found.values.any()
    assert found.notes[1] == "There is no positive evidence for class 4 in this layer, so the map is empty."
    signed, _ = _explain(network, x, 4, relu=False)
    assert signed.values.max() < 0
    assert len(signed.notes) == 1


def test_a_segment_gets_the_mean_of_its_pixels(x: np.ndarray) -> None:
    network = _alive(Plain())
    owner = np.full((SIZE, SIZE), -1)
    owner[:10], owner[10:30] = 0, 1
    full = _explain(network, x)[0].values.reshape(SIZE, SIZE)
    found, _ = _explain(network, x, owner=owner)
    np.testing.assert_allclose(found.values, [full[:10].mean(), full[10:30].mean()])


def test_the_network_is_left_as_it_was(x: np.ndarray) -> None:
    network = _alive(Plain())
    before = {name: one.clone() for name, one in network.state_dict().items()}
    _explain(network, x)
    with pytest.raises(UserError, match="nearest are 'features"):
        _explain(network, x, layer="featurs.4")
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    assert all(one.grad is None for one in network.parameters())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in network.modules())


def test_a_network_without_gradients_is_refused(x: np.ndarray) -> None:
    network = _alive(Plain())
    with pytest.raises(UserError, match="gives no gradient"):
        _explain(torch.no_grad()(network), x)
