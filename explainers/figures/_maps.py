"""The map that a picture shows: a method's values on the model's pixels, smoothed where they are mere speckle.

Neighbouring pixels of a gradient method cancel, and are smaller than a screen's. Where a narrow Gaussian takes much of
the mass away, the smoothed map is shown, the caption says so, and pointing still gives each pixel's own value.
"""

from __future__ import annotations

import numpy as np

from explainers.types import Explanation

SIGMA = 1.1  # pixels of the map: the Gaussian's standard deviation
SPECKLE = 0.6  # a map that keeps less of its mass than this is speckle


def visible(explanation: Explanation) -> tuple[np.ndarray, bool]:
    """The map (height, width), float64, as it is coloured, and whether it was smoothed."""
    dense = explanation.dense()
    if explanation.players.kind != "pixels" or min(dense.shape) < 64:
        return dense, False
    smooth = _gaussian(dense, SIGMA)
    speckled = np.abs(smooth).sum() < SPECKLE * np.abs(dense).sum()
    return (smooth, True) if speckled else (dense, False)


def _gaussian(dense: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian filter along both axes, edges repeated."""
    reach = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        pad = [(reach, reach) if one == axis else (0, 0) for one in (0, 1)]
        padded, length = np.pad(dense, pad, mode="edge"), dense.shape[axis]
        dense = sum(
            weight * np.take(padded, range(place, place + length), axis=axis) for place, weight in enumerate(taps)
        )
    return dense
