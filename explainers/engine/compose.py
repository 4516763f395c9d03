"""A coalition becomes an input: present players keep x, absent ones take the reference.

out[n, p] = x[p] if present[n, owner[p]] or nobody owns p, else reference[n, p]
"""

from __future__ import annotations

import torch


def compose(x: torch.Tensor, reference: torch.Tensor, owner: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Inputs (n, *x.shape) for coalitions `present`, bool (n, players), and reference rows (n, *x.shape).

    owner: whole numbers with the trailing shape of x; -1 stays as it is in x.
    """
    count = len(present)
    always = torch.ones(count, 1, dtype=torch.bool, device=present.device)
    keep = torch.cat([present, always], 1)[:, owner.reshape(-1)]  # owner -1 reads the last column
    missing_axes = [1] * (x.ndim - owner.ndim)
    return torch.where(keep.reshape(count, *missing_axes, *owner.shape), x, reference)
