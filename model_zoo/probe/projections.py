"""The linear map that takes the heads of an attention layer back to one state, as the network itself lays them out."""

from __future__ import annotations

import torch


def projection(mixed: torch.Tensor, given: torch.Tensor, weight: torch.Tensor) -> torch.Tensor | None:
    """W (heads, width, state), where the layer's output is Σ over heads of mixed[head] W[head]; None if it is not.

    mixed: (heads, targets, width), what the heads gave; given: what the product with `weight` was taken of, which is
    compared with each layout that there is, so that no head gets another one's weights.
    """
    heads, targets, width = mixed.shape
    if given.numel() == 0 or given.shape[-1] == 0:
        return None
    if given.shape == mixed.shape and weight.ndim == 3 and len(weight) == heads and torch.equal(given, mixed):
        return weight.detach()  # each head has a matrix of its own
    rows = given.reshape(-1, given.shape[-1])
    matrix = weight.reshape(weight.shape[-2:]) if weight.shape[:-2].numel() == 1 else None
    if matrix is None or rows.shape[0] != targets or rows.shape[1] % heads:
        return None
    own = rows.shape[1] // heads  # fused operators may pad the width
    if own > width:
        return None
    part = mixed[..., :own].to(rows.dtype)
    if torch.equal(rows, part.transpose(0, 1).reshape(rows.shape)):  # one head after another
        return matrix.detach().reshape(heads, own, -1)
    if torch.equal(rows, part.permute(1, 2, 0).reshape(rows.shape)):  # heads side by side in each channel
        return matrix.detach().reshape(own, heads, -1).transpose(0, 1)
    return None
