"""DeepLIFT, its two kin over a background, and guided backpropagation: right where a rule exists, refused elsewhere."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import explainers
import model_zoo
from explainers import registry
from explainers.types import Verdict
from model_zoo.types import UserError

DEEP = ["deep_lift", "deep_lift_shap", "deep_shap"]
X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
BASELINE = np.array([0.5, 0.3, -1.0, 1.0, 2.0])
ROWS = np.random.default_rng(8).normal(size=(7, 5))
PICTURE = np.random.default_rng(9).normal(size=(3, 12, 12))


def dense(*activations: nn.Module) -> nn.Sequential:
    """Layers of 5 with these activations between them, three outputs."""
    torch.manual_seed(3)
    layers = [part for one in activations for part in (nn.Linear(5, 5), one)]
    return nn.Sequential(*layers, nn.Linear(5, 3)).double().eval()


def conv(first: nn.Module, pool: nn.Module) -> nn.Sequential:
    """Convolution, batch normalisation, an activation and a pooling layer, for 3 × 12 × 12 pictures."""
    torch.manual_seed(4)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        first,
        pool,
        nn.Conv2d(6, 4, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.LazyLinear(3),
    )
    with torch.no_grad():
        net(torch.zeros(2, 3, 12, 12))
    net[1].running_mean.uniform_(-0.3, 0.3)
    net[1].running_var.uniform_(0.5, 1.5)
    return net.double().eval()


class Written(nn.Module):
    """A network of 5 inputs and 3 outputs whose forward pass is a function of its two layers."""

    def __init__(self, forward: Callable[[Written, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.one, self.two, self.out = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.relu, self.mix = nn.ReLU(), nn.RNN(1, 4, batch_first=True)
        self.written = forward
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.written(self, x))


def table(net: nn.Module, **about: Any) -> model_zoo.Model:
    return model_zoo.wrap(net, modality="tabular", **{"task": "classification", "output": "logit", **about})


# -- closed forms ------------------------------------------------------------------------------------------------------


def test_one_relu_by_hand() -> None:
    """F = 3 ReLU(x0 - 2 x1 + 1) from (0, 0) to (4, 1): 3 -> 9; the slope is (3 - 1) / (3 - 1) = 1."""
    net = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1, bias=False)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, -2.0]]))
        net[0].bias.fill_(1.0)
        net[2].weight.fill_(3.0)
    model = table(net, task="regression", output="value")
    found = explainers.explain(model, np.array([4.0, 1.0]), "deep_lift", baseline=0.0)
    np.testing.assert_allclose(found.values, [12.0, -6.0])
    # From (-3, 0) the ReLU goes from 0 (at -2) to 3: slope 3 / 5, times 3, times (7, 1) and (1, -2).
    found = explainers.explain(model, np.array([4.0, 1.0]), "deep_lift", baseline=np.array([-3.0, 0.0]))
    np.testing.assert_allclose(found.values, [9 / 5 * 7, 9 / 5 * -2])
    assert (found.base_value, found.explained) == (0.0, 9.0)


def test_a_maximum_by_hand() -> None:
    """max(x0, x1) from (0, 1) to (3, 2): 1 -> 3. The gain 3 - 1 goes to x0; where the maximum falls, x1 loses."""
    model = table(nn.MaxPool1d(2).double(), task="regression", output="value")
    found = explainers.explain(model, np.array([3.0, 2.0]), "deep_lift", baseline=np.array([0.0, 1.0]))
    np.testing.assert_allclose(found.values, [2.0, 0.0])
    found = explainers.explain(model, np.array([3.0, 2.0]), "deep_lift", baseline=np.array([0.0, 5.0]))
    np.testing.assert_allclose(found.values, [0.0, -2.0])


@pytest.mark.parametrize("method", DEEP)
def test_one_activation_a_feature_gives_each_its_own_change(method: str) -> None:
    """F = sum of w_i tanh(x_i) is additive: feature i gets the mean of w_i (tanh x_i - tanh b_i), its Shapley value."""
    net = nn.Sequential(nn.Tanh(), nn.Linear(5, 1)).double()
    found = explainers.explain(table(net, task="regression", output="value"), X, method, background=ROWS)
    rows = ROWS.mean(0, keepdims=True) if method == "deep_lift" else ROWS
    exact = net[1].weight.detach().numpy()[0] * (np.tanh(X) - np.tanh(rows)).mean(0)
    np.testing.assert_allclose(found.values, exact)


# -- Captum's and shap's numbers, where they are right -----------------------------------------------------------------

PLAIN = {
    "relu": lambda: dense(nn.ReLU(), nn.ReLU()),
    "sigmoid, tanh": lambda: dense(nn.Sigmoid(), nn.Tanh()),
    "elu, leaky": lambda: dense(nn.ELU(), nn.LeakyReLU(0.2)),
    "softplus": lambda: dense(nn.Softplus(), nn.ReLU()),
    "deep": lambda: dense(*[nn.ReLU() for _ in range(6)]),
}
POOLED = {
    "max": lambda: conv(nn.Conv2d(6, 6, 1), nn.MaxPool2d(2)),
    "average": lambda: conv(nn.Sigmoid(), nn.AvgPool2d(2)),
}
DIRECTLY = {"max of relu": lambda: conv(nn.ReLU(), nn.MaxPool2d(2))}  # one after the other: only shap is right


@pytest.mark.parametrize("name", PLAIN)
def test_captum_deep_lift_on_a_table(name: str) -> None:
    net = PLAIN[name]()
    found = explainers.explain(table(net), X, "deep_lift", target=1, baseline=BASELINE)
    theirs = _captum(captum.attr.DeepLift(net), X, baselines=_batch(BASELINE), target=1)
    np.testing.assert_allclose(found.values, theirs, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("name", POOLED)
def test_captum_deep_lift_on_a_picture(name: str) -> None:
    net = POOLED[name]()
    model = model_zoo.wrap(net, modality="image", class_names=["a", "b", "c"])
    x = PICTURE.astype(np.float32)
    baseline = np.roll(x, 5, axis=1)[:, ::-1] * 0.5  # no ties: in a flat one, rounding decides where the maximum is
    found = explainers.explain(model, x, "deep_lift", target=2, baseline=baseline)
    theirs = _captum(captum.attr.DeepLift(net), x, baselines=_batch(baseline), target=2)
    scale = np.abs(found.values).max()
    np.testing.assert_allclose(found.dense(), theirs.sum(0), atol=1e-6 * scale)
    assert found.evidence[0].value < 1e-6


@pytest.mark.parametrize("name", PLAIN)
def test_captum_deep_lift_shap(name: str) -> None:
    net = PLAIN[name]()
    found = explainers.explain(table(net), X, "deep_lift_shap", target=0, background=ROWS)
    theirs = _captum(captum.attr.DeepLiftShap(net), X, baselines=torch.tensor(ROWS), target=0)
    np.testing.assert_allclose(found.values, theirs, rtol=1e-6, atol=1e-10)
    assert "7 reference rows" in found.flavour


@pytest.mark.parametrize("name", [*PLAIN, *POOLED, *DIRECTLY])
@pytest.mark.filterwarnings("ignore")  # shap's own
def test_shap_deep_explainer(name: str) -> None:
    import shap

    picture = name not in PLAIN
    net = {**PLAIN, **POOLED, **DIRECTLY}[name]()
    x = PICTURE.astype(np.float32) if picture else X
    rows = np.random.default_rng(2).normal(size=(4, *x.shape)).astype(x.dtype)
    model = model_zoo.wrap(net, modality="image", class_names=["a", "b", "c"]) if picture else table(net)
    found = explainers.explain(model, x, "deep_shap", target=1, background=rows)
    theirs = shap.DeepExplainer(net, torch.tensor(rows).double()).shap_values(_batch(x))[0, ..., 1]
    scale = np.abs(found.values).max()
    np.testing.assert_allclose(found.dense(), theirs.sum(0) if picture else theirs, atol=1e-5 * scale)


def test_a_probability_of_two_classes_goes_through_its_sigmoid() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    found = explainers.explain(
        table(net, task="binary"), X, "deep_lift", target=1, output="probability", baseline=BASELINE
    )
    theirs = _captum(captum.attr.DeepLift(nn.Sequential(*net, nn.Sigmoid())), X, baselines=_batch(BASELINE), target=0)
    np.testing.assert_allclose(found.values, theirs, rtol=1e-6)


# -- where the libraries are silently wrong, and we are not ------------------------------------------------------------

WRITTEN: dict[str, Callable[[Written, torch.Tensor], torch.Tensor]] = {
    "F.relu": lambda self, x: F.relu(self.two(F.relu(self.one(x)))),
    "torch.tanh": lambda self, x: torch.tanh(self.two(self.one(x).sigmoid())),
    "one module twice": lambda self, x: self.relu(self.two(self.relu(self.one(x)))),
    "one layer twice": lambda self, x: F.relu(self.one(F.relu(self.one(x)))),
    "residual": lambda self, x: x + F.relu(self.two(F.relu(x + self.one(x)))),
    "in place": lambda self, x: F.relu_(self.two(F.elu_(self.one(x)))),
    "overwritten": lambda self, x: F.leaky_relu(F.hardtanh(self.one(x)).add_(x)).mul_(2).add_(x),
    "clamped in place": lambda self, x: self.two(F.hardtanh_(self.one(x), -0.2, 0.4)).clamp_(min=0),
    "a clone before": lambda self, x: F.hardtanh_((self.one(x) + x).clone(), 0, 0.5),
    "ReLU6": lambda self, x: F.relu6(4 * self.one(x)),
    "clamp": lambda self, x: self.one(x).clamp(min=0).minimum(torch.tensor(0.7)),
    "torch.maximum": lambda self, x: torch.maximum(torch.zeros(5, dtype=x.dtype), self.two(self.one(x))),
    "SELU": lambda self, x: F.selu(self.two(F.celu(self.one(x)))),
    "log-sigmoid": lambda self, x: F.logsigmoid(self.one(x)) + F.hardsigmoid(self.two(x)),
    "max pooling": lambda self, x: F.relu(self.one(F.max_pool1d(self.two(x)[:, None], 3, 1, 1)[:, 0])),
    "the largest": lambda self, x: self.one(x) + self.two(x).max(1, keepdim=True).values,
    "amax": lambda self, x: F.relu(self.one(x)) - self.two(x).amax(1, keepdim=True),
    "adaptive": lambda self, x: self.one(x) + F.adaptive_max_pool1d(self.two(x)[:, None], 1)[:, 0],
    "time before batch": lambda self, x: F.relu(self.one(F.relu(x.t()[:, :, None] * 1.5).permute(1, 2, 0)[:, 0])),
    "plain recurrent": lambda self, x: F.pad(self.mix(x[..., None])[0][:, -1], (0, 1)),
    "dead branch": lambda self, x: (F.relu(self.two(x)), F.relu(self.one(x)))[1],
    "fixed mask": lambda self, x: torch.where(torch.arange(5) > 2, F.relu(self.one(x)), x),
}


@pytest.mark.parametrize("method", DEEP)
@pytest.mark.parametrize("name", WRITTEN)
def test_functions_and_reused_modules_add_up(name: str, method: str) -> None:
    """The rule's sum is exact; only rounding may be missing."""
    found = explainers.explain(table(Written(WRITTEN[name])), X, method, target=1, baseline=BASELINE)
    gap = found.values.sum() - (found.explained - found.base_value)
    assert abs(gap) < 1e-10 * max(1.0, np.abs(found.values).sum())
    assert found.evidence[0].verdict is Verdict.GOOD
    assert found.evidence[1].verdict is Verdict.EXACT


