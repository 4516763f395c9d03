"""Rows from outside: JSON, CSV, arrays, dicts and pandas rows become a dict a row, or a vector of numbers."""

from __future__ import annotations

import csv
import difflib
import io
import json
import numbers
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model_zoo.modalities import _given
from model_zoo.types import UserError

MOST_HEADER = 1_000_000  # bytes
MOST_COLUMNS = 2_000
MOST_ROWS = 10_000
STEP = re.compile(r"\bstep (\d+)$")  # in the names of a series' columns


def one_row(raw: Any, name: str, expected: Sequence[str]) -> tuple[Any, str]:
    """One row as a dict, a list of values or a vector of numbers, and its name; UserError if it is not one row."""
    raw = _given.arrayed(raw)
    if hasattr(raw, "iloc") and hasattr(raw, "columns"):  # a pandas table
        if len(raw) != 1:
            raise UserError(f"One row is explained at a time; a table of {len(raw):,} rows came. Choose one.")
        raw = raw.iloc[0]
    if hasattr(raw, "iloc") and hasattr(raw, "to_dict"):  # a pandas row
        raw = {str(key): value for key, value in raw.to_dict().items()}
    if isinstance(raw, Mapping):
        return dict(raw), name
    if isinstance(raw, (str, bytes, bytearray, os.PathLike)):
        return _row_of_file(raw, name, expected)
    if isinstance(raw, (np.ndarray, list, tuple)):
        return _vector(raw, expected), name
    raise UserError(
        "A row is a dict of columns, a CSV with a header and one row, JSON, or numbers in column order;"
        f" {type(raw).__name__} came."
    )


def many_rows(raw: Any, expected: Sequence[str]) -> Any:
    """Rows as a pandas table, numbers (rows, features) or a list of rows; one row alone is a list of one.

    UserError if there is no row, or if it is nothing of the kind.
    """
    raw = _given.arrayed(raw)
    if isinstance(raw, (str, bytes, bytearray, os.PathLike)):
        return list(csv_rows(raw, "", expected))
    if isinstance(raw, Mapping) or (hasattr(raw, "iloc") and not hasattr(raw, "columns")):  # a dict or pandas row
        return [raw]
    if not isinstance(raw, Sequence) and not (hasattr(raw, "__getitem__") and getattr(raw, "ndim", 0) > 0):
        raise UserError(
            "A background is an array of numbers (rows, features), a pandas table, a list of rows or a CSV;"
            f" {type(raw).__name__} came."
        )
    if not len(raw):
        raise UserError("The background is empty; give at least one row.")
    if hasattr(raw, "iloc"):
        return raw
    if isinstance(raw, np.ndarray) and raw.dtype.kind in "fiub":
        return raw[None] if raw.ndim == 1 else raw
    if isinstance(raw, Sequence) and all(isinstance(one, numbers.Real) for one in raw):
        return np.array([raw], dtype=np.float64)
    if isinstance(raw, Sequence) and all(isinstance(one, (str, numbers.Real)) for one in raw):
        return [list(raw)]  # one row in column order, with categories in words
    return list(raw)


def names_of(row: Any) -> tuple[str, ...]:
    """The names in a row: a dict's keys, a pandas row's index, a pandas table's columns; none in a list of values."""
    if isinstance(row, Mapping):
        return tuple(map(str, row))
    return tuple(map(str, getattr(row, "columns", getattr(row, "index", ())))) if hasattr(row, "iloc") else ()


def csv_rows(raw: Any, name: str, expected: Sequence[str]) -> tuple[dict[str, str], ...]:
    """All rows of a CSV with a header, as text; UserError if it is no such table or too large."""
    text, name = _text(raw, name)
    name = name or "The table"
    header = text[: text.find("\n") if "\n" in text else len(text)]
    if len(header.encode()) > MOST_HEADER:
        raise UserError(f"{name} has a header line of more than 1 MB, so it is no table; give a CSV with a header.")
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(header, expected), strict=True)
        names = tuple(one.strip() for one in next(lines))
        _check_header(names, name)
        rows: list[dict[str, str]] = []
        for line in lines:
            if not any(cell.strip() for cell in line):
                continue
            if len(line) != len(names):
                raise UserError(
                    f"{name} has {len(names)} columns, but row {len(rows) + 1} has {len(line)} values;"
                    " check its commas and quotes."
                )
            if len(rows) == MOST_ROWS:
                raise UserError(f"{name} has more than {MOST_ROWS:,} rows; give a part of it.")
            rows.append({key: cell.strip() for key, cell in zip(names, line, strict=True)})
    except (csv.Error, StopIteration) as error:
        raise UserError(f"{name} cannot be read as a CSV ({error or 'it has no header'}); check its quotes.") from error
    if not rows:
        raise UserError(f"{name} has a header and no rows; add at least one row.")
    return tuple(rows)


