"""Attention methods on vision transformers: patches in their places, against transformers' eager maps and autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_transformers
import torch
from attention_stacks import pointing, random_scores, softmax
from torch import nn

import explainers
import model_zoo
from model_zoo import vision
from model_zoo.model import Model
from model_zoo.types import Players, UserError

SIDE, PATCH = 32, 8  # a grid of 4 × 4
METHODS = ("attention", "attention_rollout", "attention_flow", "attention_norms", "gradient_attention")
PICTURE = np.random.default_rng(0).normal(size=(3, SIDE, SIDE)).astype(np.float32)


class Patches(nn.Module):
    """Patches by a convolution or cut out, tokens of its own before or after them, given attention, one token read."""

    def __init__(self, scores: np.ndarray, own: int = 1, at_end: bool = False, cut: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scores = nn.Parameter(torch.tensor(scores, dtype=torch.float32))
        self.patches = nn.Linear(3 * PATCH**2, 8) if cut else nn.Conv2d(3, 8, PATCH, PATCH)
        self.own = nn.Parameter(torch.randn(1, own, 8))
        self.head = nn.Linear(8, 3)
        self.at_end, self.cut = at_end, cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.cut:
            parts = x.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 1, 4, 5)
            x = self.patches(parts.reshape(len(x), -1, 3 * PATCH**2))
        else:
            x = self.patches(x).flatten(2).mT
        own = self.own.expand(len(x), -1, -1)
        x = torch.cat([x, own] if self.at_end else [own, x], 1)
        for scores in self.scores:
            values = x.unflatten(-1, (len(scores), -1)).transpose(1, 2)
            x = x + (scores.softmax(-1).expand(len(x), -1, -1, -1) @ values).transpose(1, 2).flatten(2)
        if not own.numel():
            return self.head(x.mean(1))
        return self.head(x[:, -1] if self.at_end else x[:, 0])


def _model(network: nn.Module) -> Model:
    return model_zoo.wrap(network, modality="image", class_names=("a", "b", "c"), size=SIDE)


def _vit(implementation: str = "sdpa", kind: str = "ViT", **about: Any) -> nn.Module:
    return tiny_transformers.made(
        f"{kind}ForImageClassification",
        f"{kind}Config",
        image_size=SIDE,
        patch_size=PATCH,
        num_labels=3,
        attn_implementation=implementation,
        **tiny_transformers.SIZES,
        **about,
    )


def _truth(kind: str, **about: Any) -> tuple[np.ndarray, np.ndarray]:
    """Maps and gradients (layers, heads, tokens, tokens) of class 1, by the library's eager attention and autograd."""
    plain = _vit("eager", kind, **about)
    out = plain(torch.tensor(PICTURE[None]), output_attentions=True)
    gradients = torch.autograd.grad(out.logits[0, 1], out.attentions)
    return tuple(torch.cat(one).detach().double().numpy() for one in (out.attentions, gradients))


def _on_pixels(patches: np.ndarray) -> np.ndarray:
    return np.kron(patches.reshape(4, 4), np.ones((PATCH, PATCH))).reshape(-1)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize(("kind", "about", "extra"), [
    ("ViT", {}, 1), ("DeiT", {}, 2), ("Dinov2WithRegisters", {"num_register_tokens": 3}, 4),
])  # fmt: skip
def test_a_vit_of_transformers(implementation: str, kind: str, about: dict[str, Any], extra: int) -> None:
    """Raw attention, rollout and Chefer's rule from eager maps and their gradients."""
    model = _model(_vit(implementation, kind, **about))
    maps, gradients = _truth(kind, **about)
    eye = np.eye(16 + extra)
    raw = explainers.explain(model, PICTURE, "attention", target=1)
    np.testing.assert_allclose(raw.extras["attention"], maps, atol=1e-5)
    np.testing.assert_array_equal(raw.extras["attention_tokens"], [-1] * extra + list(range(16)))
    # The head of the last reads the class token and the mean of the patches, the others' the class token alone.
    readers = [0, *range(4, 20)] if kind == "Dinov2WithRegisters" else [0]
    np.testing.assert_allclose(raw.extras["map"].reshape(-1), maps[-1].mean(0)[readers].mean(0)[extra:], atol=1e-5)
    np.testing.assert_allclose(raw.values, _on_pixels(maps[-1].mean(0)[readers].mean(0)[extra:]), atol=1e-5)
    rolled = np.linalg.multi_dot([(one.mean(0) + eye) / 2 for one in maps[::-1]])[readers].mean(0)[extra:]
    found = explainers.explain(model, PICTURE, "attention_rollout", target=1)
    np.testing.assert_allclose(found.extras["map"].reshape(-1), rolled, atol=1e-5)
    one, two = (np.clip(a * g, 0, None).mean(0) for a, g in zip(maps, gradients, strict=True))
    chefer = ((eye + two) @ (eye + one) - eye)[readers].mean(0)[extra:]
    found = explainers.explain(model, PICTURE, "gradient_attention", target=1)
    np.testing.assert_allclose(found.extras["map"].reshape(-1), chefer, atol=1e-5 * max(1.0, chefer.max()))
    assert found.extras["map"].max() > 0


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("own", [0, 1, 5])
def test_patches_are_in_their_places(cut: bool, at_end: bool, own: int) -> None:
    """The token that is read looks at patch 6 alone, in row 1 and column 2, wherever the network's own tokens stand."""
    tokens = 16 + own
    start = 0 if at_end else own
    scores = pointing(np.full(tokens, start + 6))
    model = _model(Patches(scores[None, None], own, at_end, cut))
    found = explainers.explain(model, PICTURE, "attention", target=0)
    wanted = np.zeros((4, 4))
    wanted[1, 2] = 1
    np.testing.assert_allclose(found.extras["map"], wanted, atol=1e-6)
    dense = found.dense()
    assert dense[8:16, 16:24].min() == pytest.approx(1)
    assert dense.sum() == pytest.approx(PATCH**2)
    assert found.unit == "share of attention per patch"