def test_what_is_written_with_functions_gets_the_numbers_of_modules() -> None:
    net = Written(WRITTEN["F.relu"])
    modules = nn.Sequential(net.one, nn.ReLU(), net.two, nn.ReLU(), net.out)
    theirs = _captum(captum.attr.DeepLift(modules), X, baselines=_batch(BASELINE), target=1)
    silent = _captum(captum.attr.DeepLift(net), X, baselines=_batch(BASELINE), target=1)
    assert not np.allclose(silent, theirs, rtol=0.01)  # the trap: no error, other numbers
    for name in ("F.relu", "one module twice"):
        net.written = WRITTEN[name]
        found = explainers.explain(table(net), X, "deep_lift", target=1, baseline=BASELINE)
        np.testing.assert_allclose(found.values, theirs, rtol=1e-6)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2)], ids=["apart", "overlapping"])
def test_pooling_after_relu_adds_up(pool: nn.Module) -> None:
    """Captum misses what the pooling made of the gradient, and puts a maximum of two windows back only once."""
    net = conv(nn.ReLU(), pool)
    model = model_zoo.wrap(net, modality="image", class_names=["a", "b", "c"])
    x, baseline = PICTURE.astype(np.float32), PICTURE[:, ::-1, ::-1].astype(np.float32)
    found = explainers.explain(model, x, "deep_lift", target=2, baseline=baseline)
    change = found.explained - found.base_value
    assert found.values.sum() == pytest.approx(change, rel=1e-6)
    theirs = _captum(captum.attr.DeepLift(net), x, baselines=_batch(baseline), target=2)
    assert abs(theirs.sum() - change) > 0.05 * abs(change)


