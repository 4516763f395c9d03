"""A BERT encoder with a classifier on its first token, in plain torch.

Token ids (n, tokens) become vectors: word + position + segment embeddings, normalised. Each layer then applies
attention and a feed-forward step, each added to its input and normalised (post-norm). The first token's vector goes
through the pooler (linear, tanh) and the head. Positions that hold the padding id are never attended to, so a padded
text scores as it does alone. `embedding` is the word embedding by itself: the point where gradients live.
Reference: Devlin et al. (2019), arXiv:1810.04805; the small one is MiniLM: Wang et al. (2020), arXiv:2002.10957.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Size:
    """The shape of an encoder; the defaults are MiniLM-L6's."""

    vocabulary: int = 30522
    width: int = 384
    layers: int = 6
    heads: int = 12
    inner: int = 1536
    positions: int = 512
    segments: int = 2
    epsilon: float = 1e-12
    pad: int = 0


class Layer(nn.Module):
    """Self-attention and feed-forward, (n, tokens, width) to the same."""

    def __init__(self, size: Size, dropout: float) -> None:
        super().__init__()
        self.heads = size.heads
        self.query = nn.Linear(size.width, size.width)
        self.key = nn.Linear(size.width, size.width)
        self.value = nn.Linear(size.width, size.width)
        self.mix = nn.Linear(size.width, size.width)
        self.attention_norm = nn.LayerNorm(size.width, size.epsilon)
        self.up = nn.Linear(size.width, size.inner)
        self.down = nn.Linear(size.inner, size.width)
        self.norm = nn.LayerNorm(size.width, size.epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """`present` is bool (n, 1, 1, tokens): which positions may be attended to."""

        def split(y: torch.Tensor) -> torch.Tensor:
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (n, heads, tokens, width / heads)

        mixed = F.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(x)), split(self.value(x)), attn_mask=present
        )
        x = self.attention_norm(x + self.dropout(self.mix(mixed.transpose(1, 2).flatten(2))))
        return self.norm(x + self.dropout(self.down(F.gelu(self.up(x)))))


class BertClassifier(nn.Module):
    """Logits (n, classes) of token ids (n, tokens)."""

    def __init__(self, classes: int, size: Size | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        size = size or Size()
        self.pad = size.pad
        self.embedding = nn.Embedding(size.vocabulary, size.width)
        self.position = nn.Embedding(size.positions, size.width)
        self.segment = nn.Embedding(size.segments, size.width)
        self.norm = nn.LayerNorm(size.width, size.epsilon)
        self.layers = nn.ModuleList(Layer(size, dropout) for _ in range(size.layers))
        self.pooler = nn.Linear(size.width, size.width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size.width, classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """All texts are one segment, the first."""
        return self.classify(self.encode(ids))

    def encode(self, ids: torch.Tensor, layers: int | None = None) -> torch.Tensor:
        """Vectors (n, tokens, width) after the first `layers` layers, all by default."""
        present = self.present(ids)
        place = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.embedding(ids) + self.position(place) + self.segment.weight[0])
        for layer in self.layers[:layers]:
            x = layer(x, present)
        return x

    def present(self, ids: torch.Tensor) -> torch.Tensor:
        """Which positions hold a token, bool (n, 1, 1, tokens)."""
        return (ids != self.pad)[:, None, None]

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of encoded texts (n, tokens, width)."""
        return self.head(self.dropout(self.pooler(x[:, 0]).tanh()))
