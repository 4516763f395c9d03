"""Tables: from a row with units and categories to the numbers that a model takes, and back to columns.

Encodings of a row, column after column:
    onehot    a number as (value - mean) / std; a category as one 0 or 1 for each known one, all 0 for an unseen one
    ordinal   a number as it is; a category as its place in Column.categories, unseen ones as 'other' or else -1
    raw       a plain vector of numbers
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from model_zoo.frames import called
from model_zoo.modalities import _given, _table
from model_zoo.types import Column, Players, Reference, Sample, UserError, digest

NUMBERED = re.compile(r"feature \d+")  # how columns are called that nobody named
MISSING = ("", "na", "n/a", "nan", "none", "null", "?")  # how files spell a missing value
YEARS = range(1000, 3000)  # written without a comma in a column of years


@dataclass(frozen=True)
class Cell:
    """One column of the row, as given and as used."""

    name: str
    kind: Literal["number", "category"]
    given: float | str | None  # None: was missing
    used: float | str  # what the model was given
    unit: str = ""
    note: str = ""  # "", "imputed", "never seen in training", "outside the training range 17 to 90"

    @property
    def shown(self) -> str:
        """The value used, as a person writes it, with its unit."""
        year = "year" in self.name.casefold() and self.used in YEARS
        text = format(self.used, "g" if year else ",.6g") if isinstance(self.used, float) else self.used
        return f"{text} {self.unit}".strip()


@dataclass(frozen=True)
class TableView:
    """The row as its owner knows it."""

    cells: tuple[Cell, ...]


@dataclass(frozen=True, eq=False)
class TableInput:
    """How a model takes rows of `columns`; without columns, a plain vector of any length.

    mean, std: one a column, in the column's own unit; used by "onehot" and ignored for categories.
    background_rows: rows as a person gives them, or an array (rows, features) already like x.
    """

    columns: tuple[Column, ...] = ()
    encoding: Literal["onehot", "ordinal", "raw"] = "onehot"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    background_rows: Any = None
    rows_name: str = "background rows"  # "training rows"
    baseline: Any = None  # the default baseline: a name, a number, an array like x or a row
    preprocess: Callable[[Any], Any] | None = None  # from what a person gives to a vector, in place of all reading
    dtype: str = "float32"

    modality: ClassVar[str] = "tabular"
    player_kinds: ClassVar[tuple[str, ...]] = ("columns",)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names that reference() accepts; the first is the default."""
        return _given.ordered(self.baseline, ("zero",) if self.background_rows is None else ("mean", "zero"))

    # -- the way in ----------------------------------------------------------------------------------------------

    def read(self, raw: Any, name: str = "") -> Sample:
        """A dict, JSON, a CSV of one row (bytes, text or path), values in column order, or a pandas row."""
        if self.preprocess is not None:
            raw = self._preprocessed(raw)
        row, name = _table.one_row(raw, name, self._names)
        columns = self.columns or tuple(Column(key) for key in _keys(row))
        if isinstance(row, Mapping) and self.columns:
            columns = self.named_by(tuple(row))
        row = row if isinstance(row, Mapping) else self._in_order(row, columns)
        cells, notes = self._cells(row, columns)
        if self.columns and columns != self.columns:
            notes.append(
                f"The model does not name its columns, so {_given.listed(tuple(row))} were taken in that order."
            )
        told = [_told(cell, column) for cell, column in zip(cells, columns, strict=True) if cell.note]
        given = digest(repr([(cell.name, cell.given) for cell in cells]).encode())
        return Sample("tabular", name, self._encode(cells, columns), TableView(cells), (*notes, *told), given)

    def rows(self, raw: Any, name: str = "") -> tuple[dict[str, str], ...]:
        """All rows of a CSV (bytes, text or path), each for read(); UserError if the header does not fit."""
        found = _table.csv_rows(raw, name, self._names)
        _table.check_names(tuple(found[0]), tuple(one.name for one in self.named_by(tuple(found[0]))))
        return found

    def named_by(self, names: Sequence[str]) -> tuple[Column, ...]:
        """The columns; where nobody named them, with these names of a row in its order; UserError if it has others."""
        if not self.columns or not all(map(NUMBERED.fullmatch, self._names)) or set(self._names) & set(names):
            return self.columns
        if len(names) != len(self.columns):
            raise UserError(
                f"The model takes {len(self.columns):,} columns, whose names it does not say, and {len(names):,} came"
                f" ({_given.listed(tuple(names), 8)}); give as many, in the order of its training and without what it"
                " predicts."
            )
        return tuple(replace(one, name=name) for one, name in zip(self.columns, names, strict=True))

    def encode(self, rows: Sequence[Any]) -> np.ndarray:
        """x of many rows: (rows, features)."""
        return np.stack([self.read(row).x for row in rows])

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def _preprocessed(self, raw: Any) -> np.ndarray:
        assert self.preprocess is not None
        found = self.preprocess(raw)
        vector = np.asarray(_given.arrayed(found))
        if vector.dtype.kind not in "fiub":
            raise UserError(f"preprocess was expected to return a vector of numbers; {type(found).__name__} came.")
        return vector.reshape(-1).astype(self.dtype)

    def _in_order(self, row: Sequence[Any], columns: tuple[Column, ...]) -> dict[str, Any]:
        """Values without names, in the order of the columns."""
        if len(row) != len(columns):
            raise UserError(
                f"A row without names has {len(columns):,} values in column order"
                f" ({_given.listed([column.name for column in columns], 3)}); {len(row):,} came."
            )
        found = {}
        for column, value in zip(columns, row, strict=True):
            code = isinstance(value, (float, int, np.number)) and column.kind == "category"
            if code and self.encoding == "ordinal" and value in range(len(column.categories)):
                value = column.categories[int(value)]  # an array of numbers holds a category by its place
            found[column.name] = value
        return found

    def _cells(self, row: Mapping[str, Any], columns: tuple[Column, ...]) -> tuple[tuple[Cell, ...], list[str]]:
        """Every column of a row, checked, and what has to be said about the row as a whole."""
        notes = _table.check_names(tuple(row), tuple(column.name for column in columns))
        return tuple(self._cell(column, row[column.name]) for column in columns), notes

    def _cell(self, column: Column, value: Any) -> Cell:
        """What one column of the row says, checked; UserError names the column, what was expected and what came."""
        if hasattr(value, "item") and np.ndim(value) == 0:
            value = value.item()
        if isinstance(value, (list, tuple, dict, set, bytes)) or (hasattr(value, "shape") and np.ndim(value)):
            raise UserError(f"{column.name} is one value; {type(value).__name__} came.")
        if is_missing(value, column.categories):
            return self._imputed(column)
        return self._number(column, value) if column.kind == "number" else self._category(column, value)

    def _imputed(self, column: Column) -> Cell:
        if column.default is None:
            raise UserError(
                f"{column.name} is empty or not a number (NaN), and there is nothing to put in its place; give a value."
            )
        used = float(column.default) if column.kind == "number" else str(column.default)
        return Cell(column.name, column.kind, None, used, column.unit, "imputed")

    def _number(self, column: Column, value: Any) -> Cell:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise UserError(f"{column.name} is a number{_unit(column)}; {value!r} came.") from error
        if math.isinf(number):
            raise UserError(f"{column.name} is a finite number{_unit(column)}; {value!r} came.")
        low = -math.inf if column.low is None else column.low
        high = math.inf if column.high is None else column.high
        note = "" if low <= number <= high else f"outside the training range{_range(column)}"
        return Cell(column.name, "number", number, number, column.unit, note)

    def _category(self, column: Column, value: Any) -> Cell:
        whole = isinstance(value, float) and value.is_integer()
        text = str(int(value) if whole else value)
        used = called(text, column.categories)
        note = "" if used is not None else "never seen in training"
        return Cell(column.name, "category", text.strip(), text.strip() if used is None else used, column.unit, note)

    # -- encoding ------------------------------------------------------------------------------------------------

    def _encode(self, cells: Sequence[Cell], columns: Sequence[Column]) -> np.ndarray:
        parts = (part for cell, column in zip(cells, columns, strict=True) for part in self._parts(cell, column))
        return np.array(list(parts), dtype=self.dtype)

    def _parts(self, cell: Cell, column: Column) -> tuple[float, ...]:
        """The encoded numbers of one cell."""
        if cell.kind == "number":
            number = float(cell.used)
            mean, std = self._scaling.get(column.name, (0.0, 1.0))
            return ((number - mean) / std,)
        if self.encoding == "onehot":
            return tuple(float(cell.used == one) for one in column.categories)
        if cell.used in column.categories:
            return (float(column.categories.index(str(cell.used))),)
        others = [index for index, one in enumerate(column.categories) if one.casefold() == "other"]
        return (float(others[0]) if others else -1.0,)

    def in_own_unit(self, name: str, encoded: float) -> float:
        """A number of the column of this name, as it is encoded in x, in the column's own unit."""
        mean, std = self._scaling.get(name, (0.0, 1.0))
        return encoded * std + mean

    @functools.cached_property
    def _scaling(self) -> dict[str, tuple[float, float]]:
        if self.encoding != "onehot" or not self.mean:
            return {}
        return {name: (m, s or 1.0) for name, m, s in zip(self._names, self.mean, self.std, strict=True)}

    @functools.cached_property
    def _owner(self) -> np.ndarray:
        """The column of each encoded feature, whole numbers (features,)."""
        wide = [len(c.categories) if c.kind == "category" and self.encoding == "onehot" else 1 for c in self.columns]
        return np.repeat(np.arange(len(self.columns)), wide)

    @property
    def _codes(self) -> tuple[int, ...]:
        """The features that hold a category by its place."""
        if self.encoding != "ordinal":
            return ()
        return tuple(place for place, column in enumerate(self.columns) if column.kind == "category")

    @functools.cached_property
    def _encoded_rows(self) -> np.ndarray | None:
        return None if self.background_rows is None else self._encoded(self.background_rows)

    def _encoded(self, rows: Any, names: Sequence[str] = ()) -> np.ndarray:
        """Rows like x, (rows, features), of an array like x or of rows as a person gives them.

        names: what the sample calls its columns, for a model that names none.
        """
        rows = _table.many_rows(rows, self._names)
        first = rows.iloc[:0] if hasattr(rows, "iloc") else rows[0]
        taken = self._named(first, names)
        if hasattr(rows, "iloc"):
            return taken.encode(rows.to_dict("records")) if self.preprocess is not None else taken._of_table(rows)
        numeric = isinstance(rows, np.ndarray) and rows.ndim == 2
        if not numeric or (self.columns and rows.shape[1] != len(self._owner)):
            return taken.encode(rows)
        if not np.isfinite(rows).all():
            raise UserError("The background is made of finite numbers; NaN or infinity came.")
        return np.asarray(rows, dtype=self.dtype)

    def _named(self, row: Any, names: Sequence[str]) -> TableInput:
        """Itself; where it names no columns and the row has all of these names, one that takes them by name."""
        if self.columns or self.preprocess is not None or not names or not set(names) <= set(_table.names_of(row)):
            return self
        return replace(self, columns=tuple(Column(one) for one in names), baseline=None, background_rows=None)

    def _of_table(self, table: Any) -> np.ndarray:
        """x (rows, features) of a pandas table, column by column: each value of a category is looked at once."""
        own = [str(one) for one in table.columns]
        columns = self.named_by(own) or tuple(map(Column, own))
        _table.check_names(tuple(own), tuple(column.name for column in columns))
        twice = [column.name for column in columns if own.count(column.name) > 1]
        if twice:
            raise UserError(f"The background has the column '{twice[0]}' more than once; name each column once.")
        place = {one: index for index, one in enumerate(own)}
        parts = [self._of_column(column, table.iloc[:, place[column.name]]) for column in columns]
        return np.concatenate(parts, axis=1).astype(self.dtype)

    def _of_column(self, column: Column, values: Any) -> np.ndarray:
        """The encoded numbers (rows, parts) of one pandas column."""
        array = values.to_numpy()
        if column.kind == "number" and array.dtype.kind in "fiub" and np.isfinite(array).all():
            mean, std = self._scaling.get(column.name, (0.0, 1.0))
            return ((array.astype(np.float64) - mean) / std)[:, None]
        import pandas as pd

        try:
            places, found = pd.factorize(array, use_na_sentinel=False)
        except TypeError:  # lists and the like, which the first row's sentence names
            places, found = np.arange(len(array)), array
        told = [self._parts(self._cell(column, one), column) for one in found]
        return np.array(told, dtype=np.float64).reshape(len(told), -1)[places]

    # -- players and references ----------------------------------------------------------------------------------

    def players(self, sample: Sample, kind: str | None = None, **options: Any) -> Players:
        """Columns: all encoded parts of a column are one player."""
        if kind not in (None, "columns"):
            raise UserError(f"The players of a table are columns; {kind!r} came.")
        names = tuple(cell.name for cell in sample.view.cells)
        owner = self._owner if self.columns else np.arange(len(sample.x))
        return Players("columns", owner, len(names), names)

    def reference(self, sample: Sample, baseline: Any = None) -> Reference:
        """One row to compare with: "mean" of the background, "zero", a number, an array like x, or a row as a dict."""
        baseline = _given.named(baseline, self.baseline, self.baselines)
        x = sample.x
        if isinstance(baseline, Mapping) or hasattr(baseline, "iloc"):  # a row with names, also of pandas
            row = self._named(baseline, _names_in(sample)).read(baseline).x
            return Reference("given", _given.constant(row, x).rows, "the row given")
        if not isinstance(baseline, str):
            return _given.constant(baseline, x)
        if baseline == "mean":
            rows = self._own_rows(x)
            row = rows.mean(0, dtype=np.float64)
            codes = self._codes
            for place in codes:  # a category has no mean, and a code between two of them is none
                values, counts = np.unique(rows[:, place], return_counts=True)
                row[place] = values[counts.argmax()]
            said = ", of a category the most frequent" if codes else ""
            return Reference("mean", row.astype(x.dtype)[None], f"the mean of {len(rows):,} {self.rows_name}{said}")
        standard = self.encoding == "onehot" and bool(self.mean)
        sentence = "the training mean of each number, and no category" if standard else "zero in every column"
        return Reference("zero", np.zeros_like(x)[None], sentence)

    def background(self, sample: Sample, rows: Any = None) -> Reference:
        """Rows to average over: those given, the model's own, or the baseline alone."""
        if rows is None and self.background_rows is None:
            return self.reference(sample)
        if rows is None:
            return Reference(
                "background", self._own_rows(sample.x), f"{len(self._own_rows(sample.x)):,} {self.rows_name}"
            )
        found = _given.stacked(self._encoded(rows, _names_in(sample)), sample.x)
        return Reference("background", found, f"{len(found):,} row{'s' * (len(found) != 1)} given")

    def _own_rows(self, x: np.ndarray) -> np.ndarray:
        return _given.stacked(self._encoded_rows, x)


