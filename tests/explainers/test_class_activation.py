"""Class activation maps against their formulas in numpy, on features and gradients that plain hooks took."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainers
import model_zoo
from explainers import figures, places, registry
from explainers.engine import activation
from explainers.engine.run import Run
from explainers.methods import eigen_cam, grad_cam, grad_cam_plus_plus, score_cam
from explainers.types import Cancelled
from model_zoo import catalogue, vision
from model_zoo.types import Players, UserError

vision.ready()
MAPS = tuple(one.id for one in registry.methods() if one.family == "activation")
Formula = Callable[[np.ndarray, np.ndarray], np.ndarray]
HEIGHT, WIDTH, CLASSES = 20, 28, 3


def _plus_plus(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    divisor = 2 * g**2 + a.sum((1, 2), keepdims=True) * g**3
    alpha = np.divide(g**2, divisor, out=np.zeros_like(g), where=(g > 0) & (divisor > 0))
    return np.einsum("k,kij->ij", (alpha * np.maximum(g, 0)).sum((1, 2)), a)


def _eigen(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    rows = np.stack([channel.ravel() for channel in a], 1)
    if -a[a < 0].sum() > 0.2 * np.abs(a).sum():
        rows = rows - rows.mean(0, keepdims=True)
    first = np.linalg.eigh(rows.T @ rows)[1][:, -1]  # of V, by another road than a singular value decomposition
    found = (rows @ first).reshape(a.shape[1:])
    return found * np.sign((found**3).sum())


FORMULAS: dict[str, Formula] = {
    "grad_cam": lambda a, g: np.einsum("k,kij->ij", g.mean((1, 2)), a),
    "grad_cam_plus_plus": _plus_plus,
    "hires_cam": lambda a, g: np.einsum("kij,kij->ij", g, a),
    "layer_cam": lambda a, g: np.einsum("kij,kij->ij", np.maximum(g, 0), a),
    "eigen_cam": _eigen,
}


def test_every_map_is_tested_here() -> None:
    assert set(MAPS) == {*FORMULAS, "score_cam"}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def picture() -> np.ndarray:
    """One picture in the network's own space, (3, HEIGHT, WIDTH)."""
    return np.random.default_rng(1).normal(size=(3, HEIGHT, WIDTH)).astype(np.float32)


def taken(network: nn.Module, layer: nn.Module, x: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of `layer` and the gradient of the target's logit there, as the layer gives them, by a plain hook."""
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output)
        return output.clone()

    handle = layer.register_forward_hook(keep)
    leaf = torch.tensor(x[None], dtype=next(network.parameters()).dtype, requires_grad=True)
    score = network(leaf)[0, target]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[-1])
    return kept[-1][0].detach().double().numpy(), gradient[0].double().numpy()


