"""Layer integrated gradients and layer conductance: closed forms, Captum's numbers, and the way back to the inputs."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import explainers
import model_zoo
from explainers.engine import layers
from explainers.types import Verdict

X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
BASELINE = np.array([0.5, 0.0, -1.0, 1.0, 2.0])
LAYER = ("layer_integrated_gradients", "layer_conductance")


class Two(nn.Module):
    """Two hidden layers, and a way around them if asked for."""

    def __init__(self, around: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.out = nn.Linear(5, 6), nn.Linear(6, 4), nn.Linear(4, 3)
        self.around = nn.Linear(5, 3) if around else None
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.out(torch.tanh(self.two(torch.tanh(self.one(x)))))
        return y if self.around is None else y + self.around(x)


def ask(module: nn.Module, method: str, x: np.ndarray = X, **asked: object) -> explainers.Explanation:
    model = model_zoo.wrap(module, modality="tabular", feature_names=[f"f{i}" for i in range(len(x))])
    return explainers.explain(model, x, method, **{"target": 1, "baseline": BASELINE, **asked})


@pytest.mark.parametrize("layer", ["one", "two", "out"])
def test_captums_layer_integrated_gradients(layer: str) -> None:
    net = Two()
    found = ask(net, "layer_integrated_gradients", layer=layer, tolerance=1e-5)
    theirs = captum.attr.LayerIntegratedGradients(net, getattr(net, layer)).attribute(
        torch.tensor(X[None]), torch.tensor(BASELINE[None]), target=1, n_steps=100
    )
    np.testing.assert_allclose(found.extras["units"], theirs[0].detach(), rtol=1e-6, atol=1e-9)
    assert found.values.sum() == pytest.approx(found.explained - found.base_value, rel=1e-6)
    assert found.evidence[0].verdict is Verdict.GOOD


@pytest.mark.parametrize("layer", ["one", "two"])
def test_captums_layer_conductance(layer: str) -> None:
    net = Two()
    found = ask(net, "layer_conductance", layer=layer, steps=512, most=512)
    theirs = captum.attr.LayerConductance(net, getattr(net, layer)).attribute(
        torch.tensor(X[None]), torch.tensor(BASELINE[None]), target=1, n_steps=20_000, method="riemann_trapezoid"
    )
    scale = float(theirs.detach().abs().max())
    np.testing.assert_allclose(found.extras["units"], theirs[0].detach(), atol=2e-4 * scale)


def test_a_product_of_two_units_in_closed_form() -> None:
    """F = y1 y2 with y = W x: both get C = ∫ y2 dy1 = y1 y2 / 2 from 0, in the layer's space as well."""

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.hidden = nn.Linear(5, 2, bias=False, dtype=torch.float64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.hidden(x).prod(1, keepdim=True)

    net = Product()
    w = net.hidden.weight.detach().numpy()
    y = w @ X
    for method in LAYER:
        found = ask(net, method, target=0, baseline=0.0)
        np.testing.assert_allclose(found.extras["units"], [y.prod() / 2] * 2, rtol=1e-4)
        np.testing.assert_allclose(found.values, X * (w[0] * y[1] + w[1] * y[0]) / 2, rtol=1e-9)


def test_a_cut_conducts_the_integrated_gradients() -> None:
    whole = ask(Two(), "integrated_gradients").values
    for layer in ("one", "two"):
        found = ask(Two(), "layer_conductance", layer=layer)
        np.testing.assert_allclose(found.values, whole, rtol=1e-6, atol=1e-9)
        assert found.extras["units"].sum() == pytest.approx(whole.sum(), rel=1e-2)
        assert found.evidence[0].verdict is Verdict.GOOD


def test_what_goes_around_the_layer_is_said() -> None:
    conducted = ask(Two(around=True), "layer_conductance", layer="two")
    direct = Two(around=True).around.weight.detach().numpy()[1] * (X - BASELINE)
    whole = ask(Two(around=True), "integrated_gradients").values
    np.testing.assert_allclose(conducted.values, whole - direct, rtol=1e-6, atol=1e-9)
    assert any("ways around layer two" in note for note in conducted.notes)
    shared = ask(Two(around=True), "layer_integrated_gradients", layer="two")
    assert any("Not all goes through layer two" in note for note in shared.notes)
    assert shared.evidence[0].verdict is Verdict.GOOD  # from where this layer alone is as for the baseline
    plain = ask(Two(), "layer_integrated_gradients", layer="two")
    np.testing.assert_allclose(shared.values, plain.values, rtol=1e-6, atol=1e-9)


def test_the_layer_that_is_chosen() -> None:
    assert ask(Two(), "layer_integrated_gradients").provenance.parameters["layer"] == "one"
    assert ask(Two(), "layer_conductance").provenance.parameters["layer"] == "two"
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 3)).double()
    assert ask(net, "layer_conductance").provenance.parameters["layer"] == "1"
    assert ask(nn.Linear(5, 3).double(), "layer_conductance").flavour == "through the network's output, 3 units"