def test_an_activation_after_another_and_a_way_around_one() -> None:
    """Two more that Captum gets wrong without an error: its hooks see the gradient before, and replace all of it."""
    pair = dense(nn.Sequential(nn.ReLU(), nn.Tanh()))
    around = Written(lambda self, x: (lambda h: h + self.two(self.relu(h)))(self.one(x)))
    for net in (pair, around):
        found = explainers.explain(table(net), X, "deep_lift", target=1, baseline=BASELINE)
        change = found.explained - found.base_value
        assert found.values.sum() == pytest.approx(change, rel=1e-9)
        theirs = _captum(captum.attr.DeepLift(net), X, baselines=_batch(BASELINE), target=1)
        assert abs(theirs.sum() - change) > 0.05 * np.abs(theirs).sum()


@pytest.mark.filterwarnings("ignore")
def test_small_outputs_are_checked_by_their_own_size() -> None:
    """shap's check allows .01 whatever the output: with the wrong sign it passes, and ours are right."""
    import shap

    net = Written(WRITTEN["F.relu"])
    with torch.no_grad():
        net.out.weight.mul_(1e-3)
    theirs = shap.DeepExplainer(net, torch.tensor(ROWS)).shap_values(_batch(X))[0, :, 1]
    found = explainers.explain(table(net), X, "deep_shap", target=1, background=ROWS)
    change = found.explained - found.base_value
    assert abs(theirs.sum() - change) > 0.1 * abs(change)
    assert found.values.sum() == pytest.approx(change, rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_a_script_is_seen_through() -> None:
    net = dense(nn.ReLU(), nn.Tanh())
    script = torch.jit.trace(net, _batch(X))
    for method in ("deep_lift", "guided_backprop"):
        one, other = (explainers.explain(table(part), X, method, target=1) for part in (net, script))
        np.testing.assert_allclose(one.values, other.values, rtol=1e-9)


def test_text_through_the_embedding() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(6)
            self.words, self.turn, self.out = nn.Embedding(20, 6), nn.Conv1d(6, 8, 3, padding=1), nn.Linear(8, 2)
            self.double().eval()

        def after(self, e: torch.Tensor) -> torch.Tensor:
            return self.out(F.relu(self.turn(e.transpose(1, 2))).amax(2))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.after(self.words(ids))

    from tokenizers import Tokenizer

    from tests.small_networks import tokenizer

    net = Bag()
    model = model_zoo.wrap(
        net, modality="text", tokenizer=Tokenizer.from_str(tokenizer()), embedding="words", class_names=["no", "yes"]
    )
    for method in DEEP:
        found = explainers.explain(model, "a good film and a dull story .", method, target=1)
        assert found.values.sum() == pytest.approx(found.explained - found.base_value, rel=1e-9)
    guided = explainers.explain(model, "a good film and a dull story .", "guided_backprop", target=1)
    assert (guided.values >= 0).all()
    assert guided.values.any()


# -- where no rule exists ----------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Each feature a token; one block of attention."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.fused, self.mix, self.out = fused, nn.Linear(1, 12), nn.Linear(4, 3)
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.mix(x[..., None]).chunk(3, -1)
        if self.fused:
            return self.out(F.scaled_dot_product_attention(q, k, v).mean(1))
        return self.out((torch.softmax(q @ k.transpose(1, 2), -1) @ v).mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.layer, self.out = getattr(nn, kind)(1, 4, batch_first=True), nn.Linear(4, 3)
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(x[..., None])[0][:, -1])


class Own(torch.autograd.Function):
    """A ReLU with a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * (ctx.saved_tensors[0] > 0)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "GELU": (lambda: dense(nn.GELU()), "GELU"),
    "F.gelu": (lambda: Written(lambda self, x: F.gelu(self.one(x))), "GELU"),
    "SiLU": (lambda: dense(nn.SiLU()), "SiLU"),
    "softmax": (lambda: dense(nn.Softmax(-1)), "softmax"),
    "softmax at the end": (lambda: nn.Sequential(*dense(nn.ReLU()), nn.Softmax(-1)), "softmax"),
    "layer norm": (lambda: dense(nn.LayerNorm(5)), "layer normalisation"),
    "batch statistics": (lambda: Written(lambda self, x: F.instance_norm(self.one(x)[:, None])[:, 0]), "normalisation"),
    "attention": (lambda: Attention(True), "attention"),
    "attention in parts": (lambda: Attention(False), "attention"),
    "LSTM": (lambda: Recurrent("LSTM"), "recurrent"),
    "GRU": (lambda: Recurrent("GRU"), "recurrent"),
    "gate": (lambda: Written(lambda self, x: self.one(x) * self.two(x).sigmoid()), "both depend"),
    "division": (lambda: Written(lambda self, x: self.one(x) / x.sum(1, keepdim=True).exp()), "division"),
    "power": (lambda: Written(lambda self, x: self.one(x) ** 2), "powers"),
    "larger of two": (lambda: Written(lambda self, x: torch.maximum(self.one(x), self.two(x))), "larger or smaller"),
    "a function of its own": (lambda: Written(lambda self, x: Own.apply(self.one(x))), "backward pass of its own"),
    "mask": (lambda: Written(lambda self, x: self.one(x) * (self.one(x) > 0)), "without a gradient"),
    "where": (lambda: Written(lambda self, x: torch.where(x > 0, self.one(x), self.two(x))), "without a gradient"),
    "detached": (lambda: Written(lambda self, x: self.one(x) + self.two(x).detach()), "without a gradient"),
    "a Python number": (lambda: Written(lambda self, x: self.one(x) * x.max().item()), "without a gradient"),
    "branch": (lambda: Written(lambda self, x: self.one(x).relu() if x[0, 0] > 0.7 else self.one(x)), "steps"),
}


@pytest.mark.parametrize("method", DEEP)
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_with_the_reason(name: str, method: str) -> None:
    net, reason = REFUSED[name]
    model = table(net(), **({"output": "probability"} if name == "softmax at the end" else {}))
    with pytest.raises(UserError, match=reason) as caught:
        explainers.explain(model, X, method, target=1, baseline=BASELINE)
    assert "integrated gradients" in str(caught.value)
    said = registry.method(method).refuses
    with model.frozen():
        assert reason in (said(model, model.sample(X)) or "")  # the doctor says so before anything is run


def test_the_probability_of_a_softmax_is_refused_and_the_logit_offered() -> None:
    with pytest.raises(UserError, match='output="logit"'):
        explainers.explain(table(dense(nn.ReLU())), X, "deep_lift", target=1, output="probability")


def test_a_network_that_ends_in_a_softmax_may_be_wrapped_without_it() -> None:
    model = table(nn.Sequential(*dense(nn.ReLU()), nn.Softmax(-1)), output="probability")
    with pytest.raises(UserError, match="without its last softmax"):
        explainers.explain(model, X, "deep_lift")


def test_an_answer_that_does_not_add_up_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last guard: whatever the reason, the sum is compared with the output relative to the values' own size."""
    from explainers.engine import rescale

    honest = rescale.compare

    def wrong(*given: Any) -> rescale.Compared:
        found = honest(*given)
        return rescale.Compared(found.multipliers * 1.1, found.start, found.end)

    monkeypatch.setattr(rescale, "compare", wrong)
    with pytest.raises(UserError, match="would be wrong"):
        explainers.explain(table(dense(nn.ReLU())), X, "deep_shap", target=1, baseline=BASELINE)


# -- guided backpropagation --------------------------------------------------------------------------------------------


def test_captum_guided_backprop() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
    ).double()
    model = model_zoo.wrap(net, modality="image", class_names=["a", "b", "c"])
    x = PICTURE.astype(np.float32)
    found = explainers.explain(model, x, "guided_backprop", target=2)
    theirs = _captum(captum.attr.GuidedBackprop(net), x, target=2).sum(0)
    np.testing.assert_allclose(found.dense(), theirs, rtol=1e-6, atol=1e-12)
    plain = explainers.explain(model, x, "saliency", target=2).dense()
    assert not np.allclose(plain, theirs, rtol=0.01)


