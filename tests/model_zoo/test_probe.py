"""The probe against attention worked out by hand, and against autograd with the softmax written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from model_zoo import probe
from model_zoo.types import Capability, UserError

TOKENS, WIDTH, HEADS = 6, 8, 2


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Any:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    assert _get_current_dispatch_mode_stack() == []
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.is_grad_enabled()


def _hooks(module: nn.Module) -> int:
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in module.modules())


# -- attention ---------------------------------------------------------------------------------------------------


class Stack(nn.Module):
    """Two layers of attention with a residual; `kind` says how the attention is written."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.weights = nn.Parameter(torch.randn(2, 3, WIDTH, WIDTH, dtype=torch.float64) / 2)
        self.out = nn.Parameter(torch.randn(WIDTH, 3, dtype=torch.float64))
        self.kept: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = []
        for layer in self.weights:
            query, key, value = ((x @ part).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in layer)
            x = x + self.attend(query, key, value).transpose(1, 2).flatten(2)
        return x[:, 0] @ self.out

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        allowed = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril(2)
        bias = torch.linspace(-1, 1, TOKENS, dtype=torch.float64).expand(TOKENS, TOKENS)
        match self.kind:
            case "fused":
                return F.scaled_dot_product_attention(query, key, value)
            case "fused, boolean mask":
                return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
            case "fused, additive mask":
                return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
            case "fused, causal, own scale":
                return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=0.3)
            case "math":
                with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
                    return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
            case "written out":
                weights = (query @ key.mT / (WIDTH // HEADS) ** 0.5).softmax(-1)
                if weights.requires_grad:
                    weights.retain_grad()
                self.kept.append(weights)
                return weights @ value
        raise AssertionError(self.kind)


def _by_hand(net: Stack, x: np.ndarray) -> list[np.ndarray]:
    """The maps (heads, tokens, tokens) of one input, in numpy."""
    size, found = WIDTH // HEADS, []
    for weights in net.weights.detach().numpy():
        query, key, value = x @ weights[0], x @ weights[1], x @ weights[2]
        maps, mixed = np.zeros((HEADS, TOKENS, TOKENS)), np.zeros_like(x)
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            for i in range(TOKENS):
                scale = 0.3 if "scale" in net.kind else size**-0.5
                scores = np.array([query[i, part] @ key[j, part] * scale for j in range(TOKENS)])
                if "additive" in net.kind:
                    scores = scores + np.linspace(-1, 1, TOKENS)
                ahead = {"causal": 0, "boolean": 2, "math": 2}
                reach = next((reach for word, reach in ahead.items() if word in net.kind), TOKENS)
                scores[min(i + reach + 1, TOKENS) :] = -np.inf
                maps[head, i] = np.exp(scores) / np.exp(scores).sum()
            mixed[:, part] = maps[head] @ value[:, part]
        found.append(maps)
        x = x + mixed
    return found


KINDS = [
    "fused", "fused, boolean mask", "fused, additive mask", "fused, causal, own scale", "math", "written out",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grad", [False, True])
def test_attention_is_that_worked_out_by_hand(kind: str, grad: bool) -> None:
    net, x = Stack(kind), torch.randn(2, TOKENS, WIDTH, dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        found = probe.attention(lambda: net(x), batch=2)
    assert len(found.maps) == 2
    assert found.gradients is None
    for one in range(2):
        for seen, wanted in zip(found.maps, _by_hand(net, x[one].numpy()), strict=True):
            np.testing.assert_allclose(seen[one], wanted, atol=1e-12)


@pytest.mark.parametrize("kind", ["fused", "written out"])
def test_gradients_are_those_of_autograd_with_the_softmax_written_out(kind: str) -> None:
    plain = Stack("written out")
    net = Stack(kind)
    net.load_state_dict(plain.state_dict())
    x = torch.randn(1, TOKENS, WIDTH, dtype=torch.float64, requires_grad=True)
    plain(x)[:, 1].sum().backward()
    found = probe.attention_with_gradients(lambda entry: net(entry)[:, 1], x.detach().requires_grad_())
    assert found.gradients is not None
    for seen, wanted in zip(found.gradients, plain.kept, strict=True):
        torch.testing.assert_close(seen, wanted.grad)
    assert found.gradients[1][:, :, 1:].abs().max() == 0  # the score is read from the first token


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_predict_how_the_score_moves(kind: str) -> None:
    """Scaling the values by 1 + t scales A V, so d score/dt = Σ A ∂score/∂A; for one layer, by finite differences."""
    net = Stack(kind)
    net.weights = nn.Parameter(net.weights[:1].detach())
    x = torch.randn(1, TOKENS, WIDTH, dtype=torch.float64)
    found = probe.attention_with_gradients(lambda entry: net(entry)[:, 2], x.clone().requires_grad_())
    assert found.gradients is not None
    slope = float((found.maps[0] * found.gradients[0]).sum())
    with torch.no_grad():
        scores = []
        for t in (1e-4, -1e-4):
            net.weights[0, 2] *= 1 + t
            scores.append(float(net(x)[0, 2]))
            net.weights[0, 2] /= 1 + t
    assert slope == pytest.approx((scores[0] - scores[1]) / 2e-4, rel=1e-5)


def test_a_layer_that_the_score_does_not_read_has_gradient_0() -> None:
    net = Stack("fused")
    found = probe.attention_with_gradients(
        lambda entry: (net(entry)[:, 0], entry[:, 0, 0])[1], torch.randn(1, TOKENS, WIDTH).double().requires_grad_()
    )
    assert found.gradients is not None
    assert [float(one.abs().max()) for one in found.gradients] == [0, 0]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_the_fused_transformer_layer_of_torch(padded: bool) -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True), 3).eval()
    x = torch.randn(2, TOKENS, WIDTH)
    away = torch.zeros(2, TOKENS, dtype=torch.bool)
    away[1, 4:] = padded
    with torch.no_grad():
        before = encoder(x, src_key_padding_mask=away)
        found = probe.attention(lambda: encoder(x, src_key_padding_mask=away), batch=2)
        hidden = x
        for layer, seen in zip(encoder.layers, found.maps, strict=True):
            _, wanted = layer.self_attn(
                hidden, hidden, hidden, key_padding_mask=away, need_weights=True, average_attn_weights=False
            )
            torch.testing.assert_close(seen, wanted)
            hidden = layer(hidden, src_key_padding_mask=away)
        torch.testing.assert_close(encoder(x, src_key_padding_mask=away), before)


@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_attention(need_weights: bool) -> None:
    layer = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    x = torch.randn(3, TOKENS, WIDTH)
    _, wanted = layer(x, x, x, average_attn_weights=False)
    with torch.no_grad():
        found = probe.attention(lambda: layer(x, x, x, need_weights=need_weights), batch=3)
    torch.testing.assert_close(found.maps[0], wanted.detach())


def test_heads_that_share_keys() -> None:
    query, key = torch.randn(1, 4, TOKENS, 4), torch.randn(1, 2, TOKENS, 4)
    found = probe.attention(lambda: F.scaled_dot_product_attention(query, key, key, enable_gqa=True))
    wanted = (query @ key.repeat_interleave(2, 1).mT / 2).softmax(-1)
    torch.testing.assert_close(found.maps[0], wanted)


def test_half_precision_and_a_row_that_may_look_nowhere() -> None:
    query = torch.randn(1, 2, TOKENS, 4)
    mask = torch.ones(TOKENS, TOKENS, dtype=torch.bool)
    mask[2] = False
    found = probe.attention(lambda: F.scaled_dot_product_attention(query, query, query, attn_mask=mask))
    assert found.maps[0][:, :, 2].abs().max() == 0
    assert found.maps[0].isfinite().all()
    half = query.bfloat16()
    (coarse,) = probe.attention(lambda: F.scaled_dot_product_attention(half, half, half)).maps
    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse, (half.float() @ half.float().mT / 2).softmax(-1))


def test_inference_mode_hides_nothing() -> None:
    net, x = Stack("fused"), torch.randn(1, TOKENS, WIDTH, dtype=torch.float64)
    with torch.inference_mode():
        found = probe.attention(lambda: net(x))
    np.testing.assert_allclose(found.maps[1][0], _by_hand(net, x[0].numpy())[1], atol=1e-12)
    assert probe.capabilities(torch.inference_mode()(Picture()), torch.randn(1, 3, 12, 12)) == Capability.SPATIAL


def test_a_script_is_seen_through() -> None:
    class Attend(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(x, x, x, is_causal=True).sum((1, 3))

    x = torch.randn(1, HEADS, TOKENS, 4)
    with pytest.warns(DeprecationWarning, match="jit"):
        script = torch.jit.trace(Attend(), x)
    wanted = (x @ x.mT / 2).masked_fill(torch.ones(TOKENS, TOKENS).triu(1).bool(), -torch.inf).softmax(-1)
    torch.testing.assert_close(probe.attention(lambda: script(x)).maps[0], wanted)


# -- spatial maps ------------------------------------------------------------------------------------------------


class Picture(nn.Module):
    """Convolutions with names, working in place where they can, and a functional end."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 6, 1)
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu_(self.features(x)).mean((2, 3)))


class Swish(torch.autograd.Function):
    """As memory-saving networks write it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        sigmoid = x.sigmoid()
        return gradient * (sigmoid + x * sigmoid * (1 - sigmoid))


FILTERS = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(1))
ENDS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "relu_": F.relu_,
    "silu": F.silu,
    "hardtanh": F.relu6,
    "convolution": lambda x: x,
    "max_pool2d_with_indices": lambda x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "add": lambda x: x + x.relu(),
    "mul": Swish.apply,
    "cat": lambda x: torch.cat([x.relu(), x.tanh()], 1),
}


