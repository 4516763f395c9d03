"""A vision transformer's patches as a map: against the same state taken by a hook of one's own."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from model_zoo import probe, vision
from model_zoo.probe.tokens import Layout, layout
from model_zoo.probe.watch import unfused
from model_zoo.types import Capability

vision.ready()


def _torchvision():
    from torchvision.models import VisionTransformer

    net = VisionTransformer(24, 8, 3, 2, 16, 32, num_classes=5)
    nn.init.normal_(net.heads.head.weight)
    return net, (24, 24), net.encoder.layers[-1].ln_1, 1


def _timm(name="vit_tiny_patch16_224", **about):
    import timm

    net = timm.create_model(name, img_size=64, patch_size=8, embed_dim=16, depth=3, num_heads=2, num_classes=5, **about)
    return net, (64, 48) if about.get("dynamic_img_size") else (64, 64), net.blocks[-1].norm1, net.num_prefix_tokens


NETS = {
    "torchvision": _torchvision,
    "timm": _timm,
    "timm with registers": lambda: _timm(reg_tokens=4),
    "timm, oblong": lambda: _timm(dynamic_img_size=True),
}


@pytest.mark.parametrize("name", NETS)
def test_the_last_state_whose_patches_matter(name):
    torch.manual_seed(0)
    net, (height, width), norm, extra = NETS[name]()
    net = net.eval().requires_grad_(False)
    x = torch.randn(1, 3, height, width, requires_grad=True)
    assert probe.capabilities(net, x.detach()) == Capability.SPATIAL | Capability.ATTENTION
    found = probe.spatial(lambda: net(x)[:, 2], net)
    kept = []
    handle = norm.register_forward_hook(lambda module, args, output: kept.append(output))
    score = net(x)[0, 2]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    rows = height // 8
    for ours, theirs in ((found.activation, kept[0]), (found.gradient, gradient)):
        wanted = theirs[:, extra:].reshape(1, rows, -1, 16).permute(0, 3, 1, 2)
        torch.testing.assert_close(ours, wanted.detach())
    names = {module: path for path, module in net.named_modules()}
    assert (found.layer, found.operator) == (names[norm], "layer_norm")


def test_without_a_class_token_the_last_norm_counts():
    torch.manual_seed(0)
    import timm

    net = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=8,
        embed_dim=16,
        depth=2,
        num_heads=2,
        num_classes=5,
        global_pool="avg",
        class_token=False,
        fc_norm=False,
    )
    net = net.eval().requires_grad_(False)
    x = torch.randn(1, 3, 32, 32, requires_grad=True)
    assert probe.spatial(lambda: net(x)[:, 0], net).layer == "norm"


def test_windows_and_merging():
    from torchvision.models import SwinTransformer

    torch.manual_seed(0)
    net = SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=3).eval().requires_grad_(False)
    x = torch.randn(1, 3, 64, 48, requires_grad=True)
    found = probe.spatial(lambda: net(x)[:, 1], net)
    assert found.layer == "norm"
    assert found.activation.shape == (1, 16, 8, 6)


def test_a_script_shows_its_grid_too():
    torch.manual_seed(0)
    net, (height, width), _, _ = _torchvision()
    net = net.eval().requires_grad_(False)
    x = torch.randn(1, 3, height, width, requires_grad=True)
    with warnings.catch_warnings(), unfused():  # the fused layer, once traced, has no gradient
        warnings.simplefilter("ignore")
        script = torch.jit.trace(net, x.detach())
    ours, theirs = probe.spatial(lambda: script(x)[:, 2]), probe.spatial(lambda: net(x)[:, 2])
    torch.testing.assert_close(ours.activation, theirs.activation)
    torch.testing.assert_close(ours.gradient, theirs.gradient, atol=1e-6, rtol=1e-4)


def test_a_named_block_is_a_map():
    torch.manual_seed(0)
    net, (height, width), _, _ = _torchvision()
    net = net.eval().requires_grad_(False)
    x = torch.randn(1, 3, height, width, requires_grad=True)
    found = probe.spatial(lambda: net(x)[:, 2], net, "encoder.layers.encoder_layer_1")
    assert found.activation.shape == (1, 16, 3, 3)


def test_layouts():
    assert layout(torch.zeros(2, 9, 5), [(3, 3)]) == Layout(3, 3)
    assert layout(torch.zeros(2, 10, 5), [(3, 3)]) == Layout(3, 3, 1)
    assert layout(torch.zeros(2, 6, 5), [(6, 4)]) == Layout(3, 2)
    assert layout(torch.zeros(2, 3, 2, 5), [(6, 4)]) == Layout(3, 2, flat=False)
    assert layout(torch.zeros(2, 40, 5), [(3, 3)]) is None
    assert layout(torch.zeros(2, 9, 5, dtype=torch.long), [(3, 3)]) is None
