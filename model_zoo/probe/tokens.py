"""Where patches have become tokens: the states of a vision transformer as maps of its patches.

A state (batch, tokens, channels) whose tokens are the cells of an earlier feature map, row by row, perhaps after a few
class or register tokens, is a map of these cells; so is a state (batch, rows, columns, channels). Stages that merge
neighbours halve the rows and columns. Chefer et al. and the field's Grad-CAM for transformers read the same states.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

NORMS = ("native_layer_norm", "_fused_rms_norm")  # what a transformer's block does first
WRITTEN_OUT = ("mul", "add")  # the end of a normalisation that is written as arithmetic
MOST_EXTRA = 8  # class, distillation and register tokens
MERGES = 6  # times that a later stage may have halved the map


@dataclass(frozen=True)
class Layout:
    """How a state lies over the image: rows and columns of patches, after `extra` tokens; or already as a map."""

    rows: int
    columns: int
    extra: int = 0
    flat: bool = True  # (batch, tokens, channels); else (batch, rows, columns, channels)

    def as_map(self, state: torch.Tensor) -> torch.Tensor:
        """The state as (batch, channels, rows, columns)."""
        if not self.flat:
            return state.permute(0, 3, 1, 2)
        return state[:, self.extra :].mT.reshape(len(state), -1, self.rows, self.columns)


def layout(state: torch.Tensor, sizes: Iterable[tuple[int, int]]) -> Layout | None:
    """How a state lies over feature maps of these sizes (rows, columns), the latest first; None if it does not."""
    if not state.is_floating_point() or state.ndim not in (3, 4):
        return None
    for rows, columns in sizes:
        for times in range(MERGES):
            r, c = -(-rows // 2**times), -(-columns // 2**times)
            if min(r, c) < 2:
                break
            if state.ndim == 4:
                if tuple(state.shape[1:3]) == (r, c):
                    return Layout(r, c, flat=False)
                continue
            extra = state.shape[1] - r * c
            if extra == 0 or (times == 0 and 0 < extra <= MOST_EXTRA):
                return Layout(r, c, extra)
    return None


def grid(tokens: int, sizes: Iterable[tuple[int, int]], image: tuple[int, int]) -> Layout | None:
    """How so many tokens lie over an image (height, width), all stages but the first left out; None if they do not.

    sizes: rows and columns of the feature maps that were seen, the latest first. Where patches are cut out without a
    convolution there is none: then the patches are squares that fill the image, beside as few other tokens as can be.
    """
    known = tuple(sizes)
    for rows, columns in known:
        if min(rows, columns) > 1 and 0 <= tokens - rows * columns <= MOST_EXTRA:
            return Layout(rows, columns, tokens - rows * columns)
    height, width = image
    for extra in range(MOST_EXTRA + 1 if not known else 0):
        sides = [side for side in range(1, min(image) // 2 + 1) if height % side == 0 == width % side]
        for side in sides:
            if height // side * (width // side) == tokens - extra:
                return Layout(height // side, width // side, extra)
    return None
