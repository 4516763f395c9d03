"""A bidirectional LSTM over words, with the largest and the mean state of each unit pooled into one linear layer.

Positions that hold the padding id are taken out before the recurrence, wherever they stand: a padded text scores as
it does alone, and a word replaced by padding is a word deleted. A text without words is read as one padding token.
Reference: Hochreiter and Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; Schuster and Paliwal (1997).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class BiLSTMClassifier(nn.Module):
    """Logits (n, outputs) of token ids (n, tokens)."""

    def __init__(
        self, vocabulary: int, outputs: int = 1, width: int = 64, hidden: int = 64, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.pad = 0
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=self.pad)
        self.lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * hidden, outputs)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Recurrence over the tokens that are there, then pooling over them."""
        present = ids != self.pad
        order = present.logical_not().to(torch.int8).argsort(dim=1, stable=True)  # what is there first, in its order
        vectors = self.dropout(self.embedding(ids))
        vectors = vectors.take_along_dim(order[..., None], 1)
        lengths = present.sum(1).clamp(min=1)
        packed = pack_padded_sequence(vectors, lengths.cpu(), batch_first=True, enforce_sorted=False)
        # cuDNN gives gradients of a recurrence in training mode only, and explaining happens in evaluation mode.
        with torch.backends.cudnn.flags(enabled=self.training):
            states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        inside = (torch.arange(states.shape[1], device=ids.device) < lengths[:, None])[..., None]
        largest = states.masked_fill(~inside, -torch.inf).amax(1)
        mean = (states * inside).sum(1) / lengths[:, None]
        return self.head(self.dropout(torch.cat([largest, mean], 1)))
