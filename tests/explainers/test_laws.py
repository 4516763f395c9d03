"""What every method owes: laws over the registry, against closed forms."""

from __future__ import annotations

import copy
import hashlib

import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers import registry
from explainers.types import Verdict
from model_zoo.model import Model

METHODS = registry.methods()
TABULAR = [one for one in METHODS if "tabular" in one.modalities and not one.needs & ~model_zoo.Capability.GRADIENTS]
ADDITIVE = [one for one in TABULAR if one.completeness != "no"]
IDS = {"ids": lambda method: method.id}
X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
BASELINE = np.array([0.5, 0.0, -1.0, 1.0, 2.0])


def test_every_plug_in_loads() -> None:
    assert registry.broken() == ()


def test_the_methods_of_this_release() -> None:
    wanted = {
        "saliency", "input_x_gradient", "integrated_gradients", "expected_gradients", "smoothgrad", "vargrad",
        "deep_lift", "deep_lift_shap", "guided_backprop", "lrp", "layer_integrated_gradients", "layer_conductance",
        "grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "eigen_cam", "score_cam",
        "occlusion", "feature_ablation", "feature_permutation", "rise", "lime", "captum_lime", "anchors",
        "exact_shapley", "kernel_shap", "captum_kernel_shap", "permutation_shap", "shapley_sampling", "leverage_shap",
        "regression_adjusted_shap", "partition_shap", "gradient_shap", "deep_shap", "tree_shap", "linear_shap",
        "shapley_interactions",
        "attention", "attention_rollout", "attention_flow", "gradient_attention", "attention_norms", "cross_attention",
    }  # fmt: skip
    assert wanted <= {one.id for one in METHODS}


@pytest.mark.parametrize("method", METHODS, **IDS)
def test_a_method_introduces_itself(method: explainers.Method) -> None:
    assert method.title
    assert method.source
    assert method.library in ("captum", "shap", "lime", "assay")
    assert method.summary.endswith(".")
    assert len(method.summary) < 200


@pytest.mark.parametrize("method", ADDITIVE, **IDS)
def test_a_linear_model_is_explained_exactly(method: explainers.Method, linear_model) -> None:
    """F(x) = W x + c has one additive answer: W[target] · (x - baseline)."""
    model, weights = linear_model()
    found = explainers.explain(model, X, method.id, target=1, baseline=BASELINE)
    np.testing.assert_allclose(found.values, weights[1] * (X - BASELINE), rtol=1e-4, atol=1e-9)
    assert found.evidence[0].verdict in (Verdict.GOOD, Verdict.BY_CONSTRUCTION)


def test_other_methods_on_a_linear_model(linear_model) -> None:
    model, weights = linear_model()
    one = {
        name: explainers.explain(model, X, name, target=2) for name in ("saliency", "input_x_gradient", "smoothgrad")
    }
    np.testing.assert_allclose(one["saliency"].values, weights[2])
    np.testing.assert_allclose(one["input_x_gradient"].values, weights[2] * X)
    np.testing.assert_allclose(one["smoothgrad"].values, weights[2])
    left_out = explainers.explain(model, X, "occlusion", target=2, baseline=BASELINE)
    np.testing.assert_allclose(left_out.values, weights[2] * (X - BASELINE))


@pytest.mark.parametrize("method", TABULAR, **IDS)
def test_an_unused_feature_gets_nothing_and_equals_get_the_same(method: explainers.Method, symmetric_model) -> None:
    x = X.copy()
    x[1] = x[0]
    found = explainers.explain(_accepted(symmetric_model, method), x, method.id, target=0)
    scale = np.abs(found.values).max()
    if method.id == "lime":  # a sampled surrogate holds these laws up to its noise
        assert abs(found.values[4]) < 0.1 * scale
        return
    assert abs(found.values[4]) <= 1e-6 * scale
    np.testing.assert_allclose(found.values[0], found.values[1], rtol=1e-3, atol=1e-6 * scale)


