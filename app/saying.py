"""What an owner says of a model, from what was typed or what a small file holds, to Facts: class names, how pixels
become numbers, the columns of a table, a tokenizer. The form in the browser and the command line read it alike.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from dataclasses import dataclass
from typing import Any

from model_zoo import catalogue
from model_zoo.facts import IMAGENET_MEAN, IMAGENET_STD, Facts
from model_zoo.modalities.tabular import MISSING, TableInput
from model_zoo.types import Column, UserError

MOST_LABELS = 100_000
LARGEST_TEXT = 64 << 20  # bytes of a tokenizer or a table
MOST_ROWS = 10_000  # of a table that are looked at
KEPT_ROWS = 500  # that stand for the data
MOST_CATEGORIES = 1_000
HEADERS = ("label", "labels", "class", "classes", "name", "names", "class name", "class_name", "classname", "category")
NUMBERED = re.compile(r"\s*\d+\s*[:;,.\t )-]\s*(\S.*)")


@dataclass(frozen=True)
class Normalisation:
    """A usual way from pixels 0 to 255 to numbers: p * scale / 255, minus mean, over std; one a channel or for all."""

    title: str
    scale: float
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def facts(self, channels: int) -> Facts:
        """As facts about a model of so many channels; a grey picture has the mean of the colours' numbers."""
        return Facts(scale=self.scale, mean=_spread(self.mean, channels), std=_spread(self.std, channels))


NORMALISATIONS: dict[str, Normalisation] = {
    "imagenet": Normalisation("ImageNet's mean and spread (torchvision, timm)", 1.0, IMAGENET_MEAN, IMAGENET_STD),
    "zero-one": Normalisation("0 to 1", 1.0),
    "minus-one-one": Normalisation("−1 to 1", 1.0, (0.5,), (0.5,)),
    "bytes": Normalisation("0 to 255", 255.0),
    "caffe": Normalisation("0 to 255, mean colour taken off (Caffe, Keras' VGG)", 255.0, (103.939, 116.779, 123.68)),
}


def normalisation(facts: Facts) -> str:
    """The id of the usual normalisation that these facts describe; empty where it is one of its own."""
    channels = facts.channels or 3
    mean, std = facts.mean or (0.0,) * channels, facts.std or (1.0,) * channels
    for id, one in NORMALISATIONS.items():
        usual = one.facts(channels)
        if _same(usual.mean, mean) and _same(usual.std, std) and usual.scale == (facts.scale or 1.0):
            return id
    return ""


