"""A copy of a model with the same architecture and none of what was learned.

Weights of two and more axes are drawn anew, normal with the size that they had; biases, scales and whatever else has
one axis are shuffled, and each changes its sign at random unless it is a scale. Statistics of batch norm are measured
anew, since those of the trained network would drown the signal or blow it up. Draws are seeded; the model itself and
torch's own generator stay as they are.
Reference: Adebayo and others (2018), arXiv:1810.03292; on the size of random weights, Bora and others (2024), MPRT.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import torch

from model_zoo.types import UserError

if TYPE_CHECKING:
    from model_zoo.model import Model

NOISY = 8  # copies of the input from which statistics are measured


def randomised(model: Model, seed: int, inputs: torch.Tensor) -> Model:
    """The copy; UserError where the model has no weights that can be drawn anew.

    inputs: (n, *x.shape), from which statistics of normalisation are measured.
    """
    network = model.network
    if model.arrays or model.trees is not None or not isinstance(network, torch.nn.Module):
        raise UserError(f"{model.card.title} keeps no weights that could be drawn at random.")
    if not any(one.is_floating_point() for one in network.parameters()):
        raise UserError(f"{model.card.title} keeps no weights that could be drawn at random.")
    shared = {id(one): one for one in (model.input, model.card, model.settle, model._learn)}
    try:
        found = copy.deepcopy(model, shared)
    except Exception as error:  # a stranger's module may refuse to be copied
        raise UserError(f"{model.card.title} cannot be copied, so its weights cannot be drawn at random.") from error
    _draw(cast(torch.nn.Module, found.network), seed)
    _measure(found, inputs, seed)
    return found


def _draw(network: torch.nn.Module, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    scales = {
        id(part.weight)
        for part in network.modules()
        if getattr(part, "weight", None) is not None and "Norm" in type(part).__name__
    }
    with torch.no_grad():
        for weight in network.parameters():
            if not weight.is_floating_point() or not weight.numel():
                continue
            if weight.ndim > 1:
                size = float(weight.detach().double().pow(2).mean().sqrt())
                fresh = torch.randn(weight.shape, generator=source) * size
            else:
                order = torch.randperm(weight.numel(), generator=source)
                fresh = weight.detach().cpu().float().reshape(-1)[order].reshape(weight.shape)
                if id(weight) not in scales:
                    signs = torch.randint(0, 2, weight.shape, generator=source) * 2 - 1
                    fresh = fresh * signs
            weight.copy_(fresh.to(weight.device, weight.dtype))


def _measure(model: Model, inputs: torch.Tensor, seed: int) -> None:
    """Statistics of batch norm for noisy copies of these inputs; a network without it is left alone."""
    parts = [
        part
        for part in cast(torch.nn.Module, model.network).modules()
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.running_mean is not None
    ]
    if not parts:
        return
    source = torch.Generator().manual_seed(seed)
    rows = inputs.cpu().repeat(-(-NOISY // len(inputs)), *[1] * (inputs.ndim - 1))
    if rows.is_floating_point():
        rows = rows + torch.randn(rows.shape, generator=source, dtype=rows.dtype) * rows.std() / 2
    before = [(part.momentum, part.training) for part in parts]
    try:
        for part in parts:
            part.reset_running_stats()
            part.momentum, part.training = None, True  # the plain mean of what is seen
        with torch.no_grad():
            model.outputs(model.tensor(rows))
    except Exception:  # a batch that a normalisation refuses: as they are
        pass
    finally:
        for part, (momentum, training) in zip(parts, before, strict=True):
            part.momentum, part.training = momentum, training