def enlarged(small: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation by hand: pixel centres, edges repeated."""

    def weights(into: int, out: int) -> np.ndarray:
        place = np.clip((np.arange(into) + 0.5) * out / into - 0.5, 0, out - 1)
        below = np.minimum(place.astype(int), out - 1)
        found = np.zeros((into, out))
        np.add.at(found, (np.arange(into), below), 1 - (place - below))
        np.add.at(found, (np.arange(into), np.minimum(below + 1, out - 1)), place - below)
        return found

    return weights(height, small.shape[0]) @ small @ weights(width, small.shape[1]).T


def convolutional(head: str = "mean", active: Callable[[], nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    """Two convolutions, the map after the second, and a head: "mean" is linear, "flat" too, "deep" is not."""
    torch.manual_seed(seed)
    places = 8 * 9 * 13
    heads = {
        "mean": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)],
        "flat": [nn.Flatten(), nn.Linear(places, CLASSES)],
        "deep": [nn.Flatten(), nn.Linear(places, 16), nn.Tanh(), nn.Linear(16, CLASSES)],
    }
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 8, (2, 2)), active(), *heads[head]
    ).eval()


def wrapped(network: nn.Module, size: tuple[int, int] = (HEIGHT, WIDTH)) -> model_zoo.Model:
    names = ["ash", "birch", "cedar"]
    return model_zoo.wrap(network, modality="image", output="logit", class_names=names, size=size)


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


# -- formulas ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("head", ["mean", "flat", "deep"])
@pytest.mark.parametrize("method", FORMULAS)
def test_the_map_is_its_formula_and_the_values_are_the_map_enlarged(
    method: str, head: str, double: bool, picture: np.ndarray
) -> None:
    network = convolutional(head)
    network = network.double() if double else network
    found = explainers.explain(wrapped(network), picture, method, target=1)
    wanted = np.maximum(FORMULAS[method](*taken(network, network[3], picture, 1)), 0)
    same(found.extras["map"], wanted)
    same(found.dense(), enlarged(wanted, HEIGHT, WIDTH))
    assert found.notes[0] == "Layer 3, 9 × 13."
    assert (found.cost.forward, found.cost.backward) == (2, 1)  # one of them is the explained number


@pytest.mark.parametrize("method", FORMULAS)
def test_a_layer_that_is_named(method: str, picture: np.ndarray) -> None:
    network = convolutional()
    found = explainers.explain(wrapped(network), picture, method, target=2, layer="1")
    same(found.extras["map"], np.maximum(FORMULAS[method](*taken(network, network[1], picture, 2)), 0))
    assert found.notes[0] == "Layer 1, 10 × 14."
    assert found.flavour.startswith("1")
    with pytest.raises(UserError, match="Leave the layer empty"):
        explainers.explain(wrapped(network), picture, method, layer="9")


def test_behind_a_global_average_hires_cam_is_cam_itself_and_adds_up_to_the_logit(picture: np.ndarray) -> None:
    """CAM (Zhou et al., 2016): the linear layer's weights on the channels; its mean over places is logit less bias."""
    network = convolutional()
    features, _ = taken(network, network[3], picture, 1)
    cam = np.einsum("k,kij->ij", network[6].weight[1].detach().double().numpy(), features) / features[0].size
    model = wrapped(network)
    for method in ("hires_cam", "grad_cam"):
        found = explainers.explain(model, picture, method, target=1, relu=False)
        same(found.extras["map"], cam)
        logit = found.explained - float(network[6].bias[1].detach())
        assert found.extras["map"].sum() == pytest.approx(logit, rel=1e-4)
        assert (found.values < 0).any()


def test_where_a_linear_layer_reads_every_place_hires_cam_alone_adds_up(picture: np.ndarray) -> None:
    network = convolutional("flat")
    model, bias = wrapped(network), float(network[5].bias[0].detach())
    hires = explainers.explain(model, picture, "hires_cam", target=0, relu=False)
    assert hires.extras["map"].sum() == pytest.approx(hires.explained - bias, rel=1e-4)
    grad = explainers.explain(model, picture, "grad_cam", target=0, relu=False)
    assert abs(grad.extras["map"].sum() - (grad.explained - bias)) > 0.1 * abs(grad.explained - bias)


def test_alpha_is_what_the_derivatives_of_the_exponential_say() -> None:
    """Second and third derivatives of exp(F) by autograd, one feature at a time, as the paper defines α."""
    rng = np.random.default_rng(0)
    features, slope = rng.uniform(0, 1, (2, 3, 4)), rng.uniform(-0.2, 0.5, (2, 3, 4))
    a = torch.as_tensor(features).requires_grad_()
    y = (torch.as_tensor(slope) * a).sum().exp()
    wanted = np.zeros(2)
    (first,) = torch.autograd.grad(y, a, create_graph=True)
    for place in np.ndindex(2, 3, 4):
        (second,) = torch.autograd.grad(first[place], a, create_graph=True)
        (third,) = torch.autograd.grad(second[place], a, retain_graph=True)
        above = float(second[place].detach())
        alpha = above / (2 * above + features[place[0]].sum() * float(third[place]))
        wanted[place[0]] += alpha * max(float(first[place].detach()), 0)
    found, undefined = grad_cam_plus_plus.importance(features, slope)
    np.testing.assert_allclose(found * float(y.detach()), wanted, rtol=1e-9)
    assert undefined == 0


def test_grad_cam_plus_plus_of_one_channel_is_grad_cam_but_for_scale(picture: np.ndarray) -> None:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 1, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, CLASSES)
    ).eval()
    nn.init.constant_(network[4].weight, 0.7)
    model = wrapped(network)
    one, two = (
        explainers.explain(model, picture, name, target=1).values for name in ("grad_cam", "grad_cam_plus_plus")
    )
    np.testing.assert_allclose(two / two.max(), one / one.max(), rtol=1e-5, atol=1e-9)


def test_alpha_without_a_meaning_is_left_out_and_said(picture: np.ndarray) -> None:
    features, gradient = np.full((1, 2, 2), -1.0), np.array([[[0.25, 0.6], [-1.0, 0.1]]])  # the sum is -4
    weights, undefined = grad_cam_plus_plus.importance(features, gradient)
    assert undefined == 0.25  # 2 - 4 · 0.6 < 0
    np.testing.assert_allclose(weights, [0.25 / 1.0 + 0.1 / 1.6])
    network = convolutional("flat", nn.Identity)
    with torch.no_grad():
        network[2].bias -= 3
        network[5].weight.abs_()
    notes = explainers.explain(wrapped(network), picture, "grad_cam_plus_plus", target=0).notes
    assert any("α is undefined" in one for one in notes)
    assert any("made for features that are never negative" in one for one in notes)
    assert any(
        "LayerCAM is made for" in one for one in explainers.explain(wrapped(network), picture, "layer_cam").notes
    )


