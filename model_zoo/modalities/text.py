"""Texts: from what a person wrote to token ids, and from tokens back to words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextView:
    """The text as written, and which of its words the model read."""

    text: str
    words: tuple[tuple[int, int], ...]  # character spans of all words
    kept: int  # how many of them, from the first, the model read
    tokens: tuple[str, ...]  # one a position of x, special tokens too
    spans: tuple[tuple[int, int], ...]  # character span of each token, (0, 0) for special tokens
    word_of: tuple[int, ...]  # word of each token, -1 for special tokens
