"""Shapley values as the weighted least squares fit of what coalitions are worth, and how far that fit can be trusted.

    min over φ of sum over S of w(S) · (v(S) - v(nobody) - sum of φ_i over i in S)²,
    w(S) = 1 / (C(d, s) · s · (d - s)),   s players of d,
with sum φ = v(everybody) - v(nobody), is solved by the Shapley values (Charnes and others, 1988). Of sampled coalitions
each counts w(S) over its chance of being drawn. The sum is met by subtracting s / d of it from everything.
Standard errors: the sandwich (AᵀWA)⁻¹ (sum of g gᵀ) (AᵀWA)⁻¹ of the rows' own pulls g = W a e / (1 - h), e what the fit
misses and h the row's own leverage, as leaving out one row at a time would give (HC3); a row that was certain to be
drawn adds nothing. MacKinnon and White (1985).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

CLOSEST = 0.05  # the least that 1 - h may be: a row that the fit passes through by itself tells nothing of its error


@dataclass(frozen=True)
class Fit:
    """Values (d,) with their standard errors (d,), and what each row misses (n,)."""

    values: np.ndarray
    std_error: np.ndarray
    missed: np.ndarray


def kernel(players: int, sizes: np.ndarray) -> np.ndarray:
    """w (n,) of coalitions of these sizes, relative to those of the largest weight."""
    ways = gammaln(players + 1) - gammaln(sizes + 1) - gammaln(players - sizes + 1)
    logs = -ways - np.log(sizes * (players - sizes))
    return np.exp(logs - logs.max(initial=-np.inf))


def fit(
    present: np.ndarray, worths: np.ndarray, weights: np.ndarray, total: float, uncertain: np.ndarray | None = None
) -> Fit:
    """The fit of worths (n,), v(nobody) subtracted, on coalitions (n, d) that gives values of sum `total`.

    uncertain: (n,) how much of a row's error counts: 1 - its chance of being drawn; None counts all of it.
    """
    players = present.shape[1]
    share = present.mean(1)
    design, aim = present - share[:, None], worths - share * total
    root = np.sqrt(weights)
    left, spread, right = np.linalg.svd(design * root[:, None], full_matrices=False)
    left, spread, right = left[:, : players - 1], spread[: players - 1], right[: players - 1]  # one direction is fixed
    solid = spread > 1e-12 * spread.max(initial=0.0)
    left, inverse = left[:, solid], right[solid].T / spread[solid]
    deviations = inverse @ (left.T @ (aim * root))
    missed = aim - design @ deviations
    own = (left**2).sum(1)
    pull = left * (root * missed / np.maximum(1 - own, CLOSEST))[:, None]
    if uncertain is not None:
        pull = pull * np.sqrt(uncertain)[:, None]
    error = np.sqrt(((pull @ inverse.T) ** 2).sum(0))
    return Fit(deviations + total / players, error, missed)