@pytest.mark.parametrize("name", ["F.relu", "one module twice"])
def test_guided_backprop_sees_functions(name: str) -> None:
    """Captum's gives the plain gradient for F.relu."""
    net = Written(WRITTEN[name])
    modules = nn.Sequential(net.one, nn.ReLU(), net.two, nn.ReLU(), net.out)
    theirs = _captum(captum.attr.GuidedBackprop(modules), X, target=1)
    found = explainers.explain(table(net), X, "guided_backprop", target=1)
    np.testing.assert_allclose(found.values, theirs, rtol=1e-6)
    assert not np.allclose(explainers.explain(table(net), X, "saliency", target=1).values, theirs, rtol=0.01)


def test_guided_backprop_without_relus_is_refused() -> None:
    with pytest.raises(UserError, match="it would be the plain gradient"):
        explainers.explain(table(dense(nn.Tanh())), X, "guided_backprop")
    with pytest.raises(UserError, match="a backward pass of its own"):
        explainers.explain(table(REFUSED["a function of its own"][0]()), X, "guided_backprop")


def test_guided_backprop_names_the_activations_that_keep_their_gradient() -> None:
    found = explainers.explain(table(dense(nn.ReLU(), nn.GELU(), nn.Tanh())), X, "guided_backprop")
    assert any("1 tanh, 1 GELU" in note for note in found.notes)


