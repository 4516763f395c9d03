"""Values to a JSON header and arrays, and back; records and the wire both speak it.

Carries None, bool, int, float (not-a-number and infinities too), str, bytes, tuples, lists, dicts with text keys,
enums, numpy arrays and frozen dataclasses from ALLOWED modules. Decoding builds nothing else, so a hostile header is
harmless: it can only name these types, with their own fields, of the types that their annotations say. Half of a
surrogate pair, which no file and no page can hold, becomes a question mark. A long text (a tokenizer, a table) travels
among the arrays, as UTF-8, so that headers stay small.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import math
import sys
import types
import typing
from typing import Any

import numpy as np

from model_zoo.types import UserError

ALLOWED = (
    "model_zoo.types",
    "model_zoo.facts",
    "model_zoo.files",
    "model_zoo.modalities.image",
    "model_zoo.modalities.text",
    "model_zoo.modalities.tabular",
    "model_zoo.modalities.series",
    "model_zoo.modalities.audio",
    "explainers.types",
    "explainers.diagnosis",
    "explainers.runtime.types",
)
KINDS = "biuf"  # array kinds: no objects, no text
LONG = 1 << 16  # characters of a text that no longer goes into the header


def encode(value: Any) -> tuple[Any, list[np.ndarray]]:
    """A JSON value that refers to arrays by number, and the arrays."""
    arrays: list[np.ndarray] = []
    return _encode(value, arrays), arrays


def decode(header: Any, arrays: list[np.ndarray]) -> Any:
    """The value again; UserError if the header is not one that encode() makes."""
    try:
        return _decode(header, arrays)
    except UserError:
        raise
    except Exception as error:  # a stranger's header may raise anything
        raise UserError(
            "This is not a record that Assay wrote, or it was damaged on the way; it was not opened."
        ) from error


def _encode(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, enum.Enum):  # first, since some are text or numbers as well
        _class(_name(value))
        return {"enum": _name(value), "value": value.value}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) < LONG:
            return _text(value)
        arrays.append(np.frombuffer(_text(value).encode(), dtype=np.uint8))
        return {"text": len(arrays) - 1}
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else {"float": repr(number)}
    if isinstance(value, bytes):
        arrays.append(np.frombuffer(value, dtype=np.uint8))
        return {"bytes": len(arrays) - 1}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in KINDS:
            raise TypeError(f"an array of {value.dtype} cannot be recorded")
        arrays.append(np.ascontiguousarray(value).reshape(value.shape))
        return {"array": len(arrays) - 1}
    if isinstance(value, tuple):
        return {"tuple": [_encode(one, arrays) for one in value]}
    if isinstance(value, list):
        return [_encode(one, arrays) for one in value]
    if isinstance(value, dict):
        return {"dict": [[_text(str(key)), _encode(one, arrays)] for key, one in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        _class(_name(value))
        kept = {one.name: _encode(getattr(value, one.name), arrays) for one in dataclasses.fields(value)}
        return {"is": _name(value), "fields": kept}
    raise TypeError(f"{type(value).__name__} cannot be recorded")


def _decode(header: Any, arrays: list[np.ndarray]) -> Any:
    if header is None or isinstance(header, (bool, int, float)):
        return header
    if isinstance(header, str):
        return _text(header)
    if isinstance(header, list):
        return [_decode(one, arrays) for one in header]
    match header:
        case {"array": int(index)}:
            return arrays[index]
        case {"bytes": int(index)}:
            return arrays[index].tobytes()
        case {"text": int(index)}:
            return arrays[index].tobytes().decode()
        case {"float": str(text)}:
            return float(text)
        case {"tuple": list(items)}:
            return tuple(_decode(one, arrays) for one in items)
        case {"dict": list(items)}:
            return {_text(str(key)): _decode(one, arrays) for key, one in items}
        case {"enum": str(name), "value": raw}:
            found = _class(name)
            if not issubclass(found, enum.Enum):
                raise TypeError(name)
            return found(raw)
        case {"is": str(name), "fields": dict(kept)}:
            found = _class(name)
            if not dataclasses.is_dataclass(found):
                raise TypeError(name)
            values = {key: _decode(one, arrays) for key, one in kept.items()}
            for key, hint in _hints(name).items():
                if key in values and not _fits(values[key], hint):
                    raise TypeError(f"{name} with a {type(values[key]).__name__} as {key}")
            build: Any = found
            return build(**values)
    raise TypeError("unknown header")


@functools.cache
def _hints(name: str) -> dict[str, Any]:
    return typing.get_type_hints(_class(name))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a decoded value is what a field's annotation says, all the way down."""
    if hint is Any:
        return True
    if hint is float:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return isinstance(value, float) or (whole and abs(value) <= sys.float_info.max)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is None:
        return isinstance(value, hint)
    if origin is typing.Literal:
        return value in inner
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in inner)
    if not isinstance(value, origin):
        return False
    if origin is tuple and inner[-1] is Ellipsis:
        return all(_fits(one, inner[0]) for one in value)
    if origin is tuple:
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if origin is list:
        return all(_fits(one, inner[0]) for one in value)
    if origin is dict:
        return all(_fits(one, inner[1]) for one in value.values())
    return True  # an array of any kind


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _name(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _class(name: str) -> Any:
    module, _, qualname = name.partition(":")
    if module not in ALLOWED:
        raise TypeError(f"{name} cannot be recorded")
    found = getattr(importlib.import_module(module), qualname)
    if not isinstance(found, type):
        raise TypeError(name)
    return found
