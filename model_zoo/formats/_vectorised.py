"""Texts for a scikit-learn pipeline that starts with a vectoriser: words become ids, and ids the text again.

The pipeline counts words or letters by itself, so all that is needed are ids that can be taken away one by one. A word
with the space after it is a token; its id is a part of its sha256, so it is the same in every process.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from model_zoo.modalities._tokenizer import Encoded

PIECE = re.compile(r"\S+\s*")


def vectoriser(estimator: Any) -> Any:
    """The step that takes texts, if the first one does; else None."""
    inner = getattr(estimator, "best_estimator_", estimator)
    steps = getattr(inner, "steps", None)
    first = steps[0][1] if steps else None
    return first if hasattr(first, "build_analyzer") else None


class Pieces:
    """A tokenizer of words with the space after them; it knows those that it has seen."""

    pad = 0  # nothing at all
    unknown: int | None = None
    mask: int | None = None

    def __init__(self) -> None:
        self.seen: dict[int, str] = {self.pad: ""}

    def encode(self, text: str) -> Encoded:
        """One id a word."""
        ids, spans = [], []
        for found in PIECE.finditer(text):
            ids.append(self._id(found.group()))
            spans.append((found.start(), found.start() + len(found.group().rstrip())))
        return Encoded(tuple(ids), tuple(spans), (False,) * len(ids))

    def _id(self, piece: str) -> int:
        found = int.from_bytes(hashlib.sha256(piece.encode("utf-8", "surrogatepass")).digest()[:6], "little") + 1
        self.seen[found] = piece
        return found

    def text(self, ids: Any) -> str:
        """The text of ids (tokens,); one that was never seen is left out."""
        return "".join(self.seen.get(int(one), "") for one in ids)

    def piece(self, token: int) -> str:
        """The word of an id."""
        return self.seen.get(token, str(token)).strip()

    def id_of(self, piece: str) -> int | None:
        """The id of a word."""
        return self._id(piece) if piece.strip() else None

    def is_special(self, token: int) -> bool:
        """Only the gap is."""
        return token == self.pad


class Texts:
    """A function of texts as one of ids (n, tokens)."""

    def __init__(self, function: Callable[[list[str]], Any], pieces: Pieces) -> None:
        self.function, self.pieces = function, pieces

    def __call__(self, ids: Any) -> np.ndarray:
        """Scores (n, outputs)."""
        found = np.asarray(self.function([self.pieces.text(row) for row in np.asarray(ids)]))
        return found[:, None] if found.ndim == 1 else found
