"""VarGrad: Captum's numbers, a closed form, and a standard error that covers."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers.engine import noise

SLOPES = np.array([1.0, -2.0, 0.0, 0.5])
X = np.array([1.0, -1.0, 3.0, 0.5])


class Square(torch.nn.Module):
    """F = Σ a_i x_i² / 2: its gradient a_i x_i is normal where the noise is."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("a", torch.tensor(SLOPES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.a * x**2 / 2).sum(1, keepdim=True)


@pytest.fixture
def square() -> model_zoo.Model:
    return model_zoo.wrap(Square(), modality="tabular", task="regression")


def test_captums_numbers(picture_model, picture) -> None:
    found = explainers.explain(picture_model, picture, "vargrad", target=0, samples=20, noise=0.1, seed=7)
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(picture_model.network))
    torch.manual_seed(7)
    theirs = tunnel.attribute(
        torch.tensor(picture[None], requires_grad=True),
        nt_type="vargrad",
        nt_samples=20,
        stdevs=0.1 * float(picture.max() - picture.min()),
        target=0,
        abs=False,
    )
    theirs = theirs[0].sum(0).detach().numpy()
    np.testing.assert_allclose(found.dense(), theirs, rtol=1e-3, atol=1e-5 * theirs.max())


def test_the_variance_of_a_normal_gradient(square) -> None:
    """a_i² σ², within its standard error."""
    found = explainers.explain(square, X, "vargrad", samples=1000, noise=0.1)
    true = (SLOPES * 0.1 * np.ptp(X)) ** 2
    assert (np.abs(found.values - true) <= 4 * found.std_error).all()
    assert found.values[2] == 0
    np.testing.assert_allclose(found.std_error, true * np.sqrt(2 / 1000), rtol=0.2)


def test_it_is_the_variance_of_the_draws_that_smoothgrad_averages(square, monkeypatch) -> None:
    kept = []
    stream = noise.gradients

    def listening(*given):
        for draws in stream(*given):
            kept.append(draws.gradients)
            yield draws

    monkeypatch.setattr(noise, "KEPT", 12)  # three draws at a time
    monkeypatch.setattr(noise, "gradients", listening)
    varied = explainers.explain(square, X, "vargrad", samples=17, seed=2)
    draws = torch.cat(kept).numpy()
    assert len(kept) == 6
    np.testing.assert_allclose(varied.values, draws.var(0), rtol=1e-12)
    averaged = explainers.explain(square, X, "smoothgrad", samples=17, seed=2)
    np.testing.assert_allclose(averaged.values, draws.mean(0), rtol=1e-12)


def test_the_standard_error_covers(square) -> None:
    """An error of two covers about 95 % of the time; the variance of 40 draws is skewed, so a little less."""
    true = (SLOPES[0] * 0.15 * np.ptp(X)) ** 2 * 39 / 40  # captum's divides by n
    inside = 0
    for seed in range(200):
        found = explainers.explain(square, X, "vargrad", samples=40, seed=seed)
        inside += abs(found.values[0] - true) <= 1.96 * found.std_error[0]
    assert 0.84 <= inside / 200 <= 0.98


def test_a_linear_model_has_no_variance(linear_model) -> None:
    model, _ = linear_model()
    found = explainers.explain(model, np.arange(5.0), "vargrad", target=1)
    np.testing.assert_allclose(found.values, 0, atol=1e-25)
    assert found.unit.endswith("²")


def test_a_text() -> None:
    model = model_zoo.load("bilstm_reviews")
    found = explainers.explain(model, "a good film, well made", "vargrad", samples=6)
    assert found.values.any()
    assert (found.values >= 0).all()
