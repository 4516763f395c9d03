"""Tables: the columns of a CSV with their ranges and categories, and rows that stand for the data."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any

from app.saying import files
from app.saying.names import labels
from model_zoo.facts import Facts
from model_zoo.frames import called
from model_zoo.modalities.tabular import TableInput, is_missing
from model_zoo.types import Column, UserError

MOST_ROWS = 10_000  # of a table that are looked at
KEPT_ROWS = 500  # that stand for the data
MOST_CATEGORIES = 1_000


@dataclass(frozen=True)
class Table:
    """What a CSV says of the data: its columns with ranges and categories, and some of its rows as CSV text."""

    columns: tuple[Column, ...]
    background: str
    rows: int  # that were looked at


def table(data: str | bytes, name: str, wanted: tuple[Column, ...] = ()) -> Table:
    """Columns and rows of a CSV with a header; `wanted` are those that the model takes, in its order, if it says so.

    A column of numbers has its range, any other its categories: those that the model knows, in its order, then others
    in alphabetical order, as scikit-learn and pandas number them. UserError if it is no table.
    """
    text = files.text(data, name)
    lines = text.split("\n", MOST_ROWS + 1)
    rows = TableInput().rows("\n".join(lines[: MOST_ROWS + 1]).strip("\n") + "\n", name)
    header = tuple(rows[0])
    if all(_is_number(one) for one in header):
        raise UserError(
            f"{name} begins with a row of numbers; its first line is expected to name the columns. Add names."
        )
    known = {one.name: one for one in wanted}
    if known and set(known) <= set(header):
        header = tuple(known)
    columns = tuple(_column(known.get(one, Column(one)), [row[one] for row in rows]) for one in header)
    step = max(1, -(-len(rows) // KEPT_ROWS))
    return Table(columns, written(header, [tuple(row[one] for one in header) for row in rows[::step]]), len(rows))


def written(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A CSV as text."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def narrowed(found: Table, names: tuple[str, ...]) -> Table:
    """The table with these columns alone, in the order of the file."""
    kept = tuple(one for one in found.columns if one.name in names)
    if len(kept) == len(found.columns):
        return found
    header = tuple(one.name for one in kept)
    rows = [tuple(row[one] for one in header) for row in TableInput().rows(found.background, "The table")]
    return Table(kept, written(header, rows), found.rows)


def first_row(facts: Facts, columns: tuple[Column, ...]) -> dict[str, Any]:
    """A row to begin with: the first of the background, else the middle of every range."""
    if facts.background:
        row = TableInput().rows(facts.background, "The background")[0]
        if {one.name for one in columns} <= set(row):
            return {one.name: row[one.name] for one in columns}
    return {one.name: middle(one) for one in columns}


def _is_finite(text: str) -> bool:
    return _is_number(text) and math.isfinite(float(text))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def middle(column: Column) -> Any:
    """A usual value of a column."""
    if column.default is not None:
        return column.default
    if column.kind == "category":
        return column.categories[0] if column.categories else ""
    return (column.low + column.high) / 2 if column.low is not None and column.high is not None else 0.0


def _column(known: Column, values: list[str]) -> Column:
    """What the values say of a column, beside what the model knows of it: a category that it knows is no gap."""
    given = [one for one in values if not is_missing(one, known.categories)]
    gaps = len(given) < len(values)
    if not known.categories and given and all(map(_is_finite, given)):
        found = sorted(map(float, given))
        usual = found[len(found) // 2] if gaps else None
        return Column(
            known.name, low=found[0], high=found[-1], default=usual if known.default is None else known.default
        )
    others = sorted({one for one in given if called(one, known.categories) is None})
    if len(others) > MOST_CATEGORIES:
        raise UserError(
            f"The column {known.name[:60]!r} has {len(others):,} different values that are no numbers, so it is no"
            " feature; leave it out of the table."
        )
    default = known.default
    if default is None and gaps and given:
        most = max(sorted(set(given)), key=given.count)
        default = called(most, known.categories) or most
    return Column(known.name, "category", categories=(*known.categories, *others), default=default)


def columns(text: str) -> tuple[Column, ...]:
    """Feature names typed like class names, or how many features there are."""
    if text.strip().isdigit():
        count = int(text)
        if not 1 <= count <= 2000:
            raise UserError(f"A table has 1 to 2,000 features; {count:,} came.")
        return tuple(Column(f"feature {one}") for one in range(count))
    names = labels(text, "The feature names")
    twice = next((one for one in names if names.count(one) > 1), None) if len(names) <= 2000 else None
    if twice is not None:
        raise UserError(f"The feature {twice[:60]!r} is named twice; give each feature a name of its own.")
    return tuple(Column(one) for one in names)
