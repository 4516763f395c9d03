"""Norms of what attention brings: how long the vector is that each token adds to the one that looks at it.

With A the probabilities of head h and f_h(x_j) = v_j W_h, value and output projection of token j without the bias that
is added once to all heads, token j adds Σ_h A_h[i, j] f_h(x_j) to token i.
Reference: Kobayashi et al. (2020), arXiv:2004.10102.
"""

from __future__ import annotations

import numpy as np

from explainers.engine.attention import Layer


def norms(layer: Layer, how: str, head: int = -1, projected: bool = True) -> np.ndarray:
    """Norms (targets, sources) of what each source adds to each target.

    how: "sum" is the norm of the sum over heads, else "mean", "max" or "min" of the heads' own norms; head: one alone.
    projected: with the output projection, if there is one; without it heads stand side by side, each with its own axes.
    """
    assert layer.value is not None
    transformed = layer.value
    if projected and layer.projection is not None:
        transformed = layer.value @ layer.projection  # (heads, sources, state)
    lengths = np.linalg.norm(transformed, axis=-1)  # (heads, sources)
    each = layer.map * lengths[:, None]
    if head >= 0:
        return each[head]
    if how != "sum":
        found: np.ndarray = getattr(each, how)(0)
        return found
    if not projected or layer.projection is None:
        return np.sqrt((each**2).sum(0))
    # ‖Σ_h a_h f_h‖² = Σ_hg a_h a_g f_h·f_g: products between heads once for each source, not for each pair of tokens.
    between = np.einsum("hjd,gjd->jhg", transformed, transformed)
    shares = layer.map.transpose(2, 0, 1)  # (sources, heads, targets)
    squares = (shares * (between @ shares)).sum(1)  # (sources, targets)
    return np.sqrt(np.maximum(squares, 0)).T
