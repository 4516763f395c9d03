"""Texts: from what a person wrote to token ids, and from tokens back to words.

A word ends at white space and keeps its punctuation, as a person counts words; its name leaves the punctuation out.
Special tokens belong to nobody and are never taken away. x is int64 (tokens,), unpadded; a network builds its attention
mask from ids != pad.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from model_zoo.modalities import _given
from model_zoo.modalities._tokenizer import WORD, Encoded, NumberTokenizer, Tokenizer, WordTokenizer, adapt
from model_zoo.types import Players, Reference, Sample, UserError, digest

__all__ = ["TextInput", "TextView", "Tokenizer", "WordTokenizer"]

EDGES = "\"'“”‘’«»()[]{}<>.,;:!?…*_-–—"  # punctuation that the name of a word leaves out


@dataclass(frozen=True)
class TextView:
    """The text as written, and which of its words the model read."""

    text: str
    words: tuple[tuple[int, int], ...]  # character spans of all words
    kept: int  # how many of them, from the first, the model read
    tokens: tuple[str, ...]  # one a position of x, special tokens too
    spans: tuple[tuple[int, int], ...]  # character span of each token, (0, 0) for special tokens
    word_of: tuple[int, ...]  # word of each token, -1 for special tokens
    unknown: bool = False  # whether the model knows none of it: every token stands for what is not in its vocabulary


@dataclass(frozen=True, eq=False)
class TextInput:
    """How a network takes texts; `tokenizer` is anything that `adapt` knows, `limit` counts special tokens too."""

    tokenizer: Any = None
    limit: int = 512
    baseline: Any = None  # the default baseline: a name, a token or its id, or ids (tokens,)
    background_rows: Any = None  # background: texts, or ids (rows, tokens)
    vocabulary: int | None = None  # ids that the network's embedding has, 0 to vocabulary - 1; None: not known

    modality: ClassVar[str] = "text"
    player_kinds: ClassVar[tuple[str, ...]] = ("tokens", "words")

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokenizer", adapt(self.tokenizer))

    @property
    def pad(self) -> int:
        """The id that fills up shorter texts in a batch."""
        return self.tokenizer.pad

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names that reference() accepts; the first is the default."""
        own = self.tokenizer
        names = ("pad",) if own.mask is None and own.unknown is None else ("mask", "pad")
        return _given.ordered(None if self.baseline in names else self.baseline, names)

    # -- the way in ----------------------------------------------------------------------------------------------

    def read(self, raw: Any, name: str = "") -> Sample:
        """A text, UTF-8 bytes, a path object, or token ids (tokens,)."""
        if isinstance(raw, (bytes, bytearray, os.PathLike)):
            # Bytes are often typed rather than a file's; that they may be none is said below, as of any text.
            data, name = _given.read_bytes(raw, name) if isinstance(raw, os.PathLike) else (bytes(raw), name)
            raw = _decoded(data, name or "The text")
        if not isinstance(raw, str):
            return self._read_ids(raw, name)
        text: str = raw.removeprefix("\ufeff")
        words = tuple(found.span() for found in WORD.finditer(text))
        if not words:
            raise UserError(f"{name or 'The text'} is empty; write at least one word.")
        encoded, cut = self._encode(text, words)
        x = self._in_vocabulary(np.array(encoded.ids, dtype=np.int64), "The tokenizer")
        word_of = _word_of(encoded, text, words)
        aligned = any(word >= 0 for word in word_of)
        kept = max(word_of) + 1 if aligned else (0 if cut else len(words))
        tokens = tuple(
            text[start:stop] if stop > start else self.tokenizer.piece(one)
            for one, (start, stop) in zip(encoded.ids, encoded.spans, strict=True)
        )
        notes = []
        if cut and aligned:
            notes.append(f"The model reads the first {len(x):,} tokens: {kept:,} of {len(words):,} words.")
        elif cut:
            notes.append(f"The model reads the first {len(x):,} tokens of this text.")
        if not aligned:
            notes.append("The tokenizer does not say which words its tokens come from, so tokens are shown alone.")
        notes += self._unknown(encoded, tokens)
        own = {one for one, mark in zip(encoded.ids, encoded.special, strict=True) if not mark}
        view = TextView(text, words, kept, tokens, encoded.spans, word_of, own == {self.tokenizer.unknown})
        return Sample("text", name, x, view, tuple(notes), digest(text.encode("utf-8", "surrogatepass")))

    def _encode(self, text: str, words: Sequence[tuple[int, int]]) -> tuple[Encoded, bool]:
        """The text's tokens, at most `limit`; only as many words are encoded as can matter, so long texts are fast."""
        count = self.limit + 1
        while True:  # a word of invisible characters may have no token: then more words are needed
            part = text if count >= len(words) else text[: words[count][0]]
            encoded = self.tokenizer.encode(part)
            if part is text or len(encoded.ids) > self.limit:
                break
            count *= 4
        if not any(not mark for mark in encoded.special):
            raise UserError("The model's tokenizer finds nothing to read in this text; write at least one word.")
        if len(encoded.ids) <= self.limit:
            return encoded, False
        while encoded.special[-1] and encoded.ids[-1] == self.pad:  # a tokenizer that fills up by itself
            encoded = Encoded(encoded.ids[:-1], encoded.spans[:-1], encoded.special[:-1])
        if len(encoded.ids) <= self.limit:
            return encoded, False
        tail = 0
        while encoded.special[len(encoded.special) - 1 - tail]:
            tail += 1
        places = list(range(self.limit - tail)) + list(range(len(encoded.ids) - tail, len(encoded.ids)))
        ids, spans, special = (tuple(part[i] for i in places) for part in (encoded.ids, encoded.spans, encoded.special))
        return Encoded(ids, spans, special), True

    def _unknown(self, encoded: Encoded, tokens: Sequence[str]) -> list[str]:
        unknown = self.tokenizer.unknown
        found = zip(encoded.ids, tokens, encoded.special, strict=True)
        words = list(dict.fromkeys(token for one, token, special in found if one == unknown and not special))
        if unknown is None or not words:
            return []
        return [f"The model does not know {_given.listed(words)}; it reads {self.tokenizer.piece(unknown)} there."]

    def _read_ids(self, raw: Any, name: str) -> Sample:
        try:
            ids = np.asarray(_given.arrayed(raw))
        except ValueError as error:
            raise UserError("The ids of a text have one dimension, (tokens,); a ragged list came.") from error
        ids = ids[0] if ids.ndim == 2 and len(ids) == 1 else ids
        if ids.ndim != 1 or not ids.size or ids.dtype.kind not in "iu" or ids.min() < 0:
            raise UserError(
                "A text is a string, UTF-8 bytes, a path object or whole numbers (tokens,) from 0 upwards;"
                f" {type(raw).__name__} came{f' of {ids.dtype}, shape {ids.shape}' if hasattr(raw, 'dtype') else ''}."
            )
        self._in_vocabulary(ids, "The text")
        notes: tuple[str, ...] = ()
        if len(ids) > self.limit:
            notes = (f"The model reads the first {self.limit:,} of {len(ids):,} tokens.",)
        x = ids[: self.limit].astype(np.int64)
        tokens = tuple(self.tokenizer.piece(int(one)) for one in x)
        special = [self.tokenizer.is_special(int(one)) for one in x]
        words, spans, word_of, text = [], [], [], ""
        for token, mark in zip(tokens, special, strict=True):
            if mark:
                spans.append((0, 0))
                word_of.append(-1)
                continue
            text += " " if text else ""
            words.append((len(text), len(text) + len(token)))
            spans.append(words[-1])
            word_of.append(len(words) - 1)
            text += token
        view = TextView(text, tuple(words), len(words), tokens, tuple(spans), tuple(word_of))
        return Sample("text", name, x, view, notes, digest(ids.astype(np.int64).tobytes()))

    def _in_vocabulary(self, ids: np.ndarray, whose: str) -> np.ndarray:
        """The ids, of any shape; UserError if the network's embedding has no vector for one of them."""
        if self.vocabulary is not None and ids.size and int(ids.max()) >= self.vocabulary:
            raise UserError(
                f"{whose} has the token id {int(ids.max()):,}; the model's vocabulary has {self.vocabulary:,} tokens,"
                f" 0 to {self.vocabulary - 1:,}. Give ids of this model's own tokenizer."
            )
        return ids

    def trial(self) -> np.ndarray:
        """Some input x, to see what a network makes of it."""
        if isinstance(self.tokenizer, NumberTokenizer):
            return np.array([1, 0, 1, 1, 0, 0, 1, 0], dtype=np.int64)
        return self.read("It was a good day.").x

    def batch(self, texts: Sequence[str]) -> np.ndarray:
        """Ids int64 (n, longest) of many texts, cut to the limit and filled up with the pad."""
        rows = []
        for text in texts:
            words = tuple(found.span() for found in WORD.finditer(text))
            rows.append(self._encode(text, words)[0].ids if words else self.tokenizer.encode(text).ids)
        return _filled(rows, self.pad)

    # -- players and references ----------------------------------------------------------------------------------

    def players(self, sample: Sample, kind: str | None = None, **options: Any) -> Players:
        """Tokens, or words of one or several tokens; special tokens belong to nobody."""
        view: TextView = sample.view
        kind = kind or self.player_kinds[0]
        word_of = np.array(view.word_of)
        if kind == "words":
            if word_of.max() < 0:
                raise UserError("Words need a tokenizer that tells the characters of each token; ask for tokens.")
            names = tuple(_bare(view.text[start:stop]) for start, stop in view.words[: view.kept])
            return Players("words", word_of, view.kept, names)
        if kind != "tokens":
            raise UserError(f"The players of a text are {' or '.join(self.player_kinds)}; {kind!r} came.")
        ours = self._ours(sample)
        owner = np.where(ours, np.cumsum(ours) - 1, -1)
        return Players("tokens", owner, int(ours.sum()), tuple(view.tokens[i] for i in np.flatnonzero(ours)))

    def _ours(self, sample: Sample) -> np.ndarray:
        """Which positions of x are the person's text, bool (tokens,)."""
        word_of = np.array(sample.view.word_of)
        if (word_of >= 0).any():
            return word_of >= 0
        return np.array([not self.tokenizer.is_special(int(one)) for one in sample.x])

    def words_text(self, view: TextView, keep: np.ndarray) -> str:
        """The text with only some of the words that the model read; keep: bool (view.kept,)."""
        ends = [start for start, _ in view.words[1:]] + [len(view.text)]
        pairs = zip(np.asarray(keep, dtype=bool), view.words, ends, strict=False)
        return "".join(view.text[start:end] for kept, (start, _), end in pairs if kept).strip()

    def reference(self, sample: Sample, baseline: Any = None) -> Reference:
        """The text with every token of its own replaced: "mask", "pad", a token or its id; or ids like x."""
        own = self.tokenizer
        if isinstance(baseline, str) and baseline not in self.baselines and own.id_of(baseline) is not None:
            baseline = own.id_of(baseline)
        baseline = _given.named(baseline, self.baseline, self.baselines)
        if isinstance(baseline, str) and baseline not in ("mask", "pad"):  # the model's own default, a token
            token = own.id_of(baseline)
            if token is None:
                raise UserError(f"The baseline {baseline!r} is no token of this model; give another token or its id.")
            baseline = token
        x = sample.x
        baseline = _given.arrayed(baseline)
        if isinstance(baseline, (np.ndarray, list, tuple)) and np.shape(found := _ids(baseline)) != ():
            rows = _given.constant(found, x).rows
            return Reference("given", self._in_vocabulary(rows, "The baseline"), "the tokens given")
        if isinstance(baseline, np.ndarray) and baseline.ndim == 0:
            baseline = baseline.item()
        kind, token = "given", baseline
        if baseline == "mask":
            kind, token = "mask", own.mask if own.mask is not None else own.unknown
        elif baseline == "pad":
            kind, token = "pad", own.pad
        if isinstance(token, bool) or not isinstance(token, (int, np.integer)) or token < 0:
            raise UserError(f"A baseline token is a whole number from 0 upwards, or a token's name; {baseline!r} came.")
        row = self._in_vocabulary(np.where(self._ours(sample), int(token), x), "The baseline")
        return Reference(kind, row[None], f"every word replaced by {own.piece(int(token))}")

    def background(self, sample: Sample, rows: Any = None) -> Reference:
        """Texts cut or filled up to the sample's length: those given, the model's own, or the baseline alone."""
        rows = self.background_rows if rows is None else rows
        if rows is None:
            return self.reference(sample)
        ids = self._in_vocabulary(self._rows_of_ids(rows), "The background")
        length = len(sample.x)
        found = np.full((len(ids), length), self.pad, dtype=np.int64)
        found[:, : min(length, ids.shape[1])] = ids[:, :length]
        found = np.where(self._ours(sample), found, sample.x)  # special tokens stay where the sample has them
        return Reference("background", found, f"{len(found):,} background text{'s' * (len(found) != 1)}")

    def _rows_of_ids(self, rows: Any) -> np.ndarray:
        """Ids (rows, longest) of texts or of ids as a person gives them; one text or one row of ids is one row."""
        rows = _given.arrayed([rows] if isinstance(rows, str) else rows)
        if isinstance(rows, (list, tuple)) and rows and all(isinstance(row, str) for row in rows):
            return self.batch(rows)
        found = rows
        if isinstance(rows, (list, tuple)) and rows and all(isinstance(row, (list, tuple, np.ndarray)) for row in rows):
            each = [_ids(row) for row in rows]
            found = _filled(each, self.pad) if all(row.ndim == 1 for row in each) else None
        elif isinstance(rows, (list, tuple)):
            found = _ids(rows)
        found = found[None] if isinstance(found, np.ndarray) and found.ndim == 1 else found
        if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "iu" or not found.size:
            raise UserError("The background of a text model is a list of texts or ids (rows, tokens).")
        if found.min() < 0:
            raise UserError(f"Token ids are whole numbers from 0 upwards; the background has {int(found.min())}.")
        return found


