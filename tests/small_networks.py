"""Small seeded networks of the kinds that people export: convolutions, perceptrons, recurrent layers, transformers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import nn

WORDS = ("[PAD]", "[UNK]", "it", "was", "a", "good", "bad", "day", "film", "and", "the", "story", "dull", ".")
PHOTO = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
ROW = {f"feature {index}": value for index, value in enumerate((0.3, -1.2, 0.7, 2.0, -0.4, 0.1))}
TEXT = "it was a good film and the story was dull ."


def tokenizer() -> str:
    """The text of a tokenizer.json: words apart, lower case."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    found = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    found.normalizer = normalizers.Lowercase()
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    json.loads(found.to_str())
    return found.to_str()


def cnn(side: int = 16, channels: int = 3, classes: int = 4) -> nn.Module:
    """Convolutions with batch normalisation, pooled to a square that depends on the side."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * (side // 2) ** 2, classes),
    )
    network[1].running_mean.uniform_(-0.1, 0.1)
    network[1].running_var.uniform_(0.5, 1.5)
    return network.eval()


def mlp(features: int = 6, classes: int = 3) -> nn.Module:
    """Two hidden layers."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(features, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, classes)
    ).eval()


class Recurrent(nn.Module):
    """Words, a recurrent layer in both directions, the mean of its states."""

    def __init__(self, kind: str = "LSTM", words: int = len(WORDS), classes: int = 2) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.words = nn.Embedding(words, 8)
        self.layer = getattr(nn, kind)(8, 6, batch_first=True, bidirectional=True)
        self.out = nn.Linear(12, classes)
        self.eval()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states, _ = self.layer(self.words(ids))
        return self.out(states.mean(1))


class Transformer(nn.Module):
    """Words and places, attention written as fused or as matrix products, the mean of the tokens."""

    def __init__(self, fused: bool = True, words: int = len(WORDS), classes: int = 2) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fused = fused
        self.words = nn.Embedding(words, 16)
        self.places = nn.Embedding(64, 16)
        self.norm = nn.LayerNorm(16)
        self.mix = nn.Linear(16, 48)
        self.back = nn.Linear(16, 16)
        self.out = nn.Linear(16, classes)
        self.eval()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        count, tokens = ids.shape[0], ids.shape[1]
        x = self.words(ids) + self.places(torch.arange(tokens, device=ids.device))
        mixed = self.mix(self.norm(x)).reshape(count, tokens, 3, 2, 8).permute(2, 0, 3, 1, 4)
        q, k, v = mixed[0], mixed[1], mixed[2]
        if self.fused:
            y = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, dim=-1) @ v
        x = x + self.back(y.transpose(1, 2).reshape(count, tokens, 16))
        return self.out(x.mean(1))


def scores_of(network: nn.Module) -> Any:
    """The network's own scores of one input x, without any code of Assay."""

    def scores(x: Any) -> Any:
        given = torch.as_tensor(x)[None]
        with torch.no_grad():
            return network(given.float() if given.is_floating_point() else given)[0].double().numpy()

    return scores
