"""Sampled Shapley values: the libraries' numbers for the same seed, and standard errors that cover."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import shap
import torch
from games import airport, cubic, shared, smooth, voting

import explainers
import model_zoo
from explainers.methods import regression_adjusted_shap
from model_zoo.model import Model
from model_zoo.types import UserError

WIDE = 13
SMALL = 8
GAMES = {
    "smooth": smooth(SMALL),
    "cubic": cubic(SMALL),
    "airport": airport(np.arange(1.0, SMALL + 1) ** 1.5),
    "voting": voting(np.array([9.0, 7, 5, 5, 4, 3, 3, 2]), 19),
}


@pytest.fixture
def table() -> tuple[Model, torch.nn.Module, np.ndarray, np.ndarray]:
    """A model, its network, a row and a background."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(WIDE, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)).double()
    random = np.random.default_rng(1)
    x, rows = random.normal(size=WIDE), random.normal(size=(3, WIDE))
    return model_zoo.wrap(network, modality="tabular", output="logit", background=rows), network, x, rows


def test_captums_kernel_numbers_for_the_same_seed(table) -> None:
    model, network, x, rows = table
    found = explainers.explain(
        model, x, "captum_kernel_shap", target=1, output="logit", baseline=rows[0], seed=4, n_samples=200
    )
    torch.manual_seed(4)
    method = captum.attr.KernelShap(lambda inputs: network(inputs)[:, 1])
    theirs = method.attribute(torch.tensor(x)[None], torch.tensor(rows[:1]), n_samples=200).numpy()[0]
    np.testing.assert_allclose(found.values, theirs, atol=1e-4 * np.ptp(theirs))


def test_captums_sampling_numbers_for_the_same_seed(table) -> None:
    """Of one baseline; over several rows ours is the mean, since orders are the same."""
    model, network, x, rows = table
    found = explainers.explain(model, x, "shapley_sampling", target=1, seed=4, n_samples=9)
    theirs = []
    for row in rows:
        torch.manual_seed(4)
        method = captum.attr.ShapleyValueSampling(lambda inputs: network(inputs)[:, 1])
        theirs.append(method.attribute(torch.tensor(x)[None], torch.tensor(row)[None], n_samples=9).numpy()[0])
    expected = np.mean(theirs, axis=0)
    np.testing.assert_allclose(found.values, expected, atol=1e-5 * np.ptp(expected))


def test_shaps_permutation_numbers_for_the_same_seed(table) -> None:
    model, network, x, rows = table
    rows = rows.copy()
    rows[:, 2] = x[2]  # the library draws no order of what does not vary, nor do we
    model = model_zoo.wrap(network, modality="tabular", output="logit", background=rows)
    found = explainers.explain(model, x, "permutation_shap", target=1, seed=4, npermutations=7)
    bare = lambda given: network(torch.tensor(given))[:, 1].detach().numpy()  # noqa: E731
    explainer = shap.PermutationExplainer(bare, shap.maskers.Independent(rows), seed=4)
    theirs = explainer(x[None], max_evals=7 * (2 * (WIDE - 1) + 1)).values[0]
    np.testing.assert_allclose(found.values, theirs, atol=1e-9 * np.ptp(theirs))
    assert "14 orders" in found.flavour  # seven, each also backwards: none is lost (shap issue 4433)
    assert found.values[2] == found.std_error[2] == 0


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("kernel_shap", {"nsamples": 70}),
        ("captum_kernel_shap", {"n_samples": 90}),
        ("permutation_shap", {"npermutations": 15}),
        ("shapley_sampling", {"n_samples": 30}),
        ("leverage_shap", {"nsamples": 70}),
        ("regression_adjusted_shap", {"nsamples": 70}),
    ],
)
def test_standard_errors_cover_at_their_nominal_rate(method: str, count: dict[str, int], monkeypatch) -> None:
    """|φ̂ - φ| ≤ 1.96 errors in 95 % of cases, 90 to 98 allowed, over 200 runs of small games."""
    if method == "regression_adjusted_shap":  # the trees are most of the time
        monkeypatch.setitem(regression_adjusted_shap.TREES, "n_estimators", 10)
        monkeypatch.setattr(regression_adjusted_shap, "FOLDS", 3)
    orders = method in ("permutation_shap", "shapley_sampling")
    covered = []
    for name, worth in GAMES.items():
        if orders and name == "voting":  # whoever was never pivotal in few orders has no error that could be told
            continue
        true = shared(worth, SMALL, "exact_shapley").values
        for seed in range(200 // (3 if orders else 4) + 1):
            found = shared(worth, SMALL, method, seed=seed, **count)
            covered.append(np.abs(found.values - true) <= 1.96 * found.std_error + 1e-12)
    assert len(covered) >= 200
    assert 0.90 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize("method", ["permutation_shap", "leverage_shap", "regression_adjusted_shap"])
def test_pairs_cancel_in_complements(method: str) -> None:
    """Interactions of pairs alone are explained exactly, from few coalitions: φ_i = a_i + sum of b_ij / 2."""
    random = np.random.default_rng(0)
    single, pairs = random.normal(size=WIDE), np.triu(random.normal(size=(WIDE, WIDE)), 1)
    count = {"npermutations": 2} if method == "permutation_shap" else {"nsamples": 60}
    found = shared(lambda rows: rows @ single + ((rows @ pairs) * rows).sum(1), WIDE, method, **count)
    np.testing.assert_allclose(found.values, single + (pairs.sum(0) + pairs.sum(1)) / 2, atol=1e-9)
    assert found.std_error.max() < 1e-9


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("captum_kernel_shap", {"n_samples": 25}),
        ("leverage_shap", {"nsamples": 25}),
        ("shapley_sampling", {"n_samples": 1}),
    ],
)
def test_too_few_samples_are_refused(method: str, count: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"or 0|or for 0"):
        shared(cubic(30), 30, method, **count)


@pytest.mark.parametrize(
    "method",
    ["captum_kernel_shap", "permutation_shap", "shapley_sampling", "leverage_shap", "regression_adjusted_shap"],
)
def test_partial_results_come_on_the_way_and_change_nothing(method: str, table) -> None:
    from explainers.engine.run import Run

    model, _, x, _ = table
    seen: list[explainers.Attribution] = []
    watched = explainers.explain(model, x, method, target=1, seed=2, run=Run(on_partial=seen.append))
    alone = explainers.explain(model, x, method, target=1, seed=2)
    assert len(seen) >= 3
    assert all(np.isfinite(one.values).all() for one in seen)
    np.testing.assert_allclose(watched.values, alone.values, atol=1e-9)
