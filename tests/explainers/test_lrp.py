"""Layer-wise relevance propagation: every rule a second time as plain algebra, conservation, and what is refused."""

from __future__ import annotations

import captum.attr
import captum.attr._utils.lrp_rules as captum_rules
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import explainers
import model_zoo
from explainers.engine import relevance, relevance_rules
from explainers.engine.relevance_weights import Composite
from explainers.types import Verdict

X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])


def mlp(bias: bool = True, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(5, 8, bias=bias), nn.ReLU(), nn.Linear(8, 6, bias=bias), nn.ReLU(), nn.Linear(6, 3, bias=bias)
    ).double()


def lrp(module: nn.Module, x: np.ndarray = X, **asked: object) -> explainers.Explanation:
    model = model_zoo.wrap(module, modality="tabular", feature_names=[f"f{i}" for i in range(len(x))])
    return explainers.explain(model, x, "lrp", **{"target": 1, **asked})


# -- plain algebra: relevance (inputs,) of a layer from its input a, weights w (inputs, outputs), bias b and R --------


def epsilon(a, w, b, r, eps=1e-9):
    z = a @ w + b
    return (a[:, None] * w * (r / (z + eps * np.where(z < 0, -1, 1)))).sum(1)


def alpha_beta(a, w, b, r, alpha=1.0):
    c = a[:, None] * w
    up, down = np.maximum(c, 0), np.minimum(c, 0)
    share = alpha * up / np.where(up.sum(0) == 0, 1, up.sum(0))
    return ((share - (alpha - 1) * down / np.where(down.sum(0) == 0, 1, down.sum(0))) * r).sum(1)


def gamma(a, w, b, r, much=0.25):
    c, z = np.vstack([a[:, None] * w, b]), a @ w + b
    same = np.where(z > 0, np.maximum(c, 0), np.minimum(c, 0))
    share = (c + much * same) / (z + much * same.sum(0))
    return (share[:-1] * r).sum(1)


@pytest.mark.parametrize(
    ("rule", "algebra", "asked"),
    [
        ("epsilon", epsilon, {}),
        ("epsilon", lambda *given: epsilon(*given, eps=0.1), {"epsilon": 0.1}),
        ("alpha1_beta0", alpha_beta, {}),
        ("alpha2_beta1", lambda *given: alpha_beta(*given, alpha=2.0), {}),
        ("gamma", gamma, {}),
        ("gamma", lambda *given: gamma(*given, much=3.0), {"gamma": 3.0}),
    ],
)
def test_each_rule_as_matrix_algebra(rule: str, algebra, asked: dict) -> None:
    net = mlp()
    layers = [(one.weight.detach().numpy().T, one.bias.detach().numpy()) for one in net if isinstance(one, nn.Linear)]
    activations = [X]
    for w, b in layers[:-1]:
        activations.append(np.maximum(activations[-1] @ w + b, 0))
    relevance = np.zeros(3)
    relevance[1] = (activations[-1] @ layers[-1][0] + layers[-1][1])[1]
    for a, (w, b) in zip(reversed(activations), reversed(layers), strict=True):
        relevance = algebra(a, w, b, relevance)
    found = lrp(net, rule=rule, **asked)
    np.testing.assert_allclose(found.values, relevance, rtol=1e-8, atol=1e-12)


def test_a_relu_net_without_biases_is_input_times_gradient_and_conserves() -> None:
    found = lrp(mlp(bias=False))
    other = explainers.explain(model_zoo.wrap(mlp(bias=False), modality="tabular"), X, "input_x_gradient", target=1)
    np.testing.assert_allclose(found.values, other.values, rtol=1e-6)
    assert found.values.sum() == pytest.approx(found.explained, rel=1e-6)
    assert found.evidence[0].verdict is Verdict.GOOD
    assert "conserved" in found.notes[0]


