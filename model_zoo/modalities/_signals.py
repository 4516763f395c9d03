"""What series and sounds share: an axis of time among the axes of x, spans of it, and numbers from files.

Every array is looked at as (rows, steps): rows are channels, or the bands of a spectrogram; steps lie on one axis of x.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_zoo.modalities import _given, _table
from model_zoo.types import UserError

SPANS = 20  # of time, where nobody says how many
MOST_SPANS = 2000
MOST_NUMBERS = 2**25  # of one input, 256 MB in double precision
MOST_TYPED = 4_000_000  # numbers of a CSV or JSON, which are slower to read
NPY = b"\x93NUMPY"
TIMES = ("time", "t", "step", "steps", "index", "timestamp", "date", "datetime", "seconds", "")  # columns that count
Fits = Callable[[np.ndarray], bool]  # whether the network runs on an x of this shape


@dataclass(frozen=True)
class Table:
    """Numbers (steps, channels) with the names that they came with, if any, and what was left out on the way."""

    numbers: np.ndarray
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


# -- axes --------------------------------------------------------------------------------------------------------------


def over_time(array: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """(rows, steps) of an array with the shape of x or of its trailing axes; time lies on `axis` of x."""
    whole = np.broadcast_to(array, shape)
    return np.moveaxis(whole, axis, -1).reshape(-1, shape[axis])


def laid(rows: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """The inverse of over_time: an array of shape `shape` from (rows, steps)."""
    others = [size for place, size in enumerate(shape) if place != axis]
    return np.array(np.moveaxis(rows.reshape(*others, shape[axis]), -1, axis), order="C")  # its own, not a view


def axis_of(wanted: int, shape: tuple[int, ...]) -> int:
    """The axis of x that somebody named, counted from 0; UserError if x has no such axis."""
    if not -len(shape) <= wanted < len(shape):
        raise UserError(
            f"time_axis={wanted} is no axis of an input of shape {shape}; give a number from {-len(shape)} to"
            f" {len(shape) - 1}."
        )
    return wanted % len(shape)


def spans(steps: int, options: Mapping[str, Any], name: str = "spans", usual: int = SPANS) -> np.ndarray:
    """The span of each step, whole numbers (steps,) from 0: spans as long as each other up to one step."""
    wanted = options.get(name, usual)
    if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer)) or not 1 <= wanted <= MOST_SPANS:
        raise UserError(f"{name} is a whole number between 1 and {MOST_SPANS:,}; {wanted!r} came.")
    return np.arange(steps) * min(int(wanted), steps) // steps


def edges(index: np.ndarray) -> list[tuple[int, int]]:
    """First and last step of each span of `index` (steps,)."""
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    return list(zip(starts.tolist(), [*(starts[1:] - 1).tolist(), len(index) - 1], strict=True))


def fitting(candidates: Sequence[np.ndarray], fits: Fits | None) -> np.ndarray:
    """The first arrangement on which the network runs, else the first of all."""
    if fits is None or len(candidates) == 1:
        return candidates[0]
    return next((one for one in candidates if fits(one)), candidates[0])


def finite(x: np.ndarray, dtype: str, what: str) -> np.ndarray:
    """x in the model's precision; UserError where it is empty, too large or not made of finite numbers."""
    if not x.size:
        raise UserError(f"{what} is empty (shape {x.shape}); give at least one number.")
    if x.size > MOST_NUMBERS:
        raise UserError(f"{what} has {x.size:,} numbers; at most {MOST_NUMBERS:,} are read. Cut it first.")
    found = np.ascontiguousarray(x, dtype=dtype)
    if not np.isfinite(found).all():
        raise UserError(f"{what} is made of finite numbers; NaN or infinity came. Fill the gaps first.")
    return found


# -- numbers -----------------------------------------------------------------------------------------------------------


def array(raw: Any, what: str) -> np.ndarray:
    """An array of numbers of any shape; UserError if it is none."""
    try:
        found = np.asarray(_given.arrayed(raw))
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} has as many numbers in every row; a ragged list came.") from error
    if found.dtype.kind == "O":
        try:
            found = found.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"{what} is made of numbers; {type(raw).__name__} with something else came.") from error
    if found.dtype.kind not in "fiub" or found.ndim == 0:
        raise UserError(f"{what} is made of numbers, one for each step; {type(raw).__name__} came.")
    return found