# -- the model stays as it was -----------------------------------------------------------------------------------------


class Breaks(nn.Module):
    """Fails in its n-th pass."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.left = dense(nn.ReLU(), nn.ReLU()), 10**6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("no more")
        return self.net(x)


@pytest.mark.parametrize("method", [*DEEP, "guided_backprop"])
def test_nothing_is_left_on_the_model(method: str) -> None:
    net = Breaks().train()
    model = table(net)
    before = _fingerprint(net)
    explainers.explain(model, X, method)
    assert _fingerprint(net) == before
    for left in range(4):
        net.left = left
        with pytest.raises(UserError, match="no more"):
            explainers.explain(model, X, method)
        assert _fingerprint(net) == before
    gelu = dense(nn.GELU())
    before = _fingerprint(gelu)
    with pytest.raises(UserError):
        explainers.explain(table(gelu), X, method)
    assert _fingerprint(gelu) == before


def test_rows_are_counted_and_shared_out_in_batches() -> None:
    net = dense(nn.ReLU(), nn.Sigmoid())
    whole = explainers.explain(table(net), X, "deep_shap", target=1, background=ROWS, batches=(7,))
    parts = explainers.explain(table(net), X, "deep_shap", target=1, background=ROWS, batches=(3, 1, 3))
    np.testing.assert_allclose(whole.values, parts.values, rtol=1e-12)
    assert parts.provenance.batches[:3] == (3, 1, 3)
    assert parts.cost.backward == 7
    seen: list[tuple[int, int]] = []
    run = explainers.engine.run.Run(on_progress=lambda done, total: seen.append((done, total)))
    explainers.explain(table(net), X, "deep_shap", target=1, background=ROWS, run=run)
    assert (7, 7) in seen


def _captum(method: Any, x: np.ndarray, **about: Any) -> np.ndarray:
    """A Captum method's values for one input; it warns of the hooks that it sets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method.attribute(_batch(x).requires_grad_(), **about)[0].detach().numpy()


def _batch(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x[None]).double()


def _fingerprint(module: nn.Module) -> str:
    found = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        found.update(name.encode() + tensor.numpy().tobytes())
    for name, one in module.named_modules():
        hooks = (one._forward_hooks, one._forward_pre_hooks, one._backward_hooks, one._backward_pre_hooks)
        found.update(f"{name} {one.training} {[len(held) for held in hooks]} {sorted(vars(one))}".encode())
    found.update(str([(one.requires_grad, one.grad) for one in module.parameters()]).encode())
    return found.hexdigest()
