"""Class names, however people write them: one a line, with commas, as a CSV, or as JSON of half a dozen kinds."""

from __future__ import annotations

import ast
import csv
import json
import re
from typing import Any

from app.saying import files
from model_zoo import catalogue
from model_zoo.types import UserError

MOST_LABELS = 100_000
HEADERS = ("label", "labels", "class", "classes", "name", "names", "class name", "class_name", "classname", "category")
NUMBERED = re.compile(r"\s*\d+\s*[:;,.\t )-]\s*(\S.*)")


def imagenet() -> tuple[str, ...]:
    """The thousand classes of ImageNet in their usual order."""
    return catalogue.card("efficientnet_lite0").labels


def labels(given: str | bytes, name: str = "") -> tuple[str, ...]:
    """Class names in the order of the outputs: one a line, with commas, a CSV, or JSON as class_to_idx or id2label.

    UserError if they cannot be told.
    """
    text = files.text(given, name or "The class names").strip()
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
