"""What every call into the shap and lime libraries needs: their random stream, and quiet.

Both draw from numpy's global generator, or may; both draw progress bars; both warn where we say a sentence ourselves.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """numpy's global generator from `seed` inside, and as it was afterwards."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


@contextlib.contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Collect warnings instead of showing them; the caller reads those that a person should hear of."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield heard


def largest_error(std_error: np.ndarray, values: np.ndarray) -> float:
    """The largest standard error over the range of the values (Covert and Lee, 2021, arXiv:2012.01536)."""
    spread = float(np.ptp(values)) if len(values) > 1 else float(np.abs(values).max(initial=0.0))
    worst = float(std_error.max(initial=0.0))
    if worst == 0.0:
        return 0.0
    return worst / spread if spread > 0 else float("inf")