def _spread(numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return numbers if len(numbers) == channels else (round(sum(numbers) / len(numbers), 6),) * channels


def _same(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    return len(left) == len(right) and all(abs(a - b) < 2e-3 for a, b in zip(left, right, strict=True))


def numbers(text: str, what: str, count: int) -> tuple[float, ...]:
    """'0.5, 0.5, 0.5' as numbers; one stands for every channel. UserError says how many are expected."""
    try:
        found = tuple(float(one) for one in re.split(r"[\s,;]+", text.strip(" \t\n[]()")) if one)
    except ValueError:
        found = ()
    found = found * count if len(found) == 1 else found
    if len(found) != count:
        many = f"{count} numbers, one a channel" if count > 1 else "one number"
        raise UserError(f"{what} is expected to be {many}, such as {', '.join(['0.5'] * count)}; {text[:40]!r} came.")
    return found


# -- class names -------------------------------------------------------------------------------------------------------


def imagenet() -> tuple[str, ...]:
    """The thousand classes of ImageNet in their usual order."""
    return catalogue.card("efficientnet_lite0").labels


def labels(given: str | bytes, name: str = "") -> tuple[str, ...]:
    """Class names in the order of the outputs: one a line, with commas, a CSV, or JSON as class_to_idx or id2label.

    UserError if they cannot be told.
    """
    text = _text(given, name or "The class names").strip()
    if not text:
        return ()
    found = _structured(text, name) if text[:1] in "[{(" else _lines(text)
    found = [" ".join(one.split()) for one in found]
    if any(not one for one in found):
        raise UserError(f"Class name {found.index('') + 1} is empty; give one name for each output, in their order.")
    if len(found) > MOST_LABELS:
        raise UserError(f"{len(found):,} class names came; at most {MOST_LABELS:,} are read.")
    return tuple(found)


def _structured(text: str, name: str) -> list[str]:
    """Names in JSON, or in a list or dict as Python prints it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise UserError(
                f"{name or 'The text'} begins like JSON but cannot be read as such; give class names one a line, or a"
                ' JSON list such as ["cat", "dog"].'
            ) from error
    return _ordered(found, name)


def _ordered(found: Any, name: str) -> list[str]:
    if isinstance(found, dict):
        for key in ("id2label", "label2id", "labels", "classes", "class_names", "names", "class_to_idx"):
            if isinstance(found.get(key), (dict, list)) and found[key]:
                return _ordered(found[key], name)
        by_place = {str(key): one for key, one in found.items()}
        places = [str(one) for one in range(len(by_place))]
        if set(by_place) == set(places):  # id2label, or ImageNet's {"0": ["n01440764", "tench"]}
            return _ordered([by_place[one] for one in places], name)
        if sorted(found.values(), key=str) == sorted(range(len(found)), key=str):  # class_to_idx
            return [str(one) for one, _ in sorted(found.items(), key=lambda pair: pair[1])]
    elif isinstance(found, (list, tuple, set)) and not isinstance(found, set):
        names = [one[-1] if isinstance(one, (list, tuple)) and one else one for one in found]
        if all(isinstance(one, (str, int, float)) for one in names):
            return [str(one) for one in names]
    raise UserError(
        f'{name or "The text"} is not a list of class names: expected ["cat", "dog"], {{"0": "cat", "1": "dog"}} or'
        ' {"cat": 0, "dog": 1}, with numbers from 0 and none left out.'
    )


def _lines(text: str) -> list[str]:
    lines = [one.strip() for one in text.splitlines() if one.strip()]
    if len(lines) == 1:
        return [one.strip() for one in next(csv.reader(lines, skipinitialspace=True))]
    headed = any(one.strip('" ').casefold() in HEADERS for one in re.split(r"[,;\t]", lines[0]))
    numbered = _numbered(lines[1:] if headed else lines)
    if numbered:
        return numbered
    rows = list(csv.reader(lines, skipinitialspace=True))
    if headed and len(rows) > 2:
        rows, lines = rows[1:], lines[1:]
    single = all(len([cell for cell in row if cell.strip()]) == 1 for row in rows)
    return [row[0] if row[0].strip() else row[-1] for row in rows] if single else lines


def _numbered(lines: list[str]) -> list[str]:
    """Names of lines such as '0: cat' or '3,dog', in the order of their numbers; none if these leave one out."""
    found: dict[int, str] = {}
    for line in lines:
        match = NUMBERED.fullmatch(line)
        if match is None:
            return []
        found[int(re.match(r"\s*(\d+)", line)[1])] = match[1].strip().strip('"')  # type: ignore[index]
    for first in (0, 1):
        if set(found) == set(range(first, first + len(lines))):
            return [found[one] for one in sorted(found)]
    return []


# -- tables ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """What a CSV says of the data: its columns with ranges and categories, and some of its rows as CSV text."""

    columns: tuple[Column, ...]
    background: str
    rows: int  # that were looked at


def table(data: str | bytes, name: str, wanted: tuple[str, ...] = ()) -> Table:
    """Columns and rows of a CSV with a header; `wanted` names those that the model takes, in its order, if it says so.

    A column of numbers has its range, any other its categories in alphabetical order, as scikit-learn and pandas number
    them. UserError if it is no table.
    """
    text = _text(data, name)
    lines = text.split("\n", MOST_ROWS + 1)
    rows = TableInput().rows("\n".join(lines[: MOST_ROWS + 1]).strip("\n") + "\n", name)
    header = tuple(rows[0])
    if all(_is_number(one) for one in header):
        raise UserError(
            f"{name} begins with a row of numbers; its first line is expected to name the columns. Add names."
        )
    if wanted and set(wanted) <= set(header):
        header = wanted
    columns = tuple(_column(one, [row[one] for row in rows]) for one in header)
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


def _column(name: str, values: list[str]) -> Column:
    given = [one for one in values if one.casefold() not in MISSING]
    gaps = len(given) < len(values)
    try:
        found = sorted(float(one) for one in given)
        if not found or found[0] == float("-inf") or found[-1] == float("inf"):
            raise ValueError
    except ValueError:
        categories = sorted(set(given))
        if len(categories) > MOST_CATEGORIES:
            raise UserError(
                f"The column {name[:60]!r} has {len(categories):,} different values that are no numbers, so it is no"
                " feature; leave it out of the table."
            ) from None
        usual = max(categories, key=given.count) if gaps and categories else None
        return Column(name, "category", categories=tuple(categories), default=usual)
    return Column(name, low=found[0], high=found[-1], default=found[len(found) // 2] if gaps else None)


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


# -- tokenizers --------------------------------------------------------------------------------------------------------


def tokenizer(data: bytes, name: str) -> str:
    """The text of a tokenizer.json; UserError if it is something else."""
    text = _text(data, name)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("model"), dict):
        raise UserError(
            f'{name} is not a tokenizer.json as Hugging Face tokenizers writes it (JSON with a "model"); save one with'
            ' tokenizer.save_pretrained("folder") and give folder/tokenizer.json.'
        )
    return text


def _text(data: str | bytes, name: str) -> str:
    if isinstance(data, str):
        return data
    if len(data) > LARGEST_TEXT:
        raise UserError(f"{name} has {len(data) >> 20} MiB; at most {LARGEST_TEXT >> 20} are read.")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not a UTF-8 text; save it in UTF-8.") from error
