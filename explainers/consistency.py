"""Whether the parts of an explanation fit one another, and what is said of a model has a size that screens can hold.

Asked of whatever comes from outside: a record that somebody sent, and what a worker sends. What is asked is what the
sentence, the pictures and the report take for granted, and no more.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from explainers.types import Explanation
from model_zoo.modalities.audio import POINTS, AudioView
from model_zoo.modalities.image import LARGEST_PHOTO, ImageView
from model_zoo.modalities.series import SeriesView
from model_zoo.modalities.tabular import TableView
from model_zoo.modalities.text import TextView
from model_zoo.types import Prediction

LARGEST_SIDE = 10**6  # pixels of an original photograph
MOST_AXES = 6  # of one input
OVER_TIME = ("series", "audio")
TEXTS = 4 << 20  # characters of all that is said of a model: a vocabulary of 250,000 tokens as labels has half
LONGEST = 100_000  # characters of one text
FILES = ("tokenizer", "background", "text")  # texts that a person gave whole
FILE = 64 << 20  # characters of one of them
MOST = {  # of a kind, each a line, a field or a mark on some screen
    "notes": 1_000,
    "required": 100,
    "choices": 1_000,
    "columns": 20_000,
    "categories": 100_000,
    "examples": 1_000,
    "findings": 1_000,
    "methods": 1_000,
    "parts": 100_000,
    "baselines": 100,
    "player_kinds": 100,
    "words": 4 << 20,  # of a text that a person gave
}
MANY = 400_000  # labels, and whatever else
MANY_EXTRAS, NAME = 100, 100  # extras, and characters of the name of one
EXTRAS = 64 << 20  # bytes of all but attention
MAPS = ("attention", "cross_attention")
HEADS = 10_000  # attention heads of all layers together, each a mark on the sheet


def consistent(found: Any) -> bool:
    """Whether this is an explanation of which every part fits the others."""
    return (
        isinstance(found, Explanation)
        and modest(found.card)
        and found.sample.modality == found.card.modality
        and found.sample.modality in _VIEWS
        and _players(found)
        and _values(found)
        and _prediction(found.prediction, found)
        and (found.reference is None or found.reference.rows.shape[1:] == found.sample.x.shape)
        and _extras(found)
        and _plain(list(found.provenance.parameters.values()))
        and _VIEWS[found.sample.modality](found)
    )


def modest(found: Any) -> bool:
    """Whether a card, a reading, a look or a check-up is no longer than menus, forms and sheets can hold."""
    left = TEXTS

    def fits(value: Any, name: str) -> bool:
        nonlocal left
        if isinstance(value, str):
            if name in FILES:
                return len(value) <= FILE
            left -= len(value)
            return left >= 0 and len(value) <= LONGEST
        if isinstance(value, (tuple, list)):
            return len(value) <= MOST.get(name, MANY) and all(fits(one, name) for one in value)
        if dataclasses.is_dataclass(value):
            return all(fits(getattr(value, one.name), one.name) for one in dataclasses.fields(value))
        return True

    return fits(found, "")


def _players(found: Explanation) -> bool:
    """Each position of x, or of its trailing axes, belongs to a known player or to nobody."""
    owner, count, names = found.players.owner, found.players.count, found.players.names
    x, axes = found.sample.x, _axes(found)
    return (
        0 < count == len(names or range(count))
        and owner.ndim == axes <= x.ndim <= MOST_AXES
        and owner.shape == x.shape[x.ndim - axes :]
        and owner.size > 0
        and owner.dtype.kind in "iu"
        and np.can_cast(owner.dtype, np.int64)
        and -1 <= owner.min() <= owner.max() < count
        and (found.players.kind != "pixels" or found.sample.modality == "image")
        and (bool(names) or axes == 1 or len(np.unique(owner[owner >= 0])) == count)  # named by a place of theirs
        and (x.size > 0 or found.sample.modality not in OVER_TIME)
    )


def _axes(found: Explanation) -> int:
    """How many of the trailing axes of x players divide."""
    if found.sample.modality in OVER_TIME:
        return max(1, found.players.owner.ndim)
    return 2 if found.sample.modality == "image" else 1


def _values(found: Explanation) -> bool:
    values, errors = found.values, found.std_error
    return (
        _finite(values, (found.players.count,))
        and np.isfinite(found.explained)
        and (errors is None or (errors.shape == values.shape and errors.dtype.kind == "f"))
    )


def _prediction(said: Prediction, found: Explanation) -> bool:
    count, shares, target = len(found.card.labels), said.probabilities, found.target
    outputs = (target.index, *target.also, *(() if target.against is None else (target.against,)))
    return (
        all(0 <= one < count for one in outputs)
        and count == len(said.labels)
        and said.raw.ndim == 1
        and _finite(said.raw, said.raw.shape)
        and (len(said.raw) == count if shares is None else _finite(shares, (count,)))
    )


def _extras(found: Explanation) -> bool:
    """Attention is (layers, heads, targets, tokens); the other extras are not drawn as it is, few and small."""
    others = [one for name, one in found.extras.items() if name not in MAPS]
    if len(others) > MANY_EXTRAS or not all(isinstance(one, np.ndarray) for one in others):
        return False
    if sum(one.nbytes for one in others) > EXTRAS or any(len(name) > NAME for name in found.extras):
        return False
    return all(_maps(found, name) for name in MAPS if name in found.extras)


def _maps(found: Explanation, name: str) -> bool:
    """Whether attention is between tokens of the input, or those that `tokens` places in it, and of known layers."""
    weights, tokens, layers = (found.extras.get(one) for one in (name, f"{name}_tokens", f"{name}_layers"))
    if not isinstance(weights, np.ndarray) or weights.ndim != 4:
        return False
    shape = weights.shape
    own = shape[3] == len(found.sample.x) if tokens is None else _places(tokens, shape[3], -1)
    return (
        0 < shape[0] * shape[1] <= HEADS
        and shape[2] > 0
        and (shape[2] == shape[3] or name != "attention")
        and own
        and (layers is None or (_places(layers, shape[0], 0) and len(np.unique(layers)) == shape[0]))
        and _finite(weights, shape)
    )


def _places(given: np.ndarray, count: int, least: int) -> bool:
    return (
        given.shape == (count,) and given.dtype.kind in "iu" and bool((given >= least).all() and (given < MANY).all())
    )


def _image(found: Explanation) -> bool:
    view = found.sample.view
    if not isinstance(view, ImageView) or not np.isfinite(view.box).all():
        return False
    left, top, right, bottom = view.box
    return (
        0 < view.width <= LARGEST_SIDE
        and 0 < view.height <= LARGEST_SIDE
        and 0 <= left < right <= view.width
        and 0 <= top < bottom <= view.height
        and view.seen == found.players.owner.shape
        and _photo(view.photo)
    )


@functools.lru_cache(maxsize=16)
def _photo(encoded: bytes) -> bool:
    """Whether this is a whole picture of a size that a view has; it is decoded only if its header says so."""
    from PIL import Image  # here, since records of texts and tables open without it

    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as photo:
            if photo.mode != "RGB" or max(photo.size) > LARGEST_PHOTO:
                return False
            photo.load()
    except Exception:  # a stranger's bytes may raise anything
        return False
    return True


def _text(found: Explanation) -> bool:
    view, size = found.sample.view, len(found.sample.x)
    return (
        isinstance(view, TextView)
        and all(0 <= start <= stop <= len(view.text) for start, stop in (*view.words, *view.spans))
        and 0 <= view.kept <= len(view.words)
        and len(view.tokens) == len(view.spans) == len(view.word_of) == size
        and all(-1 <= word < len(view.words) for word in view.word_of)
    )


def _table(found: Explanation) -> bool:
    view = found.sample.view
    return isinstance(view, TableView) and len(view.cells) > 0


def _series(found: Explanation) -> bool:
    view, shape = found.sample.view, found.sample.x.shape
    return (
        isinstance(view, SeriesView)
        and _over_time(found)
        and view.steps == shape[view.axis]
        and len(view.channels) * view.steps == found.sample.x.size
    )


def _audio(found: Explanation) -> bool:
    view = found.sample.view
    return (
        isinstance(view, AudioView)
        and _over_time(found)
        and view.samples >= 0
        and 0 <= view.rate < float("inf")
        and len(view.low) <= POINTS
        and _finite(view.low, (len(view.low),))
        and _finite(view.high, (len(view.low),))
    )


def _over_time(found: Explanation) -> bool:
    x = found.sample.x
    return 0 <= found.sample.view.axis < x.ndim and _finite(x, x.shape)


def _plain(value: Any) -> bool:
    """Whether this is what a method's parameter can be: a number, a text, a choice, none, or several of them."""
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _finite(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether these are finite floats of this shape, no wider than double."""
    return array.shape == shape and array.dtype.kind == "f" and array.itemsize <= 8 and bool(np.isfinite(array).all())


_VIEWS: dict[str, Callable[[Explanation], bool]] = {
    "image": _image,
    "text": _text,
    "tabular": _table,
    "series": _series,
    "audio": _audio,
}
