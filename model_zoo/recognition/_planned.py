"""A network made of named layers and the steps between them; imports torch, so it is imported inside functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn


class ConcatPool(nn.Module):
    """The largest value of each channel, then the means, as fastai's AdaptiveConcatPool2d gives them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, height, width) to (n, 2 channels)."""
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)


class Planned(nn.Module):
    """Runs `steps` one after the other: names of layers, or modules without tensors of their own.

    A layer called "features.0" lies where a network's own nn.Sequential would have it, so the state dict has the names
    of the file.
    """

    def __init__(self, layers: Mapping[str, nn.Module], steps: Sequence[str | nn.Module]) -> None:
        super().__init__()
        self.steps: list[str | int] = []
        for name, layer in layers.items():
            *homes, last = name.split(".")
            place: nn.Module = self
            for home in homes:
                if home not in place._modules:
                    place.add_module(home, nn.Module())
                place = place.get_submodule(home)
            place.add_module(last, layer)
        for number, step in enumerate(steps):
            if isinstance(step, nn.Module):
                self.add_module(f"step_{number}_{type(step).__name__}", step)
                step = f"step_{number}_{type(step).__name__}"
            self.steps.append(step)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of a batch."""
        for step in self.steps:
            x = self.get_submodule(str(step))(x)
        return x
