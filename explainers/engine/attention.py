"""What attention methods share: the maps of one text, and the positions that the score is read from.

A classifier may read its answer from the first token, from the last one or from the mean of all. The gradient tells
which: in the last layer only the rows of positions that are read have one. Where there is no gradient, the first token
is read if it is a special one (a classification token), the last if no token looks ahead, and else the mean of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from explainers.words import percent
from model_zoo import probe
from model_zoo.types import Capability, Players, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

UNIT = "share of attention"


@dataclass(frozen=True)
class Seen:
    """Attention of one text: one array (heads, tokens, tokens) a layer; rows pay attention to columns."""

    maps: tuple[np.ndarray, ...]  # float64
    gradients: tuple[np.ndarray, ...] | None  # of the target, the same shapes
    readers: np.ndarray  # (tokens,) bool: the positions that the score is read from

    def read(self, tokens: np.ndarray) -> np.ndarray:
        """Row of the position that the score is read from, or the mean of such rows: (tokens, tokens) -> (tokens,)."""
        return tokens[self.readers].mean(0)

    @property
    def extras(self) -> dict[str, np.ndarray]:
        """`attention`: float32 (layers, heads, tokens, tokens); nothing where layers differ in heads."""
        if len({one.shape for one in self.maps}) > 1:
            return {}
        return {"attention": np.stack(self.maps).astype(np.float32)}

    def notes(self, shares: np.ndarray, players: Players) -> tuple[str, ...]:
        """Whose attention it is, and how much of `shares` (tokens,) went to special tokens, which nobody owns."""
        total = shares.sum()
        nobody = shares[players.owner < 0].sum() / total if total > 0 else 0.0
        special = f"{percent(nobody)} of it goes to special tokens, which belong to no word."
        return (self._reading(), special) if nobody >= 0.005 else (self._reading(),)

    def _reading(self) -> str:
        count, size = int(self.readers.sum()), len(self.readers)
        if count > 1:
            return f"The model reads its score from {count} of {size} tokens: this is what they attend to on average."
        place = int(np.argmax(self.readers)) + 1
        return f"The model reads its score from token {place} of {size}: this is what that token attends to."


def look(model: Model, sample: Sample, target: Target, players: Players, run: Run) -> Seen:
    """Run the model once, and back where it has gradients; UserError if it shows no attention over the tokens."""
    run.expect(1)
    backward = Capability.GRADIENTS in model.can

    def watch(number: probe.Number, entry: torch.Tensor) -> probe.Attention:
        if backward:
            return probe.attention_with_gradients(number, entry)
        return probe.attention(lambda: number(entry))

    found = run.evaluator.inside(model.tensor(sample.x[None]), target, watch, backward)
    size = len(sample.x)
    kept = [layer for layer, one in enumerate(found.maps) if one.shape[-1] == size]
    if not kept:
        raise UserError(
            f"{model.card.title} was expected to compute attention between the {size} tokens of the text; none was seen"
            " by the probe. Use another method, such as integrated gradients or partition SHAP."
        )
    maps = tuple(_array(found.maps[layer]) for layer in kept)
    gradients = None if found.gradients is None else tuple(_array(found.gradients[layer]) for layer in kept)
    return Seen(maps, gradients, _readers(maps[-1], None if gradients is None else gradients[-1], players))


def _readers(last: np.ndarray, gradient: np.ndarray | None, players: Players) -> np.ndarray:
    """Which positions the score is read from, bool (tokens,), by the last layer's map (heads, tokens, tokens)."""
    size = last.shape[-1]
    if gradient is not None:
        read = np.abs(gradient * last).sum((0, 2)) > 0
        if read.any():
            return read
    position = np.arange(size)
    looks_ahead = np.triu(last, 1).any()
    if size > 1 and not looks_ahead:
        return position == size - 1
    return position == 0 if players.owner[0] < 0 else np.ones(size, dtype=bool)


def _array(found: torch.Tensor) -> np.ndarray:
    return found[0].cpu().double().numpy()
