"""LIME's weighted ridge regression, with what went into it and how far its coefficients can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

from explainers.words import percent

HALF = 0.5  # of the variation; a line that explains less is said to be a poor one


class Surrogate:
    """The library's weighted ridge, in the place of an explainer's `base`: it keeps what went in and what came out."""

    def __init__(self, base: Any) -> None:
        self.base = base

    def explain_instance_with_data(
        self, data: Any, labels: np.ndarray, distances: np.ndarray, label: int, num_features: int, **options: Any
    ) -> Any:
        """Fit, as lime_base.LimeBase does, on every feature."""
        found = self.base.explain_instance_with_data(
            data, labels, distances, label, num_features, **(options | {"feature_selection": "none"})
        )
        self.intercept, pairs, self.r2 = float(found[0]), found[1], float(found[2])
        self.data, self.labels = np.asarray(data, dtype=np.float64), np.asarray(labels, dtype=np.float64)[:, label]
        self.weights = np.asarray(self.base.kernel_fn(distances))
        self.coefficients = np.zeros(self.data.shape[1])
        for feature, value in pairs:
            self.coefficients[feature] = value
        return found

    def std_error(self) -> np.ndarray:
        """(features,): the square root of A⁻¹ (Σ w² e² z zᵀ) A⁻¹ · n / (n - features), A the ridge's normal matrix."""
        w = self.weights
        z = self.data - np.average(self.data, axis=0, weights=w)
        missed = self.labels - self.intercept - self.data @ self.coefficients
        normal = (z * w[:, None]).T @ z + np.eye(z.shape[1])  # the library's ridge has alpha 1
        scores = z * (w * missed)[:, None]
        inverse = np.linalg.inv(normal)
        spare = max(1, len(z) - z.shape[1])
        return np.sqrt(np.maximum(np.diag(inverse @ (scores.T @ scores) @ inverse), 0) * len(z) / spare)


def follows(r2: float) -> str:
    """How far a line follows the model, and a warning where that is less than half, in a sentence."""
    says = f"The linear surrogate explains {percent(max(r2, 0.0))} of the model's variation nearby"
    return f"{says}; below half, so treat its values as rough." if r2 < HALF else f"{says}."
