"""Expected gradients: the mean of integrated gradients over the rows of a background."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers.engine.run import Run
from explainers.methods import integrated_gradients
from explainers.types import Attribution, Verdict

X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])


def test_it_is_the_mean_of_integrated_gradients_over_the_rows(symmetric_model) -> None:
    rows = np.random.default_rng(0).normal(size=(7, 5))
    found = explainers.explain(symmetric_model, X, "expected_gradients", target=1, background=rows)
    each = [
        explainers.explain(symmetric_model, X, "integrated_gradients", target=1, baseline=row, steps=512).values
        for row in rows
    ]
    np.testing.assert_allclose(found.values, np.mean(each, 0), rtol=1e-4)
    assert "from 7 baselines" in found.flavour
    assert found.evidence[0].verdict is Verdict.GOOD
    assert found.evidence[1].verdict is Verdict.GOOD


def test_a_quadratic_form() -> None:
    """F = xᵀ Q x / 2 with Q symmetric: EG_i = mean over b of (x_i - b_i) (Q (x + b) / 2)_i."""

    class Form(torch.nn.Module):
        def __init__(self, q: np.ndarray) -> None:
            super().__init__()
            self.register_buffer("q", torch.tensor(q))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return ((x @ self.q) * x).sum(1) / 2

    rng = np.random.default_rng(1)
    q = rng.normal(size=(5, 5))
    q = q + q.T
    rows = rng.normal(size=(11, 5))
    model = model_zoo.wrap(Form(q), modality="tabular", task="regression", background=rows)
    found = explainers.explain(model, X, "expected_gradients")
    true = ((X - rows) * ((X + rows) / 2 @ q)).mean(0)
    np.testing.assert_allclose(found.values, true, rtol=1e-9)


def test_a_few_rows_at_a_time(symmetric_model, monkeypatch) -> None:
    rows = np.random.default_rng(3).normal(size=(9, 5))
    whole = explainers.explain(symmetric_model, X, "expected_gradients", target=0, background=rows)
    monkeypatch.setattr(integrated_gradients, "HELD", 400)
    parts = explainers.explain(symmetric_model, X, "expected_gradients", target=0, background=rows)
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-12)
    assert parts.cost.backward == whole.cost.backward


class Steep(torch.nn.Module):
    """A number that changes in a small part of each path."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (torch.sigmoid(40 * x[:, :1] - 20) + x[:, 1:].square().sum(1, keepdim=True) / 10)[:, 0]


def test_it_refines_until_settled() -> None:
    model = model_zoo.wrap(Steep(), modality="tabular", task="regression", background=np.zeros((3, 5)))
    rough = explainers.explain(model, X, "expected_gradients", most=16)
    seen: list[Attribution] = []
    fine = explainers.explain(model, X, "expected_gradients", run=Run(on_partial=seen.append))
    assert fine.cost.backward > rough.cost.backward
    assert fine.evidence[1].value < 0.01 < rough.evidence[1].value
    assert len(seen) >= 2
    assert fine.values[0] == pytest.approx(1.0, abs=0.01)


def test_one_row_is_integrated_gradients(picture_model, picture) -> None:
    found = explainers.explain(picture_model, picture, "expected_gradients", target=2, steps=64, most=64)
    same = explainers.explain(picture_model, picture, "integrated_gradients", target=2, steps=64, most=64)
    np.testing.assert_allclose(found.values, same.values, rtol=1e-5, atol=1e-10)
    assert found.notes == ("There is one row to compare with, so these are the integrated gradients from it.",)


@pytest.mark.parametrize("name", ["adult_mlp", "bilstm_reviews"])
def test_bundled_models(name: str) -> None:
    model = model_zoo.load(name)
    raw = ("a good film",) if name == "bilstm_reviews" else model_zoo.read_example("adult_manager")
    found = explainers.explain(model, model.sample(*raw), "expected_gradients", steps=8, most=64)
    assert found.evidence[0].verdict is Verdict.GOOD