def check_names(given: tuple[str, ...], expected: tuple[str, ...]) -> list[str]:
    """A note for columns that the model does not take; UserError for those that it misses."""
    extra = [str(name) for name in given if name not in set(expected)]
    missing = [name for name in expected if name not in set(given)]
    if missing:
        near = nearest(missing[0], extra)
        raise UserError(
            f"The row has no {_plural('column', missing)} {_given.listed(missing)}; expected are"
            f" {_given.listed(expected, 40)}." + (f" Nearest to '{missing[0]}' comes '{near}'." if near else "")
        )
    if extra:
        return [f"The model does not take the {_plural('column', extra)} {_given.listed(extra)}, left out here."]
    return []


def nearest(word: str, words: Sequence[str]) -> str:
    """The word spelt most alike, or "" where there is none."""
    folded = {one.casefold(): one for one in words}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.0)
    return folded[near[0]] if near else ""


def _row_of_file(raw: Any, name: str, expected: Sequence[str]) -> tuple[dict[str, Any], str]:
    text, name = _text(raw, name)
    if text.lstrip()[:1] in ("{", "["):
        return _row_of_json(text, name or "The row"), name
    rows = csv_rows(text, name, expected)
    if len(rows) != 1:
        raise UserError(f"{name or 'The table'} has {len(rows):,} rows; one is explained at a time. Choose one.")
    return dict(rows[0]), name


def _row_of_json(text: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{name} looks like JSON but cannot be read ({error}); check it.") from error
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        raise UserError(f"{name} is one JSON object of column names and values; a {type(found).__name__} came.")
    return found


def _text(raw: Any, name: str) -> tuple[str, str]:
    """The text of a CSV or JSON: a string with a line break or a brace is the text itself, any other is a path."""
    if isinstance(raw, str) and ("\n" in raw or "\r" in raw or raw.lstrip()[:1] in ("{", "[")):
        return raw.replace("\r\n", "\n").replace("\r", "\n"), name
    data, name = _given.read_bytes(raw, name)
    if b"\0" in data[:4096]:
        raise UserError(f"{name or 'The table'} is not a text file; give a CSV or JSON.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name or 'The table'} is not a UTF-8 text; save the CSV in UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n"), name


def _vector(raw: Any, expected: Sequence[str] = ()) -> Any:
    """A one-dimensional array of floats, or a list of mixed values; a series (steps, features) step by step."""
    try:
        found = np.asarray(raw)
    except ValueError as error:
        raise UserError("A row of numbers has one dimension; a ragged list came.") from error
    last = STEP.search(expected[-1]) if expected else None
    series = last is not None and found.ndim == 2 and found.size == len(expected) and len(found) == int(last[1]) + 1
    if found.ndim == 2 and (len(found) == 1 or series):
        found = found.reshape(-1)
    if found.ndim != 1:
        raise UserError(f"A row of numbers has one dimension, a value a column; an array of shape {found.shape} came.")
    if found.dtype.kind in "fiub":
        return found.astype(np.float64)
    return list(raw[0] if isinstance(raw, np.ndarray) and raw.ndim == 2 else raw)


def _delimiter(header: str, expected: Sequence[str]) -> str:
    """The sign between columns under which the header shows most of the expected names."""
    known = {one.casefold() for one in expected}

    def fits(sign: str) -> tuple[int, int]:
        names = [one.strip().strip('"').casefold() for one in header.split(sign)]
        return sum(one in known for one in names), len(names)

    return max((",", ";", "\t"), key=fits)


def _check_header(names: tuple[str, ...], name: str) -> None:
    if len(names) > MOST_COLUMNS:
        raise UserError(f"{name} has {len(names):,} columns; at most {MOST_COLUMNS:,} are read.")
    twice = [one for one in dict.fromkeys(names) if names.count(one) > 1]
    if twice:
        raise UserError(f"{name} has the column '{twice[0]}' more than once; name each column once.")


def _plural(word: str, things: Sequence[Any]) -> str:
    return word if len(things) == 1 else f"{word}s"
