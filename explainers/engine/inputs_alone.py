"""Maps that the input alone gives, without any model: what a map is worth that is no better than these.

Its numbers beside the reference, their size, and for a picture its edges at three scales and its local contrast.
Reference: Adebayo and others (2018), arXiv:1810.03292, on edge detectors that pass for explanations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from explainers.engine.credit import credit
from explainers.engine.likeness import regions
from model_zoo.types import Players, Reference, Sample

SCALES = (0.7, 1.5, 3.0)  # pixels


def maps(sample: Sample, players: Players, reference: Reference) -> Iterator[tuple[str, np.ndarray]]:
    """A name and values (players,), or (regions,) of pixels, each; none for token ids."""
    x = sample.x
    if not np.issubdtype(x.dtype, np.floating):
        return
    change = x.astype(np.float64) - reference.rows.mean(0, dtype=np.float64)

    def of(elements: np.ndarray) -> np.ndarray:
        return regions(credit(elements, players, x.ndim), players)

    yield "the input itself", of(change)
    yield "the size of the input's numbers", of(np.abs(change))
    if sample.modality != "image":
        return
    from scipy import ndimage

    for scale in SCALES:
        yield "an edge filter", of(np.stack([ndimage.gaussian_gradient_magnitude(one, scale) for one in change]))
    yield "a corner filter", of(np.abs(np.stack([ndimage.gaussian_laplace(one, SCALES[0]) for one in change])))
    mean = ndimage.uniform_filter(change, (1, 5, 5))
    yield "local contrast", of(np.sqrt(np.maximum(ndimage.uniform_filter(change**2, (1, 5, 5)) - mean**2, 0)))