def test_biases_keep_their_part_and_it_is_said() -> None:
    found = lrp(mlp(seed=3))
    assert abs(found.values.sum() - found.explained) > 0.05 * abs(found.explained)
    assert "biases and other constants" in found.notes[0]
    assert found.evidence[0].verdict is Verdict.BAD
    assert found.evidence[0].value == pytest.approx(
        abs(found.values.sum() - found.explained) / np.abs(found.values).sum()
    )


def test_captums_numbers() -> None:
    net = mlp()
    for one in net:
        if isinstance(one, nn.Linear):
            one.rule = captum_rules.EpsilonRule(epsilon=0.01)
    theirs = captum.attr.LRP(net).attribute(torch.tensor(X[None], requires_grad=True), target=2)
    found = lrp(mlp(), target=2, epsilon=0.01)
    np.testing.assert_allclose(found.values, theirs[0].detach(), rtol=1e-6)


class Pictures(nn.Module):
    """Convolutions with batch normalisation, a skip and pooling, and functions called without modules."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.one = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(6)
        self.two = nn.Conv2d(6, 6, 3, padding=1, bias=bias)
        self.head = nn.Linear(6, 4, bias=bias)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)
            self.norm.weight.normal_()
            self.norm.bias.normal_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.one(x)), inplace=True)
        x = F.max_pool2d(x + F.relu(self.two(x)), 2)
        return self.head(x.mean((2, 3)))


def pictured(network: nn.Module, picture: np.ndarray, **asked: object) -> explainers.Explanation:
    model = model_zoo.wrap(network.double(), modality="image", class_names=list("abcd"))
    return explainers.explain(model, picture.astype(np.float64), "lrp", **{"target": 1, **asked})


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "alpha1_beta0", "alpha2_beta1", "epsilon_plus_flat"])
def test_batch_normalisation_belongs_to_the_layer_before(picture, rule: str) -> None:
    apart = Pictures().eval()
    folded = Pictures(bias=True).eval()
    folded.one = torch.nn.utils.fusion.fuse_conv_bn_eval(apart.one, apart.norm)
    folded.norm = nn.Identity()
    folded.two.load_state_dict({"weight": apart.two.weight, "bias": torch.zeros(6)})
    folded.head.load_state_dict({"weight": apart.head.weight, "bias": torch.zeros(4)})
    one, two = (pictured(net, picture, rule=rule) for net in (apart, folded))
    assert one.explained == pytest.approx(two.explained, rel=1e-6)
    np.testing.assert_allclose(one.values, two.values, rtol=1e-5, atol=1e-8 * np.abs(two.values).max())


def test_z_plus_and_flat_conserve_through_skips_and_pooling(picture) -> None:
    found = pictured(Pictures(), picture)
    assert found.flavour == "epsilon-plus-flat"
    assert found.values.sum() == pytest.approx(found.explained, rel=1e-3)
    assert found.evidence[0].verdict is Verdict.GOOD


@pytest.mark.parametrize("rule", ["epsilon_plus_flat", "epsilon_gamma_box"])
def test_the_first_layer_as_algebra(rule: str) -> None:
    """One patch: a convolution over all of the picture is a matrix; then one linear layer."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(3, 7, 4, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(7, 2, bias=False)).double()
    again = nn.Sequential(*net[:2], nn.Conv2d(7, 7, 1, bias=False).double(), nn.ReLU(), *net[2:])
    picture = np.random.default_rng(0).uniform(size=(3, 4, 4))
    model = model_zoo.wrap(again, modality="image", class_names=["a", "b"])
    found = explainers.explain(model, picture, "lrp", target=0, rule=rule)
    w1 = net[0].weight.detach().numpy().reshape(7, -1).T
    w2, w3 = again[2].weight.detach().numpy()[:, :, 0, 0].T, net[3].weight.detach().numpy().T
    x = picture.reshape(-1)
    a1 = np.maximum(x @ w1, 0)
    a2 = np.maximum(a1 @ w2, 0)
    relevance = epsilon(a2, w3, 0.0, np.array([(a2 @ w3)[0], 0.0]))
    if rule == "epsilon_plus_flat":
        relevance = alpha_beta(a1, w2, np.zeros(7), relevance)
        true = np.full(48, relevance.sum() / 48)
    else:
        relevance = gamma(a1, w2, np.zeros(7), np.where(a2 > 0, relevance, 0))
        c = x[:, None] * w1 - np.minimum(w1, 0)  # from 0 to 1
        true = (c / c.sum(0) * relevance).sum(1)
    np.testing.assert_allclose(found.dense(), true.reshape(3, 4, 4).sum(0), rtol=1e-4, atol=1e-9)


