"""Stacks of attention in plain torch whose maps are known, as models that wrap() makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import model_zoo
from model_zoo.model import Model

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "it", "was", "a", "good", "film", "and", "dull")
TEXT = "it was a good film"


def tokenizer(framed: bool = True) -> Any:
    """One token a word; with [CLS] before and [SEP] after a text if it is framed."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if framed:
        made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
        made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


class Given(nn.Module):
    """Attention whose scores are given: each layer is x + A x (or A x), A = softmax(scores), read from one token.

    scores: (layers, heads, tokens, tokens); heads each attend to their own part of the state.
    """

    def __init__(self, scores: np.ndarray, read: int | None = 0, residual: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scores = nn.Parameter(torch.tensor(scores, dtype=torch.float64))
        self.embedding = nn.Embedding(len(WORDS), 8, dtype=torch.float64)
        self.head = nn.Linear(8, 3, dtype=torch.float64)
        self.read, self.residual = read, residual

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        for scores in self.scores:
            values = x.unflatten(-1, (len(scores), -1)).transpose(1, 2)
            maps = scores.expand(len(x), *scores.shape).softmax(-1)
            y = (maps @ values).transpose(1, 2).flatten(2)
            x = x + y if self.residual else y
        return self.head(x.mean(1) if self.read is None else x[:, self.read])


def given(scores: np.ndarray, framed: bool = True, **about: Any) -> Model:
    """The stack as a model of texts."""
    return wrapped(Given(scores, **about), framed)


def wrapped(network: nn.Module, framed: bool = True) -> Model:
    """Any network of token ids as a model of texts with three classes."""
    return model_zoo.wrap(
        network, modality="text", tokenizer=tokenizer(framed), task="classification", class_names=("a", "b", "c")
    )


def random_scores(layers: int, heads: int, tokens: int, seed: int = 0, sharp: float = 2.0) -> np.ndarray:
    """Scores whose softmax is neither even nor sharp."""
    return np.random.default_rng(seed).normal(size=(layers, heads, tokens, tokens)) * sharp


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    found: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return found


def pointing(target: np.ndarray) -> np.ndarray:
    """Scores (tokens, tokens) by which token i looks at target[i] alone."""
    scores = np.full((len(target), len(target)), -1e4)
    scores[np.arange(len(target)), target] = 0
    return scores