def _names_in(sample: Sample) -> tuple[str, ...]:
    """What the sample calls its columns; a made-up one has no view."""
    return () if sample.view is None else tuple(cell.name for cell in sample.view.cells)


def _keys(row: Any) -> tuple[str, ...]:
    """The columns of a row for a model that names none: its own, or numbered."""
    return tuple(row) if isinstance(row, Mapping) else tuple(f"feature {index}" for index in range(len(row)))


def is_missing(value: Any, categories: Sequence[str] = ()) -> bool:
    """Whether nothing was given: None, NaN, or a word for it that no category is called."""
    if value is None or type(value).__name__ == "NAType" or value != value:  # pandas' NA has no truth
        return True
    if not isinstance(value, str):
        return False
    return value.strip().casefold() in MISSING and called(value, categories) is None


def _unit(column: Column) -> str:
    return f" in {column.unit}" if column.unit else ""


def _range(column: Column) -> str:
    if column.low is None or column.high is None:
        return f", up to {column.high:g}" if column.low is None else f", from {column.low:g}"
    return f" {column.low:g} to {column.high:g}"


def _told(cell: Cell, column: Column) -> str:
    """The note of a cell as a sentence."""
    if cell.note == "imputed":
        return f"{cell.name} was empty; {cell.shown} was put in its place."
    if cell.kind == "category":
        near = _table.nearest(str(cell.given), column.categories)
        return f"{cell.name} '{cell.given}' was never seen in training; the nearest that was is '{near}'."
    return f"{cell.name} {cell.shown} is {cell.note}."
