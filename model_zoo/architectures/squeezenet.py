"""SqueezeNet 1.1: an image classifier of 1.2 million parameters, built of "fire" modules.

A fire module squeezes to few channels with 1×1 convolutions, then expands with 1×1 and 3×3 ones side by side.
Pooling rounds up, as in the Caffe original: a 227×227 image becomes feature maps of 113, 56, 28 and 14 pixels.
Activations are out of place and each a module of its own, so that hooks see every intermediate value.
Reference: Iandola et al. (2016), arXiv:1602.07360; version 1.1 is the authors' own revision.
"""

from __future__ import annotations

import torch
from torch import nn


class Fire(nn.Module):
    """Squeeze to `squeezed` channels, expand to 2 × `expanded`."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.active_squeeze = nn.ReLU()
        self.active = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) to (n, 2 × expanded, h, w)."""
        x = self.active_squeeze(self.squeeze(x))
        return self.active(torch.cat([self.expand1(x), self.expand3(x)], 1))


class SqueezeNet(nn.Module):
    """Logits (n, classes) of images (n, 3, h, w)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, stride=2, ceil_mode=True)

        self.stem = nn.Conv2d(3, 64, 3, stride=2)
        self.active = nn.ReLU()
        self.features = nn.Sequential(
            pool(),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            pool(),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            pool(),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        )
        self.head = nn.Conv2d(512, classes, 1)
        self.active_head = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One map a class, averaged over space."""
        x = self.features(self.active(self.stem(x)))
        return self.active_head(self.head(x)).mean((2, 3))