def test_a_class_token_has_the_rest() -> None:
    scores = random_scores(1, 2, 17)
    found = explainers.explain(_model(Patches(scores)), PICTURE, "attention", target=0)
    row = softmax(scores)[0].mean(0)[0]
    np.testing.assert_allclose(found.extras["map"].sum(), 1 - row[0], atol=1e-5)
    assert found.notes[0] == "The model reads its score from token 1 of 17: this is what that token attends to."
    assert found.notes[1].endswith("of it goes to class or register tokens, which belong to no patch.")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_map_and_is_drawn(method: str) -> None:
    found = explainers.explain(_model(Patches(random_scores(2, 2, 17))), PICTURE, method, target=1)
    assert found.extras["map"].shape == (4, 4)
    assert found.extras["map"].dtype == np.float32
    np.testing.assert_allclose(found.values, _on_pixels(found.extras["map"]), rtol=1e-6)
    assert found.values.min() >= 0
    assert found.values.max() > 0
    assert found.figure() is not None
    assert found.sentence()


def test_a_segment_has_the_mean_of_its_pixels() -> None:
    model = _model(Patches(random_scores(1, 1, 17)))
    owner = np.repeat(np.repeat(np.arange(4).reshape(2, 2), 16, 0), 16, 1)
    found = explainers.explain(model, PICTURE, "attention", players=Players("segments", owner, 4))
    wanted = found.extras["map"].reshape(2, 2, 2, 2).mean((1, 3)).reshape(-1)
    np.testing.assert_allclose(found.values, wanted, rtol=1e-6)


def test_between_patches_values_may_be_blended() -> None:
    model = _model(Patches(random_scores(1, 1, 17)))
    found = explainers.explain(model, PICTURE, "attention", interpolation="bilinear")
    wanted = nn.functional.interpolate(
        torch.tensor(found.extras["map"])[None, None], size=(SIDE, SIDE), mode="bilinear"
    )
    np.testing.assert_allclose(found.dense(), wanted[0, 0], atol=1e-6)


def test_norms_of_a_vit() -> None:
    network = _vit()
    found = explainers.explain(_model(network), PICTURE, "attention_norms", target=1)
    plain = _vit("eager")
    with torch.no_grad():
        out = plain(torch.tensor(PICTURE[None]), output_attentions=True, output_hidden_states=True)
        block = next(
            one for name, one in plain.named_modules() if name.endswith("layer.1") or name.endswith("layers.1")
        )
        state = block.layernorm_before(out.hidden_states[1])
        parts = dict(block.named_modules())
        value = next(one for name, one in parts.items() if name.endswith(("value", "v_proj")))
        dense = next(one for name, one in parts.items() if name.endswith(("attention.output.dense", "o_proj")))
        each = value(state)[0].unflatten(-1, (4, -1)).transpose(0, 1) @ dense.weight.T.reshape(4, 8, 32)
        wanted = (out.attentions[1][0, :, 0, :, None] * each).sum(0).norm(dim=-1)
    np.testing.assert_allclose(found.extras["map"].reshape(-1), wanted[1:], rtol=1e-4)


def test_oblong_pictures_and_timm() -> None:
    vision.ready()
    import timm

    torch.manual_seed(0)
    network = timm.create_model(
        "vit_tiny_patch16_224", img_size=(32, 48), patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3
    ).eval()
    model = model_zoo.wrap(network, modality="image", size=(32, 48))
    x = np.random.default_rng(1).normal(size=(3, 32, 48)).astype(np.float32)
    found = explainers.explain(model, x, "attention", target=0)
    assert found.extras["map"].shape == (4, 6)
    assert found.extras["attention"].shape == (2, 2, 25, 25)
    np.testing.assert_allclose(found.extras["map"].reshape(-1), found.extras["attention"][1].mean(0)[0, 1:], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_windows_are_refused(method: str) -> None:
    vision.ready()
    from torchvision.models import SwinTransformer

    torch.manual_seed(0)
    network = SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=3).eval()
    model = model_zoo.wrap(network, modality="image", size=64)
    with pytest.raises(UserError, match="attends within windows or over merged patches"):
        explainers.explain(model, np.zeros((3, 64, 64), dtype=np.float32), method)


def test_a_picture_model_without_attention_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(UserError, match="needs attention maps"):
        explainers.explain(_model(network), PICTURE, "attention")


def test_the_network_is_left_as_it_was() -> None:
    network = _vit().train()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    for method in METHODS:
        explainers.explain(_model(network), PICTURE, method, target=1)
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in network.modules())
    assert all(one.grad is None and one.requires_grad for one in network.parameters())
    assert all(one.training for one in network.modules())