def test_grad_cam_says_where_averaging_made_another_map() -> None:
    """The gradient's sign turns with the features': each place speaks for the output, their mean does not."""
    features = np.concatenate([np.full((1, 2, 3), 1.0), np.full((1, 2, 3), -1.0)], 1) * np.arange(1, 4)
    turned = activation.Features(features, features.copy(), "")
    small = np.tensordot(turned.gradient.mean((1, 2)), turned.activation, 1) - features[0]
    (note,) = grad_cam.averaged(small, turned)
    assert "HiResCAM, which does not average, is" in note
    even = activation.Features(features, np.ones_like(features), "")
    assert grad_cam.averaged(features[0], even) == []
    assert grad_cam.averaged(0 * features[0], even) == []


# -- Eigen-CAM ---------------------------------------------------------------------------------------------------


def test_eigen_cam_does_not_know_the_class_and_says_so(picture: np.ndarray) -> None:
    model = wrapped(convolutional("deep"))
    one, two = (explainers.explain(model, picture, "eigen_cam", target=target) for target in (0, 2))
    assert one.values.tobytes() == two.values.tobytes()
    assert "does not know the class" in one.notes[1]
    assert "mainly because of" not in one.sentence()
    assert "looking mostly at" in one.sentence()
    assert one.unit == "activation"
    (overlay,) = (each for each in figures.pictures(one) if each.id == "overlay")
    assert "does not tell for from against" in overlay.caption


@pytest.mark.parametrize("centred", [False, True])
def test_the_sign_of_the_direction_is_that_of_the_strongest_places(centred: bool) -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(0, 0.01, (5, 4, 6))
    features[:, 1, 2] += [3, -2, 1, 0, 4]
    for sign in (1, -1):
        found, share = eigen_cam.principal(sign * features, centred)
        assert np.unravel_index(found.argmax(), found.shape) == (1, 2)
        assert found.max() > -found.min()
        assert 0.9 < share < 1


def test_what_all_places_share_is_taken_away_where_features_have_both_signs(picture: np.ndarray) -> None:
    network = convolutional("deep", nn.Tanh)
    features, gradient = taken(network, network[3], picture, 1)
    found = explainers.explain(wrapped(network), picture, "eigen_cam", target=1)
    same(found.extras["map"], np.maximum(_eigen(features, gradient), 0))
    assert any("mean was taken away" in one for one in found.notes)
    plain = explainers.explain(wrapped(network), picture, "eigen_cam", target=1, centre="no")
    assert not any("mean was taken away" in one for one in plain.notes)
    assert not np.allclose(plain.values, found.values)


# -- Score-CAM ---------------------------------------------------------------------------------------------------


def brute_force(
    network: nn.Module, layer: nn.Module, x: np.ndarray, target: int, absent: float, only: Any = ...
) -> np.ndarray:
    """One channel after another, one picture at a time."""
    features = taken(network, layer, x, target)[0][only]
    scores, maps = [], []
    for channel in features:
        mask = enlarged(channel, *x.shape[1:])
        if np.ptp(mask) == 0:
            continue
        mask = (mask - mask.min()) / np.ptp(mask)
        shown = torch.tensor(mask * x + (1 - mask) * absent, dtype=torch.float32)[None]
        with torch.no_grad():
            scores.append(float(network(shown)[0, target]))
        maps.append(channel)
    raised = np.exp(scores)
    return np.maximum(np.einsum("k,kij->ij", raised / raised.sum(), np.array(maps)), 0)


@pytest.mark.parametrize("absent", [0.0, 0.5])
@pytest.mark.parametrize("head", ["mean", "deep"])
def test_score_cam_is_a_loop_over_the_channels(head: str, absent: float, picture: np.ndarray) -> None:
    network = convolutional(head)
    with torch.no_grad():
        network[2].bias[3] = -100  # a channel that is 0 everywhere is no mask
    found = explainers.explain(wrapped(network), picture, "score_cam", target=1, baseline=absent)
    same(found.extras["map"], brute_force(network, network[3], picture, 1, absent))
    assert found.cost.forward == 1 + 7 + 1
    assert "7 of 8 channels are masks" in found.notes[1]
    assert found.reference is not None


def test_score_cam_takes_the_channels_that_vary_most(picture: np.ndarray) -> None:
    network = convolutional("deep")
    features, _ = taken(network, network[3], picture, 0)
    varies = features.var((1, 2))
    few = explainers.explain(wrapped(network), picture, "score_cam", target=0, channels=3)
    assert few.cost.forward == 1 + 3 + 1
    share = varies[np.argsort(-varies)[:3]].sum() / varies.sum()
    assert f"3 of 8 channels are masks; they hold {100 * share:.0f}" in few.notes[1]
    assert registry.method("score_cam").evaluations(score_cam.Params(channels=3), 1, 1) == 4
    chosen = sorted(np.argsort(-varies)[:3])
    same(few.extras["map"], brute_force(network, network[3], picture, 0, 0.0, chosen))