def _ids(raw: Any) -> np.ndarray:
    """An array of whole numbers, of any shape."""
    try:
        found = np.asarray(raw)
    except (TypeError, ValueError) as error:
        raise UserError("Token ids are whole numbers (tokens,); a ragged list came.") from error
    if found.dtype.kind not in "iu":
        raise UserError(f"Token ids are whole numbers (tokens,); an array of {found.dtype} came.")
    return found


def _filled(rows: Sequence[Any], pad: int) -> np.ndarray:
    """Ids int64 (n, longest) of rows of ids, filled up with the pad."""
    found = np.full((len(rows), max(map(len, rows), default=0) or 1), pad, dtype=np.int64)
    for row, ids in zip(found, rows, strict=True):
        row[: len(ids)] = ids
    return found


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} is not a UTF-8 text (byte {error.start:,} is not); save it as plain text in UTF-8."
        ) from error


def _word_of(encoded: Encoded, text: str, words: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The word that each token lies in; white space goes with the word before it."""
    starts = np.array([start for start, _ in words])
    places = []
    for (start, stop), special in zip(encoded.spans, encoded.special, strict=True):
        while start < stop - 1 and text[start].isspace():  # some tokenizers count the space before a word
            start += 1
        places.append(-1 if special or stop <= start else start)
    found = np.maximum(np.searchsorted(starts, np.array(places, dtype=int), side="right") - 1, 0)
    return tuple(int(word) if place >= 0 else -1 for word, place in zip(found, places, strict=True))


def _bare(word: str) -> str:
    return word.strip(EDGES) or word
