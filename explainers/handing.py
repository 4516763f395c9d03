"""What a script gives, made ready for a model in another process: files are read and pictures encoded here.

The worker then reads what a person would have given it directly, and finds the same x. Only what the codec carries is
left: numbers, texts, bytes, arrays, tuples, lists, dicts and our own dataclasses.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from explainers.codec import KINDS
from model_zoo.modalities import _given, _photo, _table
from model_zoo.types import ModelCard, Sample


def given(raw: Any, name: str, card: ModelCard | None) -> tuple[Any, str]:
    """An input and its name; UserError if it cannot be read. None is no input."""
    if raw is None or isinstance(raw, Sample) or card is None:
        return raw, name
    if card.modality == "tabular":
        row, name = _table.one_row(raw, name, tuple(one.name for one in card.columns))
        return carried(row), name
    path = isinstance(raw, os.PathLike) or (isinstance(raw, str) and _named_by_path(raw, card.modality))
    if path or isinstance(raw, (bytes, bytearray, memoryview)):
        return _given.read_bytes(raw, name) if path else (bytes(raw), name)
    return carried(raw), name


def _named_by_path(text: str, modality: str) -> bool:
    """Whether a text is the path of an input rather than the input: a series may be the text of a CSV or of JSON."""
    typed = modality == "series" and ("\n" in text or text.lstrip()[:1] in ("{", "["))
    return modality in ("image", "audio", "series") and not typed


def carried(value: Any) -> Any:
    """A value of a request, as far as it can be carried; the rest is left for the codec to refuse."""
    value = _given.arrayed(value)
    if isinstance(value, os.PathLike):
        return _given.read_bytes(value)[0]
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if hasattr(value, "convert") and hasattr(value, "save"):  # a PIL image
        return _png(value)
    if hasattr(value, "iloc") and hasattr(value, "to_dict"):  # a pandas row, or a table of them
        return carried(value.to_dict("records") if hasattr(value, "columns") else value.to_dict())
    if isinstance(value, np.ndarray) and value.dtype.kind not in KINDS:
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _rows(one) if key == "background" else carried(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(carried, value)) if type(value) in (tuple, list) else tuple(map(carried, value))
    return None if type(value).__name__ == "NAType" else value  # pandas' word for nothing


def _rows(background: Any) -> Any:
    """Rows to average over: a text that is the path of a file is read here."""
    if isinstance(background, (list, tuple)):
        return [_rows(one) for one in background]
    try:
        path = isinstance(background, str) and Path(background).is_file()
    except (OSError, ValueError):  # too long for a path
        path = False
    return _given.read_bytes(background)[0] if path else carried(background)


def _png(image: Any) -> bytes:
    """A picture as it would be looked at, without loss."""
    file = io.BytesIO()
    _photo.open_photo(image).image.save(file, "PNG")
    return file.getvalue()