@pytest.mark.parametrize("operator", ENDS)
@pytest.mark.parametrize("collapse", ["mean", "adaptive", "flatten"])
def test_the_last_spatial_map_and_its_gradient(operator: str, collapse: str) -> None:
    """However the map is made and collapsed, with no module in sight; the answer is autograd's own."""
    x = torch.randn(1, 3, 10, 10)
    shape = ENDS[operator](F.conv2d(x, FILTERS)).shape
    weights = torch.randn(shape[1] if collapse != "flatten" else shape.numel(), 2)

    def after(maps: torch.Tensor) -> torch.Tensor:
        match collapse:
            case "mean":
                flat = maps.square().mean((2, 3))
            case "adaptive":
                flat = F.adaptive_avg_pool2d(maps, 1).flatten(1).square()
            case _:
                flat = maps.flatten(1).sin()
        return flat @ weights

    leaf = x.clone().requires_grad_()
    found = probe.spatial(lambda: after(ENDS[operator](F.conv2d(leaf, FILTERS)))[:, 1])
    wanted = ENDS[operator](F.conv2d(x, FILTERS)).requires_grad_()
    if collapse == "mean":  # the square is elementwise too: it is the last map
        wanted = wanted.detach().square().requires_grad_()
        number = (wanted.mean((2, 3)) @ weights)[0, 1]
    else:
        number = after(wanted)[0, 1]
    (gradient,) = torch.autograd.grad(number, wanted)
    torch.testing.assert_close(found.activation, wanted.detach())
    torch.testing.assert_close(found.gradient, gradient)
    assert found.layer == ""
    assert found.operator == ("pow" if collapse == "mean" else operator.strip("_"))


