"""A network in evaluation mode, wanting no gradients of its parameters; and as it was afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def evaluating(network: Any) -> Iterator[None]:
    """Each module's mode and each parameter's wish for a gradient are put back, also after an error.

    A frozen network's input gradients are the same, and cheaper. A plain callable is left alone.
    """
    module = isinstance(network, torch.nn.Module)
    modes = [(part, part.training) for part in network.modules()] if module else []
    wanted = [(one, one.requires_grad) for one in network.parameters()] if module else []
    try:
        for part, training in modes:
            if training:  # module by module: eval() is refused by an exported program, whose mode is fixed
                part.training = False
        for one, wish in wanted:
            if wish:
                one.requires_grad_(False)
        yield
    finally:
        for part, training in modes:
            if part.training != training:
                part.training = training
        for one, wish in wanted:
            one.requires_grad_(wish)
