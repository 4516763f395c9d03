"""Class names, however people write them: one a line, with commas, as a CSV, or as JSON of half a dozen kinds.

One a line they are taken as they stand, with a header and numbers in front taken off only where nothing else can be
meant: "1 star", "5-door" and "0.5" are names.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from typing import Any

from app.saying import files
from model_zoo import catalogue
from model_zoo.types import UserError

MOST_LABELS = 1_000_000  # a language model's are its vocabulary
HEADERS = ("label", "labels", "class", "classes", "name", "names", "class name", "class_name", "classname", "category")
NUMBERED = re.compile(r"(\d{1,9})\s*(?:[;\t]|[:,.)](?!\d)|-(?=\s))\s*(\S.*)")
CSVS = (".csv", ".tsv")
TWINS = 0.99  # of numbered names are different ones at least; ImageNet has two cranes among its thousand


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
    found = (_structured(text, name) if text[0] in "[{(" else None) or _lines(text, name)
    empty = next((place for place, one in enumerate(found, 1) if not one.strip()), None)
    if empty is not None:
        raise UserError(f"Class name {empty} is empty; give one name for each output, in their order.")
    if len(found) > MOST_LABELS:
        raise UserError(f"{len(found):,} class names came; at most {MOST_LABELS:,} are read.")
    return tuple(found)


def _structured(text: str, name: str) -> list[str] | None:
    """Names in JSON, or in a list or dict as Python prints it; None for lines of which the first begins like one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            if _bracketed(text):
                return None
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


def _bracketed(text: str) -> bool:
    """Whether these are lines of which the first is a name in brackets, as "[PAD]" of a vocabulary."""
    first, *rest = text.split("\n")
    return bool(rest) and not any(first.count(opening) > first.count(end) for opening, end in ("[]", "{}", "()"))


def _lines(text: str, name: str) -> list[str]:
    lines = [one.strip() for one in text.split("\n") if one.strip()]
    if len(lines) == 1:
        return [one.strip() for one in _cells(lines[0])]
    headed = any(one.strip('" ').casefold() in HEADERS for one in re.split(r"[,;\t]", lines[0]))
    numbered = _numbered(lines[1:]) if headed else _numbered(lines)
    if numbered:
        return numbered
    rows = [[cell for cell in _cells(one) if cell.strip()] for one in lines]
    if any(len(row) != 1 for row in rows):
        return lines
    if headed and len(rows) > 2 and name.lower().endswith(CSVS):
        rows = rows[1:]
    return [row[0].strip() for row in rows]


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line], skipinitialspace=True))
    except csv.Error:  # longer than it reads
        return [line]


def _numbered(lines: list[str]) -> list[str]:
    """Names of lines such as '0: cat' or '3,dog', in the order of their numbers; none if these are part of the names.

    They are where one is left out, and where the names would be alike without them.
    """
    matches = [NUMBERED.fullmatch(one) for one in lines]
    found = {int(one[1]): one[2].strip().strip('"') for one in matches if one is not None}
    counted = any(set(found) == set(range(first, first + len(lines))) for first in (0, 1))
    if not counted or len(lines) < 2 or len(set(found.values())) < TWINS * len(lines):
        return []
    return [found[one] for one in sorted(found)]