def test_names_come_from_modules() -> None:
    net = nn.Sequential(Picture().features, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval().requires_grad_(False)
    x = torch.randn(1, 3, 12, 12, requires_grad=True)
    found = probe.spatial(lambda: net(x)[:, 0], net)
    assert (found.layer, found.operator) == ("0.4", "convolution")
    assert _hooks(net) == 0


@pytest.mark.parametrize("layer", ["features.0", "features.1", "features.2", "features.3", "features", "features.4"])
def test_a_named_layer_followed_by_work_in_place(layer: str) -> None:
    net = Picture().eval().requires_grad_(False)
    x = torch.randn(1, 3, 12, 12, requires_grad=True)
    found = probe.spatial(lambda: net(x)[:, 2], net, layer)
    stop = {"features": 5}.get(layer, int(layer[-1]) + 1 if layer[-1].isdigit() else 0)
    wanted = net.features[:stop](x).detach().clone().requires_grad_()
    number = net.head(F.relu(net.features[stop:](wanted.clone())).mean((2, 3)))[0, 2]
    torch.testing.assert_close(found.activation, wanted.detach())
    torch.testing.assert_close(found.gradient, torch.autograd.grad(number, wanted)[0])
    assert (found.layer, _hooks(net)) == (layer, 0)


def test_a_side_branch_is_passed_over() -> None:
    """The last map that was computed is not the last that the score depends on."""
    x = torch.randn(1, 3, 10, 10, requires_grad=True)

    def forward() -> torch.Tensor:
        maps = F.conv2d(x, FILTERS)
        score = maps.mean((2, 3))[:, 0]
        F.conv2d(x, FILTERS).tanh().mean()
        return score

    assert probe.spatial(forward).operator == "convolution"


def test_wrong_layers_are_said_in_a_sentence() -> None:
    net = Picture().eval().requires_grad_(False)
    x = torch.randn(1, 3, 12, 12, requires_grad=True)
    with pytest.raises(UserError, match=r"no layer 'feature\.4'; the nearest are 'features\.4'"):
        probe.spatial(lambda: net(x)[:, 0], net, "feature.4")
    with pytest.raises(UserError, match=r"Layer 'head' gives \(1, 3\)"):
        probe.spatial(lambda: net(x)[:, 0], net, "head")
    with pytest.raises(UserError, match="it has no named layers"):
        probe.spatial(lambda: net(x)[:, 0], None, "conv")
    with pytest.raises(UserError, match="this network has none"):
        probe.spatial(lambda: x.flatten(1).sum(1))
    assert _hooks(net) == 0


@pytest.mark.parametrize("layer", ["", "features.2"])
def test_an_error_inside_the_network_leaves_nothing_behind(layer: str) -> None:
    class Broken(Picture):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            super().forward(x)
            raise RuntimeError("broken")

    net = Broken().train()
    x = torch.randn(1, 3, 12, 12, requires_grad=True)
    with pytest.raises(RuntimeError, match="broken"):
        probe.spatial(lambda: net(x)[:, 0], net, layer)
    with pytest.raises(RuntimeError, match="broken"):
        probe.capabilities(net, x.detach())
    with pytest.raises(RuntimeError, match="broken"):
        probe.attention(lambda: net(x))
    with pytest.raises(RuntimeError, match="broken"):
        probe.attention_with_gradients(net, x)
    assert _hooks(net) == 0
    assert all(one.training for one in net.modules())


# -- capabilities ------------------------------------------------------------------------------------------------


class Vision(nn.Module):
    """A small vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.patches(x).flatten(2).mT).mean(1)


class Reader(nn.Module):
    """A recurrent reader that pools with weights, which are no attention between tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.LSTM(WIDTH, WIDTH, bidirectional=True, batch_first=True)
        self.weigh = nn.Linear(2 * WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.read(x)
        return (self.weigh(states).softmax(1) * states).sum(1)


CASES: list[tuple[Callable[[], Any], tuple[int, ...], Capability]] = [
    (Picture, (1, 3, 12, 12), Capability.SPATIAL),
    (Picture, (2, 3, 12, 12), Capability.SPATIAL),
    (lambda: lambda x: F.conv2d(x, FILTERS).relu().mean((2, 3)), (1, 3, 9, 9), Capability.SPATIAL),
    (lambda: lambda x: F.conv2d(x, FILTERS).flatten(1).softmax(-1), (1, 3, 3, 3), Capability.NONE),
    (Vision, (1, 3, 16, 16), Capability.ATTENTION | Capability.SPATIAL),
    (Reader, (1, TOKENS, WIDTH), Capability.NONE),
    (lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.Softmax(-1)), (5, 3, 4, 4), Capability.NONE),
    (lambda: nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True), (2, 5, WIDTH), Capability.ATTENTION),
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_capabilities(case: tuple[Callable[[], Any], tuple[int, ...], Capability]) -> None:
    build, shape, wanted = case
    net = build()
    before = {k: v.clone() for k, v in net.state_dict().items()} if isinstance(net, nn.Module) else {}
    state = torch.get_rng_state()
    assert probe.capabilities(net, torch.zeros(shape)) == wanted
    assert torch.equal(torch.get_rng_state(), state)
    if isinstance(net, nn.Module):  # it was in training mode, and has batch norm
        assert all(torch.equal(before[name], one) for name, one in net.state_dict().items())
        assert all(one.training for one in net.modules())
        assert _hooks(net) == 0