def npy(data: bytes, name: str) -> np.ndarray:
    """The array of an .npy file; its header is held against its length before anything is made of it."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(stream)
        if dtype.kind not in "fiub":
            raise UserError(f"{name} holds {dtype}, no plain numbers; save an array of numbers.")
        count = int(np.prod(shape, dtype=object))
        if count * dtype.itemsize != len(data) - stream.tell():
            raise UserError(f"{name} is damaged or cut short; save it again.")
        found = np.frombuffer(data, dtype, count, stream.tell())
    except UserError:
        raise
    except Exception as error:  # a stranger's header may raise anything
        raise UserError(f"{name} starts like a numpy file but cannot be read; save it again.") from error
    return found.reshape(shape[::-1]).T if fortran else found.reshape(shape)


def table_of(channels: Mapping[Any, Any], what: str) -> Table:
    """A dict of channels as a table; UserError if they differ in length. A dict of single numbers is one channel."""
    if not channels:
        raise UserError(f"{what} is empty; give at least one channel.")
    columns = {str(key): array(np.atleast_1d(_given.arrayed(one)), what) for key, one in channels.items()}
    wrong = [key for key, one in columns.items() if one.ndim != 1]
    if wrong:
        raise UserError(f"Each channel is a list of numbers; '{wrong[0]}' has shape {columns[wrong[0]].shape}.")
    (first, steps), *others = ((key, len(one)) for key, one in columns.items())
    for other, count in others:
        if count != steps:
            raise UserError(
                f"Every channel has as many steps; '{first}' has {steps:,} and '{other}' has {count:,}. Cut them alike."
            )
    if others and steps == 1:  # a pandas row: one channel by its index
        return Table(np.concatenate(list(columns.values()))[:, None])
    return Table(np.stack(list(columns.values()), 1).astype(np.float64), tuple(columns))


def file(raw: Any, name: str, what: str) -> tuple[np.ndarray | Table, str]:
    """The numbers in a file (a path, its bytes, or its text): .npy, JSON or CSV; and a name for it."""
    if isinstance(raw, (bytes, bytearray, memoryview, os.PathLike)) or not _is_text(raw):
        data, name = _given.read_bytes(raw, name)
        if data.startswith(NPY):
            return npy(data, name or what), name
        raw = data
    text, name = _table._text(raw, name)
    return (_json if text.lstrip()[:1] in ("{", "[") else _csv)(text, name or what), name


def _is_text(raw: Any) -> bool:
    return isinstance(raw, str) and ("\n" in raw or "\r" in raw or raw.lstrip()[:1] in ("{", "["))


def _json(text: str, name: str) -> np.ndarray | Table:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} looks like JSON but cannot be read; check it.") from error
    return table_of(found, name) if isinstance(found, dict) else array(found, name)


def _csv(text: str, name: str) -> Table:
    """Columns are channels, rows are steps; a first line of numbers is no header."""
    header = text[: text.find("\n") if "\n" in text else len(text)]
    if len(header) > _table.MOST_HEADER:
        raise UserError(f"{name} has a first line of more than 1 MB, so it is no table; give one step a line.")
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=_table._delimiter(header, ()), strict=True)
        first = [one.strip() for one in next(lines)]
        named = not all(map(_is_number, first))
        rows: list[list[str]] = [] if named else [first]
        for line in lines:
            if not any(cell.strip() for cell in line):
                continue
            if len(line) != len(first):
                raise UserError(
                    f"{name} has {len(first):,} columns, but its step {len(rows):,} has {len(line):,} values; check its"
                    " commas."
                )
            rows.append(line)
            if len(rows) * len(first) > MOST_TYPED:
                raise UserError(f"{name} has more than {MOST_TYPED:,} numbers; give a part of it, or an .npy file.")
    except (csv.Error, StopIteration) as error:
        raise UserError(f"{name} cannot be read as a CSV ({error or 'it is empty'}); check it.") from error
    if not rows:
        raise UserError(f"{name} has a header and no steps; add at least one line of numbers.")
    names = tuple(first) if named else ()
    twice = [one for one in dict.fromkeys(names) if names.count(one) > 1]
    if twice:
        raise UserError(f"{name} has the column '{twice[0]}' more than once; name each column once.")
    kept = [place for place, one in enumerate(names) if one.casefold() not in TIMES] if named else None
    left = () if kept is None else tuple(one for place, one in enumerate(names) if place not in kept)
    if not kept:
        kept, left = list(range(len(first))), ()
    numbers = np.empty((len(rows), len(kept)))
    for step, line in enumerate(rows):
        for column, place in enumerate(kept):
            try:
                numbers[step, column] = float(line[place])
            except ValueError as error:
                where = f"'{names[place]}'" if named else f"column {place + 1}"
                raise UserError(
                    f"{name} has {line[place].strip()[:40]!r} in {where} at step {step:,}; a number is expected there."
                ) from error
    if not named and len(rows) == 1 and len(kept) > 1:
        numbers = numbers.T  # one line of numbers is one channel
    notes = (f"The column '{left[0]}' counts the steps and was left out.",) if left else ()
    return Table(numbers, tuple(names[place] for place in kept) if named else (), notes)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