def test_what_is_changed_in_place_is_another_layer() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(4)
            self.one, self.two, self.act = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True)
            self.out = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.two(F.relu(self.one(x)))
            y += x
            return self.out(self.act(y).mean((2, 3)))

    net = Block()
    model = model_zoo.wrap(net, modality="image", class_names=["a", "b"])
    picture = np.random.default_rng(5).normal(size=(3, 8, 8)).astype(np.float32)
    for method in LAYER:
        found = explainers.explain(model, picture, method, target=0)
        assert found.provenance.parameters["layer"] == "act"
        assert found.evidence[0].verdict is Verdict.GOOD


def test_the_strongest_units_are_named() -> None:
    found = ask(Two(), "layer_conductance", layer="two")
    first = int(np.argmax(np.abs(found.extras["units"])))
    assert found.notes[0].startswith("Units of layer two with the largest conductance, of 4: " + str(first))


# -- pictures and texts ----------------------------------------------------------------------------------------------


def test_a_feature_map_keeps_its_places(picture_model, picture) -> None:
    found = explainers.explain(picture_model, picture, "layer_integrated_gradients", target=2, tolerance=1e-4)
    assert found.provenance.parameters["layer"] == "features.3"
    net = picture_model.network
    theirs = captum.attr.LayerIntegratedGradients(net, net.features[3]).attribute(
        torch.tensor(picture[None]), 0.0, target=2, n_steps=50
    )[0].detach().numpy()  # fmt: skip
    np.testing.assert_allclose(found.extras["units"], theirs.sum((1, 2)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.extras["map"], theirs.sum(0), rtol=1e-3, atol=1e-6)
    assert found.values.sum() == pytest.approx(theirs.sum(), rel=1e-3)
    blocks = found.dense().reshape(16, 2, 16, 2).sum((1, 3))
    assert np.corrcoef(blocks.ravel(), theirs.sum(0).ravel())[0, 1] > 0.8
    assert found.evidence[0].verdict is Verdict.GOOD


@pytest.mark.parametrize(("small", "large"), [(7, 224), (14, 227), (3, 3), (5, 4), (9, 2)])
def test_spreading_loses_nothing(small: int, large: int) -> None:
    shares = np.random.default_rng(0).normal(size=(small, small + 1))
    found = layers.spread(shares, (large, large))
    assert found.shape == (large, large)
    assert found.sum() == pytest.approx(shares.sum(), rel=1e-9)
    constant = layers.spread(np.ones((small, small)), (small * 4, small * 4))
    np.testing.assert_allclose(constant, 1 / 16)


def test_an_early_or_a_flat_layer_of_a_picture(picture_model, picture) -> None:
    flat = explainers.explain(picture_model, picture, "layer_integrated_gradients", target=2, layer="head")
    assert "map" not in flat.extras
    assert "go back to the inputs" in flat.flavour
    assert flat.evidence[0].verdict is Verdict.GOOD
    early = explainers.explain(picture_model, picture, "layer_conductance", target=2, layer="features.0")
    whole = explainers.explain(picture_model, picture, "integrated_gradients", target=2)
    np.testing.assert_allclose(early.values, whole.values, rtol=0.05, atol=0.02 * np.abs(whole.values).max())
    assert early.extras["units"].shape == (8,)
    assert early.extras["map"].shape == (32, 32)


def test_texts() -> None:
    model = model_zoo.load("minilm_sentiment")
    sample = model.sample("not a bad film")
    whole = explainers.explain(model, sample, "integrated_gradients", most=64)
    first = explainers.explain(model, sample, "layer_integrated_gradients", most=64)
    np.testing.assert_allclose(first.values, whole.values, rtol=1e-5)
    assert "embedding" in first.notes[0]
    deep = explainers.explain(model, sample, "layer_integrated_gradients", layer="layers.2", most=64)
    assert deep.extras["positions"].shape == sample.x.shape
    assert deep.extras["units"].shape == (384,)
    assert deep.evidence[0].verdict is Verdict.GOOD
    conducted = explainers.explain(model, sample, "layer_conductance", most=64)
    np.testing.assert_allclose(conducted.values, whole.values, rtol=0.02, atol=0.02 * np.abs(whole.values).max())


def test_efficientnet() -> None:
    model = model_zoo.load("efficientnet_lite0")
    sample = model.sample(*model_zoo.read_example(model.card.examples[0]))
    found = explainers.explain(model, sample, "layer_integrated_gradients", steps=16, most=32)
    assert found.extras["map"].shape == (7, 7)
    assert found.extras["units"].shape == (1280,)
    assert found.evidence[0].verdict is Verdict.GOOD
    assert found.notes[0].startswith("Channels of layer head.active with the largest shares, of 1,280: ")


# -- refusals, and what is left behind ---------------------------------------------------------------------------------


class Twice(Two):
    """Runs its first layer twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + self.out(self.two(self.one(x)))


class Turned(nn.Module):
    """A layer that gives tokens first and inputs second, and one that is not run."""

    def __init__(self) -> None:
        super().__init__()
        self.turn, self.out, self.unused = nn.Identity(), nn.Linear(5, 3), nn.Linear(5, 3)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(F.relu(self.turn(x.T.contiguous()).T))


@pytest.mark.parametrize("method", LAYER)
@pytest.mark.parametrize(
    ("net", "layer", "said"),
    [
        (Two, "won", "no layer 'won'; the nearest are 'two', 'one'"),
        (Twice, "one", "run 2 times"),
        (Turned, "turn", "one row for each input"),
        (Turned, "unused", "not run for this input"),
    ],
)
def test_a_layer_that_cannot_be_looked_at(method: str, net: type[nn.Module], layer: str, said: str) -> None:
    module = net()
    with pytest.raises(explainers.UserError, match=said):
        ask(module, method, layer=layer)
    assert not any(one._forward_hooks for one in module.modules())


@pytest.mark.parametrize("method", LAYER)
def test_a_function_has_no_layers(method: str) -> None:
    model = model_zoo.wrap(lambda x: torch.tanh(x[:, :2]), modality="tabular", feature_names=list("abcde"))
    with pytest.raises(explainers.UserError, match="no layers that can be told apart"):
        explainers.explain(model, X, method)


@pytest.mark.parametrize("method", LAYER)
def test_a_layer_that_gives_a_tuple_and_one_that_works_in_place(method: str) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.lstm, self.act, self.out = nn.LSTM(5, 4, batch_first=True), nn.ReLU(inplace=True), nn.Linear(4, 3)
            self.double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.act(self.lstm(x[:, None])[0][:, 0]))

    for layer in ("lstm", "act"):
        found = ask(Odd(), method, layer=layer)
        assert found.evidence[0].verdict is Verdict.GOOD
        assert found.extras["units"].shape == (4,)
