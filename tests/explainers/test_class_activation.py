"""Class activation maps against their formulas in numpy, on features and gradients that plain hooks took."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from activation_oracles import (
    CLASSES,
    FORMULAS,
    HEIGHT,
    MAPS,
    WIDTH,
    convolutional,
    eigen,
    enlarged,
    same,
    taken,
    wrapped,
)
from torch import nn

import explainers
from explainers import figures, places, registry
from explainers.engine import activation
from explainers.engine.run import Run
from explainers.methods import eigen_cam, grad_cam, grad_cam_plus_plus, score_cam
from explainers.types import Cancelled
from model_zoo.types import Players, UserError


def test_every_map_is_tested_here() -> None:
    assert set(MAPS) == {*FORMULAS, "score_cam"}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def picture() -> np.ndarray:
    """One picture in the network's own space, (3, HEIGHT, WIDTH)."""
    return np.random.default_rng(1).normal(size=(3, HEIGHT, WIDTH)).astype(np.float32)


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
    same(found.extras["map"], np.maximum(eigen(features, gradient), 0))
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
