"""The last feature map of a network, where following it is hard, against the same features taken by hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from model_zoo import probe, vision
from model_zoo.types import Capability, UserError

vision.ready()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def taken(network: nn.Module, layer: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The output of `layer` and the gradient of score 1 there, by a hook of our own; what follows gets a copy."""
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output)
        return output.clone()

    handle = layer.register_forward_hook(keep)
    score = network(x)[0, 1]
    handle.remove()
    return kept[-1].detach(), torch.autograd.grad(score, kept[-1])[0]


def found(network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, layer: str = "") -> probe.Spatial:
    return probe.spatial(lambda: network(x)[:, 1], network, layer)


def photo(side: int = 12, width: int = 14) -> torch.Tensor:
    return torch.randn(1, 3, side, width, requires_grad=True)


INPLACE = [
    nn.ReLU,
    nn.SiLU,
    nn.Hardswish,
    nn.Mish,
    nn.ReLU6,
    nn.Hardsigmoid,
    nn.LeakyReLU,
    nn.ELU,
    nn.CELU,
    nn.Hardtanh,
]


@pytest.mark.parametrize("activation", INPLACE)
def test_what_works_in_place_is_taken_after_it_with_its_own_gradient(activation: type[nn.Module]) -> None:
    """The network is linear behind the map, so the gradient times the features is the score less the bias."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        activation(inplace=True),  # type: ignore[call-arg]
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()
    x = photo()
    here = found(network, x)
    features, gradient = taken(network, network[2], x)
    torch.testing.assert_close(here.activation, features)
    torch.testing.assert_close(here.gradient, gradient)
    assert here.layer == "2"
    torch.testing.assert_close((here.gradient * here.activation).sum(), network(x)[0, 1] - network[5].bias[1])


class ChannelsLast(nn.Module):
    """As Keras runs on torch: convolutions and pooling between permutations, all else with the channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3, bias=False), nn.Conv2d(5, 6, 3, bias=False)
        self.bias = nn.Parameter(torch.randn(6))
        self.head = nn.Linear(6, 3)
        self.end = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).permute(0, 2, 3, 1).relu()
        x = nn.functional.max_pool2d(x.permute(0, 3, 1, 2).contiguous(), 2).permute(0, 2, 3, 1)
        x = self.second(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + self.bias
        return self.head(self.end(x.relu()).mean((1, 2)))


def test_channels_may_be_the_last_axis() -> None:
    network, x = ChannelsLast(), photo()
    here = found(network, x)
    features, gradient = taken(network, network.end, x)
    torch.testing.assert_close(here.activation, features.permute(0, 3, 1, 2))
    torch.testing.assert_close(here.gradient, gradient.permute(0, 3, 1, 2))
    named = found(network, x, "end")
    torch.testing.assert_close(named.activation, here.activation)
    torch.testing.assert_close(named.gradient, here.gradient)


def test_a_named_map_as_many_channels_as_rows_is_not_turned() -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    x = photo(8, 8)
    features, gradient = taken(network, network[1], x)
    here = found(network, x, "1")
    torch.testing.assert_close(here.activation, features)
    torch.testing.assert_close(here.gradient, gradient)


class Patches(nn.Module):
    """A transformer of one block with a class token, and a convolution over the patches that nobody reads."""

    def __init__(self, mean: bool = False, convolution: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.start = nn.Parameter(torch.randn(1, 1, 8))
        self.norm, self.attend = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.last, self.mlp = nn.LayerNorm(8), nn.Linear(8, 8)
        self.after = nn.Conv2d(8, 8, 3, padding=1) if convolution else None
        self.end, self.head = nn.Identity(), nn.Linear(8, 3)
        self.mean = mean

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid = self.patches(x)
        x = torch.cat([self.start, grid.flatten(2).mT], 1)
        y = self.norm(x)
        x = x + self.attend(y, y, y, need_weights=False)[0]
        x = self.end(x + self.mlp(self.last(x)).tanh())
        if self.after is not None:
            patches = x[:, 1:].mT.reshape(grid.shape) + 0 * grid
            x = torch.cat([x[:, :1] * 2, self.after(patches).flatten(2).mT], 1)
        return self.head(x[:, 1:].mean(1) if self.mean else x[:, 0])


@pytest.mark.parametrize("convolution", [False, True])
def test_behind_a_class_token_the_map_is_what_the_last_attention_reads(convolution: bool) -> None:
    network, x = Patches(convolution=convolution), photo(12, 20)
    here = found(network, x)
    features, gradient = taken(network, network.norm, x)
    torch.testing.assert_close(here.activation, features[:, 1:].mT.reshape(1, 8, 3, 5))
    torch.testing.assert_close(here.gradient, gradient[:, 1:].mT.reshape(1, 8, 3, 5))
    assert here.layer == "norm"


def test_where_patches_are_averaged_the_map_is_the_sum_that_the_last_block_hands_on() -> None:
    network, x = Patches(mean=True), photo(12, 20)
    here = found(network, x)
    features, gradient = taken(network, network.end, x)
    torch.testing.assert_close(here.activation, features[:, 1:].mT.reshape(1, 8, 3, 5))
    torch.testing.assert_close(here.gradient, gradient[:, 1:].mT.reshape(1, 8, 3, 5))
    torch.testing.assert_close((here.gradient * here.activation).sum(), network(x)[0, 1] - network.head.bias[1])


class Hybrid(nn.Module):
    """Attention over the cells of a map, and convolutions after it."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 3, padding=1)
        self.attend, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid = self.before(x)
        tokens = grid.flatten(2).mT
        tokens, _ = self.attend(tokens, tokens, tokens, need_weights=False)
        return self.head(self.after(tokens.mT.reshape(grid.shape)).relu().mean((2, 3)))


def test_convolutions_after_attention_have_a_map() -> None:
    network, x = Hybrid().eval(), photo(12, 20)
    assert probe.capabilities(network, x.detach()) == Capability.SPATIAL | Capability.ATTENTION
    features, _ = taken(network, network.after, x)
    here = found(network, x)
    torch.testing.assert_close(here.activation, features.relu())
    assert here.operator == "relu"


def test_a_dead_map_is_the_last_one_with_its_zeros() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    nn.init.zeros_(network[4].weight)
    here = found(network, photo())
    assert here.layer == "1"
    assert not here.gradient.any()
    assert here.activation.any()


def test_maps_beside_one_another_are_no_map_of_the_picture() -> None:
    """Halves of the channels as if they were pictures of their own."""

    def network(x: torch.Tensor) -> torch.Tensor:
        heads = nn.functional.conv2d(nn.functional.conv2d(x, first).relu().reshape(2, 2, 10, 12), second).relu()
        return heads.mean((1, 2, 3))[None]

    first, second = torch.randn(4, 3, 3, 3), torch.randn(2, 2, 3, 3)
    here = found(network, photo())
    assert here.activation.shape == (1, 4, 10, 12)


@pytest.mark.parametrize("move", [lambda x: x.roll(3, 2), lambda x: x.flip(3)], ids=["roll", "flip"])
def test_a_map_that_was_moved_is_no_longer_one(move: Callable[[torch.Tensor], torch.Tensor]) -> None:
    weight = torch.randn(4, 3, 3, 3)
    here = found(lambda x: move(nn.functional.conv2d(x, weight).relu()).mean((2, 3)), photo())
    assert here.operator == "relu"


# -- layers by name ----------------------------------------------------------------------------------------------


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


def test_a_script_shows_its_last_map_and_no_layer_by_name() -> None:
    network, x = small(), photo()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(network, x.detach())
    torch.testing.assert_close(found(script, x).activation, found(network, x).activation)
    assert found(script, x).layer == ""
    with pytest.raises(UserError, match=r"'1' is a part of a script .*Leave the layer empty"):
        found(script, x, "1")


def test_an_exported_program_shows_its_last_map_and_no_layer_by_name() -> None:
    network, x = small(), photo()
    program = torch.export.export(network, (x.detach(),)).module()
    torch.testing.assert_close(found(program, x).activation, found(network, x).activation)
    assert found(program, x).layer == ""
    with pytest.raises(UserError, match=r"'0' is not run by itself .*Leave the layer empty"):
        found(program, x, "0")


def test_a_layer_without_a_map_is_refused() -> None:
    with pytest.raises(UserError, match=r"Layer '4' gives \(1, 3\); a class activation map needs"):
        found(small(), photo(), "4")
