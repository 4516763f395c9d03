"""Tokenizers of any origin behind one small protocol: a text becomes ids and the characters each came from.

Adapters for `tokenizers.Tokenizer`, Hugging Face tokenizer objects (recognised by what they can do, never imported), a
plain callable text -> ids, and WordTokenizer, lower-cased words from a vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from model_zoo.types import UserError, quoted

Span = tuple[int, int]

# A word ends at white space; its punctuation stays with it, as a person counts words. A Chinese character or a kana
# is a word of its own, since those scripts put no space between words.
WORD = re.compile(r"[぀-ヿ㐀-鿿]|[^\s぀-ヿ㐀-鿿]+")


@dataclass(frozen=True)
class Encoded:
    """Token ids of one text; `spans` are the characters of each, (0, 0) where they are unknown or it is special."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    special: tuple[bool, ...]


class Tokenizer(Protocol):
    """From text to token ids; ids are None where the vocabulary has no such token."""

    @property
    def pad(self) -> int:
        """The id that fills up shorter texts in a batch."""

    @property
    def unknown(self) -> int | None:
        """The id of a word outside the vocabulary."""

    @property
    def mask(self) -> int | None:
        """The id that stands for a hidden word."""

    def encode(self, text: str) -> Encoded:
        """Ids of the whole text with the special tokens around it."""
        ...

    def piece(self, token: int) -> str:
        """The vocabulary's own spelling of an id."""
        ...

    def id_of(self, piece: str) -> int | None:
        """The id of a vocabulary entry, or None."""
        ...

    def is_special(self, token: int) -> bool:
        """Whether this id marks a place rather than standing for text."""
        ...


def adapt(tokenizer: Any) -> Tokenizer:
    """Any known kind of tokenizer behind the protocol; UserError if it is of no known kind."""
    if tokenizer is None:
        return NumberTokenizer()
    if all(hasattr(tokenizer, one) for one in ("encode", "piece", "id_of", "is_special", "pad")):
        return tokenizer
    if hasattr(tokenizer, "token_to_id") and hasattr(tokenizer, "to_str"):
        return LibraryTokenizer(tokenizer)
    if hasattr(tokenizer, "convert_ids_to_tokens"):
        return HuggingFaceTokenizer(tokenizer)
    if callable(tokenizer):
        return CallableTokenizer(tokenizer)
    raise UserError(
        "A tokenizer is a tokenizers.Tokenizer, a Hugging Face tokenizer or a callable from text to ids;"
        f" {type(tokenizer).__name__} came."
    )


class WordTokenizer:
    """Lower-cased words and punctuation marks, each one token; ids are places in the vocabulary list."""

    PIECE = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")

    def __init__(
        self, vocabulary: Sequence[str], pad: str = "<pad>", unknown: str = "<unk>", mask: str | None = None
    ) -> None:
        self.vocabulary = tuple(vocabulary)
        self._ids = {word: index for index, word in enumerate(self.vocabulary)}
        if pad not in self._ids or unknown not in self._ids:
            raise ValueError(f"The vocabulary needs {pad!r} and {unknown!r}.")
        self.pad: int = self._ids[pad]
        self.unknown: int | None = self._ids[unknown]
        self.mask: int | None = None if mask is None else self._ids[mask]

    def encode(self, text: str) -> Encoded:
        """Ids of the words of the text; there are no special tokens."""
        found = list(self.PIECE.finditer(text))
        ids = tuple(self._ids.get(one.group().lower().replace("’", "'"), self.unknown or 0) for one in found)
        return Encoded(ids, tuple(one.span() for one in found), (False,) * len(ids))

    def piece(self, token: int) -> str:
        """The word of an id."""
        return self.vocabulary[token] if 0 <= token < len(self.vocabulary) else str(token)

    def id_of(self, piece: str) -> int | None:
        """The id of a word."""
        return self._ids.get(piece)

    def is_special(self, token: int) -> bool:
        """Only the pad is."""
        return token == self.pad


class NumberTokenizer:
    """No tokenizer at all: token ids are given as numbers, and texts are refused."""

    pad: int = 0
    unknown: int | None = None
    mask: int | None = None

    def encode(self, text: str) -> Encoded:
        """Always refuses."""
        raise UserError("This model was given without a tokenizer: give token ids, or wrap it with tokenizer=.")

    def piece(self, token: int) -> str:
        """The number."""
        return str(token)

    def id_of(self, piece: str) -> int | None:
        """The id that a number spells."""
        return int(piece) if piece.isdecimal() else None

    def is_special(self, token: int) -> bool:
        """None is."""
        return False


class LibraryTokenizer:
    """A `tokenizers.Tokenizer`, without its own cutting and padding."""

    def __init__(self, tokenizer: Any) -> None:
        padding = tokenizer.padding
        self._own = type(tokenizer).from_str(tokenizer.to_str())  # a copy: the caller's keeps its settings
        self._own.no_truncation()
        self._own.no_padding()
        first = self._first
        self.pad: int = padding["pad_id"] if padding else first("[PAD]", "<pad>", "<|endoftext|>") or 0
        self.unknown: int | None = first("[UNK]", "<unk>")
        self.mask: int | None = first("[MASK]", "<mask>")
        # special, as the tokenizer declares: also the mask and the pad, which no text contains by accident
        self._special = {key for key, one in self._own.get_added_tokens_decoder().items() if one.special} - {
            self.unknown
        }

    def _first(self, *pieces: str) -> int | None:
        return next((found for one in pieces if (found := self._own.token_to_id(one)) is not None), None)

    def encode(self, text: str) -> Encoded:
        """Ids, character offsets and the special-token mask, as the library gives them."""
        try:
            found = self._own.encode(text)
        except Exception as error:  # what the library raises has no class of its own
            raise UserError(
                f"The tokenizer could not read the text; it said: {quoted(error)}. Give the tokenizer.json that belongs"
                " to the model."
            ) from error
        special = tuple(bool(one) for one in found.special_tokens_mask)
        spans = tuple((0, 0) if mark else span for span, mark in zip(found.offsets, special, strict=True))
        return Encoded(tuple(found.ids), spans, special)

    def piece(self, token: int) -> str:
        """The vocabulary's entry."""
        return self._own.id_to_token(token) or str(token)

    def id_of(self, piece: str) -> int | None:
        """The id of a vocabulary entry."""
        return self._own.token_to_id(piece)

    def is_special(self, token: int) -> bool:
        """Whether the tokenizer added this id as a special token."""
        return token in self._special