# -- transformers: AttnLRP ---------------------------------------------------------------------------------------------


def attention_by_hand(x, w_q, w_k, w_v, r):
    """Relevance (tokens, width) of softmax(Q Kᵀ) V, by the propositions of AttnLRP."""
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    s = q @ k.T
    a = np.exp(s - s.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    o = a @ v
    r_v = np.einsum("ji,ip,jp->ip", a, v, r / (2 * o))
    r_a = np.einsum("ji,ip,jp->ji", a, v, r / (2 * o))
    r_s = s * (r_a - a * r_a.sum(1, keepdims=True))
    r_q = np.einsum("jp,ip,ji->jp", q, k, r_s / (2 * s))
    r_k = np.einsum("jp,ip,ji->ip", q, k, r_s / (2 * s))
    found = np.zeros_like(x)
    for part, w, y in ((r_q, w_q, q), (r_k, w_k, k), (r_v, w_v, v)):
        found += x * ((part / y) @ w.T)
    return found


class Attention(nn.Module):
    """One head over two tokens of width 3, given as six numbers; fused or written out."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.q, self.k, self.v = (nn.Linear(3, 3, bias=False) for _ in range(3))
        self.fused = fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 2, 3)
        q, k, v = self.q(x), self.k(x), self.v(x)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], scale=1.0)[:, 0]
        else:
            mixed = (q @ k.mT).softmax(-1) @ v
        return mixed.sum(1)


@pytest.mark.parametrize("fused", [True, False])
def test_attention_by_its_propositions(fused: bool) -> None:
    net = Attention(fused).double()
    x = np.random.default_rng(5).normal(size=6)
    found = lrp(net, x, target=0)
    tokens = x.reshape(2, 3)
    w_q, w_k, w_v = (one.weight.detach().numpy().T for one in (net.q, net.k, net.v))
    r = np.zeros((2, 3))
    with torch.no_grad():
        y = (tokens @ w_q) @ (tokens @ w_k).T
        r[:, 0] = (torch.tensor(y).softmax(-1).numpy() @ (tokens @ w_v))[:, 0]
    true = attention_by_hand(tokens, w_q, w_k, w_v, r)
    np.testing.assert_allclose(found.values, true.reshape(-1), rtol=1e-6)
    assert "softmax" in found.notes[0] or "conserved" in found.notes[0]


@pytest.mark.parametrize(
    ("written", "library"),
    [
        (lambda x: x * torch.sigmoid(x), F.silu),
        (lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)), F.gelu),
        (lambda x: x * F.relu6(x + 3) / 6, F.hardswish),
        (lambda x: x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt(), lambda x: F.rms_norm(x, (5,), eps=1e-6)),
        (
            lambda x: (x - x.mean(-1, True)) / (x.var(-1, False, keepdim=True) + 1e-5).sqrt(),
            lambda x: F.layer_norm(x, (5,)),
        ),
        (lambda x: x.chunk(2, -1)[0] * x.chunk(2, -1)[1].sigmoid(), F.glu),
        (lambda x: F.instance_norm(x[:, None]), lambda x: F.layer_norm(x[:, None], (5,))),
        (lambda x: F.group_norm(x, 1), lambda x: F.layer_norm(x, (5,))),
    ],
    ids=["silu", "gelu", "hardswish", "rms_norm", "layer_norm", "glu", "instance_norm", "group_norm"],
)  # fmt: skip
def test_what_is_written_out_is_treated_as_the_librarys(written, library) -> None:
    class Net(nn.Module):
        def __init__(self, function) -> None:
            super().__init__()
            torch.manual_seed(6)
            self.inner, self.function = nn.Linear(5, 5, dtype=torch.float64), function
            self.even = nn.Linear(5, 6, dtype=torch.float64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inner = self.even(x) if library is F.glu else self.inner(x)
            return self.function(inner).reshape(len(x), -1)[:, :3]

    one, two = lrp(Net(written)), lrp(Net(library))
    assert one.explained == pytest.approx(two.explained, rel=1e-6)
    np.testing.assert_allclose(one.values, two.values, rtol=1e-6)


def test_a_transformer_without_constants_conserves_all_but_its_softmax() -> None:
    """Layer norm and GELU, on which captum's LRP raises, and skips, at which it leaks."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(7)
            self.mix = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
            self.one, self.two = nn.LayerNorm(8, bias=False), nn.LayerNorm(8, bias=False)
            self.up, self.down = nn.Linear(8, 16, bias=False), nn.Linear(16, 8, bias=False)
            self.head = nn.Linear(8, 3, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.reshape(len(x), 4, 8)
            y = self.one(x)
            x = x + self.mix(y, y, y, need_weights=False)[0]
            x = x + self.down(F.gelu(self.up(self.two(x))))
            return self.head(x.mean(1))

    net = Block().double()
    entry = torch.tensor(np.random.default_rng(8).normal(size=(1, 32)))
    for one in net.parameters():
        one.requires_grad_(False)
    found = relevance.propagate(
        lambda point: net(point)[:, 1],
        entry,
        lambda places: relevance_rules.rules(places, Composite(epsilon=1e-9), score=False),
    )
    assert set(found.ledger.kept) <= {relevance_rules.SOFTMAX, relevance_rules.CONSTANTS}
    assert found.ledger.kept[relevance_rules.CONSTANTS] == pytest.approx(0, abs=1e-6)
    kept = found.ledger.kept[relevance_rules.SOFTMAX]
    assert float(found.relevance.sum()) + kept == pytest.approx(found.explained, rel=1e-4)
    told = lrp(net, entry[0].numpy())
    np.testing.assert_allclose(told.values, found.relevance[0], rtol=1e-6)
    assert "in softmax" in told.notes[0]


def test_where_captums_raises_or_leaks_in_silence_the_leak_is_said() -> None:
    class Skip(nn.Module):
        def __init__(self, norm: bool) -> None:
            super().__init__()
            torch.manual_seed(11)
            self.one, self.two = nn.Linear(5, 5, bias=False), nn.Linear(5, 3, bias=False)
            self.act, self.norm = nn.ReLU(), nn.LayerNorm(5) if norm else nn.Dropout()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.norm(self.act(self.one(x)) + x))

    x = torch.tensor(X[None], requires_grad=True)
    with pytest.raises(TypeError, match="LayerNorm"):
        captum.attr.LRP(Skip(norm=True).double()).attribute(x, target=1)
    leaky = captum.attr.LRP(Skip(norm=False).double().eval()).attribute(x, target=1)
    found = lrp(Skip(norm=False).double())
    assert abs(float(leaky.detach().sum()) - found.explained) > 0.05 * abs(found.explained)
    assert found.values.sum() == pytest.approx(found.explained, rel=1e-6)
    normed = lrp(Skip(norm=True).double())
    assert normed.values.sum() == pytest.approx(normed.explained, rel=1e-6)


# -- any network -------------------------------------------------------------------------------------------------------


class Reused(nn.Module):
    """One ReLU module used twice, a functional one, a skip and numbers changed in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(9)
        self.one, self.two, self.out = (nn.Linear(5, 5, bias=False) for _ in range(3))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.one(x))
        y = y + self.relu(self.two(y))
        y[:, 0] = y[:, 0] * 2
        return self.out(torch.relu(y))


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("scripted", [False, True])
def test_functions_reused_modules_and_scripts(scripted: bool) -> None:
    net = Reused().double()
    module = torch.jit.trace(net, torch.tensor(X[None])) if scripted else net
    x = torch.tensor(X[None], requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[0, 1], x)
    found = lrp(module)
    np.testing.assert_allclose(found.values, X * gradient[0].numpy(), rtol=1e-5)


def test_a_recurrent_net_gives_gates_nothing() -> None:
    """An LSTM over one step: h = o · tanh(i · g), in which i and o are constants and tanh hands on all that it gets."""

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(10)
            self.lstm = nn.LSTM(5, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x[:, None])[0][:, 0, :3]

    net = Recurrent().double()
    found = lrp(net)
    cell = net.lstm
    w = cell.weight_ih_l0.detach()[8:12]
    z = torch.tensor(X) @ w.T + cell.bias_ih_l0.detach()[8:12] + cell.bias_hh_l0.detach()[8:12]
    true = torch.tensor(X) * w[1] / z[1] * found.explained
    np.testing.assert_allclose(found.values, true, rtol=1e-6)


def test_a_probability_is_explained_as_its_logit() -> None:
    whole = lrp(mlp(bias=False), output="logit")
    share = lrp(mlp(bias=False), output="probability")
    np.testing.assert_allclose(share.values, whole.values, rtol=1e-9)
    assert share.unit == "logit"
    assert share.explained == pytest.approx(whole.explained)
    assert "shares the logit" in share.notes[0]


def test_a_margin_is_a_difference_of_relevances() -> None:
    one, two = (lrp(mlp(), target=k).values for k in (0, 2))
    margin = lrp(mlp(), target=0, against=2)
    np.testing.assert_allclose(margin.values, one - two, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: torch.logsumexp(x, 1, keepdim=True) * torch.ones(3), "logsumexp"),
        (lambda x: torch.cumprod(x, 1)[:, :3], "cumprod"),
        (lambda x: torch.log(x.abs())[:, :3], "logarithms"),
        (lambda x: (1 / x)[:, :3], "a reciprocal that is not a factor"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(function, said: str) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(5, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(self.inner(x) + 3 * x)

    with pytest.raises(explainers.UserError, match=f"no rule for .*{said}.*integrated gradients"):
        lrp(Odd(), X + 0.25)


def test_a_function_of_ones_own_is_refused() -> None:
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 2

    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Own.apply(x)[:, :3]

    with pytest.raises(explainers.UserError, match="a backward pass of its own"):
        lrp(Net())


@pytest.mark.parametrize(
    ("name", "raw", "arrives"),
    [
        ("squeezenet", None, 0.99),
        ("efficientnet_lite0", None, 0.01),  # depthwise filters that only their bias switches on
        ("minilm_sentiment", "A wonderful film, not boring at all.", None),
        ("bilstm_reviews", "A wonderful film.", None),
    ],
)
def test_bundled_models(name: str, raw: str | None, arrives: float | None) -> None:
    model = model_zoo.load(name)
    sample = model.sample(raw) if raw else model.sample(*model_zoo.read_example(model.card.examples[0]))
    found = explainers.explain(model, sample, "lrp")
    assert np.isfinite(found.values).all()
    assert found.notes
    if arrives is not None:
        assert arrives <= found.values.sum() / found.explained <= 1.001
        assert (found.values >= 0).all()
    else:
        top = found.players.names[int(np.argmax(np.abs(found.values)))]
        assert top.strip(".,") == "wonderful"
