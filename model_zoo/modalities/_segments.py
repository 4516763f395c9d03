"""Segments of a picture, as players: connected, following its edges, and named by where they lie.

Reference: Achanta et al. (2012), SLIC superpixels, by scikit-image.
"""

from __future__ import annotations

import numpy as np

SEGMENTS = 70  # with SLIC's freedom 40 to 120: few enough to explain, many enough to follow a shape


def segments(picture: np.ndarray, wanted: int = SEGMENTS) -> np.ndarray:
    """About `wanted` connected segments, whole numbers (H, W) from 0, that follow the picture uint8 (H, W, 3).

    The same picture gives the same segments.
    """
    from skimage.segmentation import slic  # slow to import

    height, width = picture.shape[:2]
    wanted = min(wanted, height * width)
    best, asked = np.zeros((height, width), dtype=int), wanted
    for _ in range(4):  # SLIC drops specks, so that a busy picture gets fewer than asked: ask for more
        found = slic(picture, n_segments=asked, compactness=12, sigma=1, start_label=0, channel_axis=-1)
        found = np.unique(found, return_inverse=True)[1].reshape(height, width)
        count, before = int(found.max()) + 1, int(best.max()) + 1
        if abs(count - wanted) < abs(before - wanted):
            best = found
        if count > 0.85 * wanted or asked >= height * width:
            break
        asked = min(height * width, asked * wanted // count + 1)
    return best


def places(owner: np.ndarray) -> tuple[str, ...]:
    """A name for each segment: where its middle lies, and its number, which is unique in the picture."""
    words = (
        ("the upper left", "the top", "the upper right"),
        ("the left", "the centre", "the right"),
        ("the lower left", "the bottom", "the lower right"),
    )
    height, width = owner.shape
    size = np.bincount(owner.ravel())
    rows, columns = np.divmod(np.arange(owner.size), width)
    down = np.bincount(owner.ravel(), rows + 0.5) / size / height
    across = np.bincount(owner.ravel(), columns + 0.5) / size / width
    names = [words[min(2, int(3 * d))][min(2, int(3 * a))] for d, a in zip(down, across, strict=True)]
    return tuple(f"{name} ({number})" for number, name in enumerate(names, 1))