class CallableTokenizer:
    """A callable text -> ids. Characters are found by encoding each word alone, where that gives the same ids."""

    unknown: int | None = None
    mask: int | None = None
    pad: int = 0

    def __init__(self, encode: Callable[[str], Any]) -> None:
        self._encode = encode

    def encode(self, text: str) -> Encoded:
        """Ids, with the span of the whole word for each token, or (0, 0) for all if words do not encode one by one."""
        ids = self._ids(text)
        length = len(ids)
        while length and ids[length - 1] == self.pad:
            length -= 1
        before, after = self._frame()
        start, stop = len(before), length - len(after)
        framed = stop > start and ids[:start] == before and ids[stop:length] == after
        if not framed:
            start, stop = 0, length
        spans: list[Span] = []
        pieces: list[int] = []
        for word in WORD.finditer(text):
            alone = self._bare(word.group(), before, after)
            pieces += alone
            spans += [word.span()] * len(alone)
        if pieces != ids[start:stop]:
            spans = [(0, 0)] * (stop - start)
        special = [True] * start + [False] * (stop - start) + [True] * (len(ids) - stop)
        return Encoded(tuple(ids), ((0, 0),) * start + tuple(spans) + ((0, 0),) * (len(ids) - stop), tuple(special))

    def _ids(self, text: str) -> list[int]:
        try:
            found = self._encode(text)
        except Exception as error:  # a stranger's function: a look-up of items knows no other words
            said = f"{type(error).__name__}: {quoted(error)}"
            raise UserError(
                f"The tokenizer could not read {text[:60]!r}; it said: {said}. Give what it was made for."
            ) from error
        if hasattr(found, "keys") and "input_ids" in found:
            found = found["input_ids"]
        ids = np.asarray(getattr(found, "ids", found))
        ids = ids[0] if ids.ndim == 2 and len(ids) == 1 else ids
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise UserError(
                f"The tokenizer is expected to return a list of whole numbers; {type(found).__name__} came."
            )
        return [int(one) for one in ids]

    def _bare(self, text: str, before: list[int], after: list[int]) -> list[int]:
        ids = self._ids(text)
        while ids and ids[-1] == self.pad and not after:
            ids.pop()
        if before and ids[: len(before)] == before:
            ids = ids[len(before) :]
        while after and ids and ids[-len(after) :] != after and ids[-1] == self.pad:
            ids.pop()
        return ids[: -len(after)] if after and ids[-len(after) :] == after else ids

    def _frame(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after every text: those of an empty one, parted where a word comes in."""
        try:
            empty, word = ([one for one in self._ids(text) if one != self.pad] for text in ("", "yes"))
        except Exception:  # a stranger's callable may refuse an empty text in its own way
            return [], []
        start = 0
        while start < min(len(empty), len(word)) and empty[start] == word[start]:
            start += 1
        return empty[:start], empty[start:]

    def piece(self, token: int) -> str:
        """The number, since a callable has no vocabulary."""
        return str(token)

    def id_of(self, piece: str) -> int | None:
        """The id that a number spells."""
        return int(piece) if piece.isdecimal() else None

    def is_special(self, token: int) -> bool:
        """None is known to be."""
        return False


class HuggingFaceTokenizer(CallableTokenizer):
    """A tokenizer object of transformers: a fast one gives offsets, a slow one is aligned word by word."""

    def __init__(self, tokenizer: Any) -> None:
        self._own = tokenizer
        super().__init__(lambda text: tokenizer.encode(text))
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (tokenizer.eos_token_id or 0)
        self.unknown = tokenizer.unk_token_id
        self.mask = tokenizer.mask_token_id
        self._special = set(tokenizer.all_special_ids) - {self.unknown}

    def encode(self, text: str) -> Encoded:
        """Ids, character offsets and which are special."""
        if not getattr(self._own, "is_fast", False):
            return super().encode(text)
        found = self._own(text, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
        special = tuple(bool(one) for one in found["special_tokens_mask"])
        offsets = zip(found["offset_mapping"], special, strict=True)
        spans = tuple((0, 0) if mark else (int(span[0]), int(span[1])) for span, mark in offsets)
        return Encoded(tuple(found["input_ids"]), spans, special)

    def piece(self, token: int) -> str:
        """The vocabulary's entry."""
        return str(self._own.convert_ids_to_tokens(token))

    def id_of(self, piece: str) -> int | None:
        """The id of a vocabulary entry."""
        found = self._own.convert_tokens_to_ids(piece)
        return None if found is None or (found == self.unknown and piece != self._own.unk_token) else int(found)

    def is_special(self, token: int) -> bool:
        """Whether the tokenizer names this id special."""
        return token in self._special
