"""A multilayer perceptron: linear layers with ReLU between them, x -> W_k relu(... relu(W_1 x + b_1) ...) + b_k."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class MLP(nn.Module):
    """Scores (n, outputs) of features (n, features); `widths` are the hidden layers' units."""

    def __init__(self, features: int, widths: Sequence[int], outputs: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide in widths:
            layers += [nn.Linear(features, wide), nn.ReLU(), nn.Dropout(dropout)]
            features = wide
        self.layers = nn.Sequential(*layers, nn.Linear(features, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One pass through all layers."""
        return self.layers(x)
