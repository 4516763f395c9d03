"""What is named after a Captum method gives Captum's numbers."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch

import explainers
from explainers.methods import occlusion


def test_saliency(picture_model, picture) -> None:
    found = explainers.explain(picture_model, picture, "saliency", target=2)
    theirs = captum.attr.Saliency(picture_model.network).attribute(_leaf(picture), target=2, abs=False)
    np.testing.assert_allclose(found.dense(), theirs[0].sum(0).detach(), rtol=1e-4, atol=1e-8)


def test_input_x_gradient(picture_model, picture) -> None:
    found = explainers.explain(picture_model, picture, "input_x_gradient", target=2)
    theirs = captum.attr.InputXGradient(picture_model.network).attribute(_leaf(picture), target=2)
    np.testing.assert_allclose(found.dense(), theirs[0].sum(0).detach(), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("rule", ["gausslegendre", "riemann_trapezoid", "riemann_middle"])
def test_integrated_gradients_by_captums_rules(picture_model, picture, rule: str) -> None:
    found = explainers.explain(
        picture_model, picture, "integrated_gradients", target=1, steps=50, rule=rule, baseline=0.25
    )
    theirs = captum.attr.IntegratedGradients(picture_model.network).attribute(
        torch.tensor(picture[None]), baselines=0.25, target=1, n_steps=50, method=rule
    )
    np.testing.assert_allclose(found.dense(), theirs[0].sum(0).detach(), rtol=1e-3, atol=1e-7)


def test_the_nested_rule_agrees_with_captum_at_many_steps(picture_model, picture) -> None:
    found = explainers.explain(picture_model, picture, "integrated_gradients", target=1, tolerance=0.001)
    theirs = captum.attr.IntegratedGradients(picture_model.network).attribute(
        torch.tensor(picture[None]), baselines=0.0, target=1, n_steps=500, internal_batch_size=50
    )
    theirs = theirs[0].sum(0).detach().numpy()
    assert np.abs(found.dense() - theirs).sum() < 0.01 * np.abs(theirs).sum()


def test_smoothgrad(picture_model, picture) -> None:
    found = explainers.explain(picture_model, picture, "smoothgrad", target=0, samples=20, noise=0.1, seed=7)
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(picture_model.network))
    torch.manual_seed(7)
    spread = 0.1 * float(picture.max() - picture.min())
    theirs = tunnel.attribute(_leaf(picture), nt_samples=20, stdevs=spread, target=0, abs=False)
    np.testing.assert_allclose(found.dense(), theirs[0].sum(0).detach(), rtol=1e-3, atol=1e-7)


def test_occlusion_by_a_sliding_window(picture_model, picture) -> None:
    found = explainers.explain(picture_model, picture, "occlusion", target=3, baseline=0.0)
    places, (tall, wide) = occlusion.windows(32, 32, occlusion.Params())
    assert (tall, wide, len(places)) == (4, 4, 15 * 15)
    theirs = captum.attr.Occlusion(picture_model.network).attribute(
        torch.tensor(picture[None]), sliding_window_shapes=(3, 4, 4), strides=(3, 2, 2), baselines=0, target=3
    )
    np.testing.assert_allclose(found.dense(), theirs[0, 0].detach(), rtol=1e-3, atol=1e-6)


def test_occlusion_of_segments_is_feature_ablation(picture_model, picture) -> None:
    sample = picture_model.sample(picture)
    players = picture_model.input.players(sample, "segments")
    found = explainers.explain(picture_model, sample, "occlusion", target=3, players=players, baseline=0.0)
    mask = torch.tensor(players.owner).long().expand(1, 3, 32, 32)
    theirs = captum.attr.FeatureAblation(picture_model.network).attribute(
        torch.tensor(picture[None]), feature_mask=mask, baselines=0, target=3
    )
    np.testing.assert_allclose(found.dense(), theirs[0, 0].detach(), rtol=1e-3, atol=1e-6)


def _leaf(picture: np.ndarray) -> torch.Tensor:
    return torch.tensor(picture[None], requires_grad=True)