@pytest.mark.parametrize("method", ADDITIVE, **IDS)
def test_values_add_up(method: explainers.Method, symmetric_model) -> None:
    found = explainers.explain(_accepted(symmetric_model, method), X, method.id, target=2)
    error = abs(found.values.sum() - (found.explained - found.base_value)) / np.abs(found.values).sum()
    assert error < (0.25 if method.id == "gradient_shap" else 0.01)  # 200 draws, with their standard error as evidence


@pytest.mark.parametrize("method", TABULAR, **IDS)
def test_the_same_seed_gives_the_same_bytes(method: explainers.Method, symmetric_model) -> None:
    _accepted(symmetric_model, method)
    first = explainers.explain(symmetric_model, X, method.id, target=0, seed=3)
    again = explainers.explain(symmetric_model, X, method.id, target=0, seed=3, batches=first.provenance.batches)
    assert first.values.tobytes() == again.values.tobytes()


def _accepted(model: Model, method: explainers.Method) -> Model:
    """The model, with ReLUs where a method would be wrong for its smooth activations, or none where for any."""
    for curve in (torch.relu, torch.nn.Identity()):
        with model.frozen():
            if method.refuses(model, model.sample(X)):
                model.network.curve = curve
    return model


@pytest.mark.parametrize("method", TABULAR, **IDS)
def test_the_model_and_global_randomness_are_left_as_they_were(method: explainers.Method) -> None:
    torch.manual_seed(0)
    curve = torch.nn.Identity() if method.id == "linear_shap" else torch.nn.ReLU()
    module = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.BatchNorm1d(8), curve, torch.nn.Linear(8, 2))
    module.train()
    model = model_zoo.wrap(module, modality="tabular", background=np.zeros((2, 5)))
    before, state, numpy_state = _fingerprint(module), torch.get_rng_state(), np.random.get_state()[1].copy()
    explainers.explain(model, X, method.id)
    assert _fingerprint(module) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def _fingerprint(module: torch.nn.Module) -> str:
    found = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        found.update(name.encode() + tensor.numpy().tobytes())
    for name, one in module.named_modules():
        hooks = (one._forward_hooks, one._forward_pre_hooks, one._backward_hooks)
        found.update(f"{name} {one.training} {[len(h) for h in hooks]}".encode())
    found.update(str([(p.requires_grad, p.grad) for p in module.parameters()]).encode())
    return found.hexdigest()


def test_a_kink_does_not_hide_a_feature() -> None:
    """1 - ReLU(1 - x) at x = 2: the gradient is 0 there, yet x moved the output from 0 to 1."""

    class Kink(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 1 - torch.relu(1 - x)

    model = model_zoo.wrap(Kink(), modality="tabular", task="regression", feature_names=["x"])
    found = explainers.explain(model, np.array([2.0]), "integrated_gradients", baseline=0.0)
    assert found.values[0] == pytest.approx(1.0, abs=0.01)


def test_nets_that_compute_the_same_get_the_same() -> None:
    """Implementation invariance: a net, and the same with its hidden units doubled and halved in weight."""
    torch.manual_seed(5)
    net = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)).double()
    twin = copy.deepcopy(net)
    twin[0] = torch.nn.Linear(5, 12).double()
    twin[2] = torch.nn.Linear(12, 2).double()
    with torch.no_grad():
        twin[0].weight.copy_(net[0].weight.repeat(2, 1))
        twin[0].bias.copy_(net[0].bias.repeat(2))
        twin[2].weight.copy_(net[2].weight.repeat(1, 2) / 2)
        twin[2].bias.copy_(net[2].bias)
    one, two = (
        explainers.explain(model_zoo.wrap(m, modality="tabular"), X, "integrated_gradients", target=0).values
        for m in (net, twin)
    )
    np.testing.assert_allclose(one, two, rtol=1e-9)


def test_a_method_is_found_by_its_id_title_and_aliases() -> None:
    for one in METHODS:
        for name in (one.id, one.title, one.title.upper(), one.id.replace("_", "-"), *one.aliases):
            assert registry.method(name).id == one.id, name
