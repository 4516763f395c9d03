"""The evaluator against the plain model, with memory that runs out and people who stop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers.engine.evaluator import Evaluator
from explainers.engine.run import Run
from model_zoo.types import Players, Reference, Target

TARGET = Target(1, "b", "probability")


def test_scores_are_the_models_own_whatever_the_batches(picture_model) -> None:
    inputs = torch.randn(37, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        direct = picture_model.network(inputs)
    for schedule in ((), (1,) * 37, (37,)):
        found = Evaluator(picture_model, Run(), schedule).scores(inputs)
        torch.testing.assert_close(found, direct, rtol=1e-4, atol=1e-6)


def test_masked_averages_over_the_reference_rows_and_evaluates_a_coalition_once(symmetric_model) -> None:
    sample = symmetric_model.sample(np.arange(5.0))
    players = Players("columns", np.array([0, 1, 2, 2, -1]), 3, ("p", "q", "r"))
    rows = np.random.default_rng(0).normal(size=(4, 5))
    coalitions = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]], dtype=bool)
    run = Run()
    evaluator = Evaluator(symmetric_model, run)
    found = evaluator.masked(sample, players, coalitions, Reference("given", rows, ""), TARGET)
    expected = []
    for present in coalitions:
        mixed = rows.copy()
        for feature, owner in enumerate(players.owner):
            if owner < 0 or present[owner]:
                mixed[:, feature] = sample.x[feature]
        with torch.no_grad():
            expected.append(symmetric_model.network(torch.tensor(mixed)).softmax(-1)[:, 1].mean().item())
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert evaluator.forward == 2 * 4
    assert run.done == 2 * 4


def test_out_of_memory_halves_the_batch_and_loses_nothing() -> None:
    class Small(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > 3:
                raise torch.OutOfMemoryError("pretended")
            return x * 2

    model = model_zoo.wrap(Small(), modality="tabular", task="regression", feature_names=["x"])
    evaluator = Evaluator(model, Run())
    inputs = torch.arange(50.0)[:, None]
    torch.testing.assert_close(evaluator.scores(inputs), inputs * 2)
    assert max(evaluator.batches) <= 3
    assert evaluator.forward == 50


def test_one_input_that_does_not_fit_is_a_sentence() -> None:
    class Hungry(torch.nn.Module):
        full = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.full:
                raise torch.OutOfMemoryError("pretended")
            return x

    model = model_zoo.wrap(Hungry(), modality="tabular", task="regression", feature_names=["x"])
    model.network.full = True
    with pytest.raises(explainers.UserError, match="needs more memory for one input"):
        Evaluator(model, Run()).scores(torch.zeros(4, 1))


def test_stopping_stops_at_the_next_batch(picture_model) -> None:
    asked = []
    run = Run(stop=lambda: len(asked) >= 3)
    evaluator = Evaluator(picture_model, run, (1,) * 10)
    run._on_progress = lambda done, total: asked.append(done)
    with pytest.raises(explainers.Cancelled):
        evaluator.scores(torch.zeros(10, 3, 32, 32))
    assert asked == [1, 2, 3]


def test_gradient_sums_are_weighted_sums_of_gradients(picture_model) -> None:
    points = torch.randn(9, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    weights = torch.rand(2, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    evaluator = Evaluator(picture_model, Run())
    each, values = evaluator.gradients(points, points[:1], TARGET)
    total, same = evaluator.gradient_sum(9, lambda part: points[part], points[:1], TARGET, weights)
    torch.testing.assert_close(total, torch.tensordot(weights, each, dims=1), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(values, same)
    assert evaluator.backward == 18


def test_a_model_without_a_gradient_says_so() -> None:
    class Steps(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.detach().round()

    model = model_zoo.wrap(Steps(), modality="tabular", task="regression", feature_names=["x"])
    with pytest.raises(explainers.UserError, match="which Steps does not have"):
        explainers.explain(model, np.array([1.0]), "saliency")
