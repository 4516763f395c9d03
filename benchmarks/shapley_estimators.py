"""Shapley estimators at 8 d evaluations, beside the figures that the leverage-SHAP paper published.

    python -m benchmarks.shapley_estimators [--runs 100] [--repeats 1]

Diabetes (scikit-learn) and the two synthetic problems of shap's data sets: 100 XGBoost trees of depth 4, the mean of
the training rows as the one baseline, true values by interventional tree SHAP on it, error |φ̂ - φ|² / |φ|². Inputs are
drawn as the paper's code draws them: run i has seed 100 i, and a value that equals the baseline's is taken from another
row. What nobody and everybody are worth is known besides, as it is there.
The trees of regression_adjusted_shap (depth, number, folds) were chosen on the first 30 inputs of these same problems.
Reference: Musco and Witter (2024), arXiv:2410.01917; its figures are compared with our means.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import explainers
import model_zoo
from benchmarks.measure import commit, machine

PROBLEMS = {"Diabetes": "diabetes", "Independent60": "independentlinear60", "Correlated60": "corrgroups60"}
PUBLISHED = {"kernel_shap": (0.0124, 0.0062, 0.0145), "the paper's best": (0.0031, 0.0034, 0.0078)}
METHODS = (
    "kernel_shap",
    "captum_kernel_shap",
    "permutation_shap",
    "shapley_sampling",
    "leverage_shap",
    "regression_adjusted_shap",
)
EACH = 8  # evaluations a player


@dataclass(frozen=True)
class Problem:
    """Trees as a model, inputs (runs, d) and their values (runs, d)."""

    model: model_zoo.Model
    inputs: np.ndarray
    values: np.ndarray


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=1, help="other seeds of the estimators for the same inputs")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    problems = {name: _problem(loader, asked.runs) for name, loader in PROBLEMS.items()}
    print(f"{machine()}; commit {commit()}; {asked.runs} runs, {asked.repeats} seeds each\n")
    print(f"Means and, in brackets, quartiles of |φ̂ - φ|² / |φ|² at {EACH} d evaluations:\n")
    print(f"| estimator | {' | '.join(problems)} |\n|---|{'---|' * len(problems)}")
    for method in METHODS:
        cells = [_cell(np.array(list(_errors(one, method, asked.repeats)))) for one in problems.values()]
        print(f"| {method} | {' | '.join(cells)} |", flush=True)
        if method in PUBLISHED:
            print(_published(method), flush=True)
    print(_published("the paper's best"))


def _problem(loader: str, runs: int) -> Problem:
    import shap
    from xgboost import XGBRegressor

    table, labels = getattr(shap.datasets, loader)()
    trees = XGBRegressor(n_estimators=100, max_depth=4, n_jobs=1).fit(table, labels)
    rows = np.asarray(table, dtype=np.float64)
    baseline = np.asarray(table.mean(), dtype=np.float64)
    inputs = np.array([_input(rows, baseline, 100 * run) for run in range(runs)])
    values = shap.TreeExplainer(trees, baseline[None]).shap_values(inputs)
    model = model_zoo.wrap(
        lambda given: trees.predict(given)[:, None], modality="tabular", task="regression", baseline=baseline
    )
    return Problem(model, inputs, np.asarray(values, dtype=np.float64))


def _input(rows: np.ndarray, baseline: np.ndarray, seed: int) -> np.ndarray:
    random = np.random.RandomState(seed)
    found = rows[random.choice(len(rows))].copy()
    for column in range(len(found)):
        while found[column] == baseline[column]:
            found[column] = rows[random.choice(len(rows)), column]
    return found


def _errors(problem: Problem, method: str, repeats: int) -> Iterator[float]:
    players = problem.inputs.shape[1]
    count = EACH * players
    budget: dict[str, dict[str, Any]] = {
        "permutation_shap": {"npermutations": count // (2 * players)},
        "shapley_sampling": {"n_samples": count // players},
        "captum_kernel_shap": {"n_samples": count},
    }
    for repeat in range(repeats):
        for run, (x, true) in enumerate(zip(problem.inputs, problem.values, strict=True)):
            options = budget.get(method, {"nsamples": count})
            found = explainers.explain(problem.model, x, method, seed=1000 * repeat + run, **options).values
            yield float(((found - true) ** 2).sum() / (true**2).sum())


def _cell(errors: np.ndarray) -> str:
    low, middle, high = np.percentile(errors, (25, 50, 75))
    return f"{errors.mean():.4f} ({low:.4f}, {middle:.4f}, {high:.4f})"


def _published(name: str) -> str:
    return f"| {name}, published | {' | '.join(f'{one:.4f}' for one in PUBLISHED[name])} |"


if __name__ == "__main__":
    main()