def test_score_cam_reports_progress_and_stops_when_asked(picture: np.ndarray) -> None:
    model, heard = wrapped(convolutional()), []
    explainers.explain(
        model, picture, "score_cam", run=Run(on_progress=lambda done, total: heard.append((done, total)))
    )
    assert (9, 9) in heard
    run = Run(stop=lambda: run.done > 2)
    with pytest.raises(Cancelled):
        explainers.explain(model, picture, "score_cam", run=run)
    assert run.done < 9


def test_score_cam_says_when_all_channels_count_alike(picture: np.ndarray) -> None:
    model = wrapped(convolutional("deep"))
    notes = explainers.explain(model, picture, "score_cam", output="probability").notes
    assert any("all channels count nearly alike" in one for one in notes)


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


# -- what is said, and what is left behind -----------------------------------------------------------------------


@pytest.mark.parametrize("method", MAPS)
def test_the_model_is_left_as_it_was(method: str, picture: np.ndarray) -> None:
    network = convolutional("deep").train()

    def state() -> str:
        held = [one.detach().numpy().tobytes() for one in network.state_dict().values()]
        hooks = [(len(one._forward_hooks), len(one._forward_pre_hooks), one.training) for one in network.modules()]
        return hashlib.sha256(repr((held, hooks, [one.grad for one in network.parameters()])).encode()).hexdigest()

    before = state()
    explainers.explain(wrapped(network), picture, method)
    assert state() == before
    with pytest.raises(UserError):
        explainers.explain(wrapped(network), picture, method, layer="nowhere")
    assert state() == before


@pytest.mark.parametrize("method", ["grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam"])
def test_an_empty_map_says_why(method: str, picture: np.ndarray) -> None:
    network = convolutional()
    with torch.no_grad():
        network[6].weight[0] = -1
        network[6].weight[1] = 0
    model = wrapped(network)
    found = explainers.explain(model, picture, method, target=0)
    assert not found.values.any()
    assert found.notes[-1] == "There is no positive evidence for ash in this layer, so the map is empty."
    assert "no part of the picture stands out" in found.sentence()
    flat = explainers.explain(model, picture, method, target=1)
    assert flat.notes[-1] == "The gradient of birch is 0 everywhere in this layer, so the map is empty."
    with torch.no_grad():
        network[6].bias[1] = 200  # so certain that the probability is 1 in every digit
    sure = explainers.explain(model, picture, method, target=1, output="probability")
    assert sure.notes[-1].endswith("A probability close to 0 or 1 hardly moves; try the logit.")
    assert figures.pictures(sure)[0].caption.startswith("Nothing is coloured")


@pytest.mark.parametrize("method", ["eigen_cam", "score_cam"])
def test_a_layer_in_which_nothing_is_active(method: str, picture: np.ndarray) -> None:
    network = convolutional()
    with torch.no_grad():
        network[2].bias -= 1000
    found = explainers.explain(wrapped(network), picture, method)
    assert not found.values.any()
    assert found.notes[-1] == "No feature is active in this layer, so the map is empty."


@pytest.mark.parametrize("method", MAPS)
def test_a_segment_has_the_mean_of_its_pixels_and_the_sentence_the_place_of_them(
    method: str, picture: np.ndarray
) -> None:
    model = wrapped(convolutional())
    pixels = explainers.explain(model, picture, method, target=1)
    owner = np.zeros((HEIGHT, WIDTH), dtype=int)
    owner[:, : WIDTH // 2], owner[:2] = 1, -1
    players = Players("segments", owner, 2)
    found = explainers.explain(model, picture, method, target=1, players=players)
    dense = pixels.dense()
    np.testing.assert_allclose(found.values, [dense[owner == 0].mean(), dense[owner == 1].mean()], rtol=1e-6)
    totals, area = places.mass(found)
    right = totals[-1, -1] / area[-1, -1]  # per pixel: what the segment has, however large it is
    assert right == pytest.approx(found.values[0])


def test_a_small_gradient_of_a_probability_still_points_somewhere(picture: np.ndarray) -> None:
    """Values have a scale of their own, which the size of the explained number says nothing about."""
    network = convolutional()
    with torch.no_grad():
        network[6].bias[1] = 12
    network = network.double()
    found = explainers.explain(wrapped(network), picture.astype(float), "hires_cam", target=1, output="probability")
    assert 0 < np.abs(found.values).sum() < 1e-3
    assert "mainly because of" in found.sentence()


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
