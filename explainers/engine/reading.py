"""What attention methods share that needs no torch: their parameters, heads made one, and from tokens to players.

Layers see tokens: those of a text, or the patches of a picture, beside some that the network adds by itself (a class
token, registers), which belong to nobody. A word gets the sum of its tokens. A pixel gets the number of its patch, and
a segment the mean of its pixels, since a patch's number is no sum over pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from explainers.engine.credit import credit
from explainers.types import knob
from explainers.words import percent
from model_zoo.types import Players, Sample, UserError

BOUND = 64 << 20  # bytes of maps that an explanation keeps
Fuse = Literal["mean", "max", "min"]


def heads_knob() -> Any:
    """How the heads of a layer become one map."""
    return knob(
        "mean", choices=("mean", "max", "min"), advanced=True, help="How the heads of a layer are made one map."
    )


def position_knob() -> Any:
    """The token that is asked what it looks at."""
    return knob(
        -1,
        low=-1,
        high=99_999,
        advanced=True,
        help="Token that looks, counted from 0 with special tokens; -1 is the one that the score is read from.",
    )


def interpolation_knob() -> Any:
    """From patches to pixels."""
    return knob(
        "nearest",
        choices=("nearest", "bilinear"),
        advanced=True,
        help="For images: each pixel has the value of its patch (nearest), or values are blended between patches.",
    )


def fuse(heads: np.ndarray, how: str) -> np.ndarray:
    """(heads, targets, sources) -> (targets, sources)."""
    found: np.ndarray = getattr(heads, how)(0)
    return found


def mixed(heads: np.ndarray, how: str, residual: bool) -> np.ndarray:
    """Â (tokens, tokens): the heads made one, half of it the residual connection, rows that sum to 1 (or are 0)."""
    found = fuse(heads, how)
    if residual:
        found = (found + np.eye(len(found))) / 2
    total = found.sum(-1, keepdims=True)
    return found / np.where(total > 0, total, 1)


@dataclass(frozen=True)
class Place:
    """Where the tokens of the layers lie: `own` of them, from `start` on, are the input's, the others nobody's."""

    count: int
    start: int
    own: int
    rows: int = 0  # of a grid of patches; 0 for a text
    columns: int = 0

    @property
    def tokens(self) -> np.ndarray:
        """(count,): which token of the text, or patch row by row, each is; -1 for nobody's."""
        place = np.arange(self.count) - self.start
        return np.where((place >= 0) & (place < self.own), place, -1)

    def extras(self, maps: tuple[np.ndarray, ...], name: str = "attention") -> dict[str, np.ndarray]:
        """Maps (heads, targets, sources) as float32 (layers, heads, targets, sources), and what they are of.

        Nothing where layers differ in shape. Maps above BOUND are kept as float16, or those of the last layers alone:
        then "attention_layers" says which. "attention_tokens" are the tokens of the maps, where these are not plainly
        those of the text.
        """
        if len({one.shape for one in maps}) != 1:
            return {}
        size = maps[0].size * len(maps) * 4
        kind: Any = np.float32 if size <= BOUND else np.float16
        fits = min(len(maps), BOUND // (maps[0].size * np.dtype(kind).itemsize))
        if not fits:
            return {}
        found = {name: np.stack([one.astype(kind) for one in maps[-fits:]])}
        if fits < len(maps):
            found[f"{name}_layers"] = np.arange(len(maps) - fits, len(maps))
        if self.rows or self.count != self.own:
            found[f"{name}_tokens"] = self.tokens
        return found

    def values(
        self, row: np.ndarray, sample: Sample, players: Players, interpolation: str
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Values (players,) of numbers (count,), and for a picture extras["map"] (rows, columns)."""
        own = row[self.start : self.start + self.own]
        if not self.rows:
            return credit(own, players, 1), {}
        small = own.reshape(self.rows, self.columns)
        full = enlarged(small, (sample.x.shape[-2], sample.x.shape[-1]), interpolation)
        sizes = np.bincount(players.owner[players.owner >= 0], minlength=players.count)
        found = credit(full, players, players.owner.ndim) / np.maximum(sizes, 1)
        return found, {"map": small.astype(np.float32)}

    def nobodys(self, row: np.ndarray, players: Players) -> tuple[str, ...]:
        """How much of the numbers (count,) went to tokens that belong to no word or patch, if it is worth saying."""
        owned = self.tokens >= 0
        if not self.rows:
            owned[owned] = players.owner >= 0
        total = row.sum()
        share = row[~owned].sum() / total if total > 0 else 0.0
        if share < 0.005:
            return ()
        kind, part = ("class or register", "patch") if self.rows else ("special", "word")
        return (f"{percent(share)} of it goes to {kind} tokens, which belong to no {part}.",)


def enlarged(small: np.ndarray, size: tuple[int, int], how: str) -> np.ndarray:
    """A map (rows, columns) at the size (height, width): each pixel that of its patch, or bilinear between centres."""
    if how == "bilinear":
        import torch
        from torch.nn.functional import interpolate

        wide = interpolate(torch.as_tensor(small, dtype=torch.float64)[None, None], size=size, mode="bilinear")
        return wide[0, 0].numpy()
    down, across = (np.arange(long) * short // long for short, long in zip(small.shape, size, strict=True))
    return small[np.ix_(down, across)]


def chosen(name: str, asked: int, count: int, title: str) -> int:
    """A layer, head or position from 0 to count - 1; -1 is the last. UserError if there is no such."""
    if asked >= count:
        raise UserError(f"{name} lies between 0 and {count - 1} for {title}, or is -1; {asked} came.")
    return asked % count
