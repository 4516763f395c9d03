"""What a model's file does not say, said by its owner or guessed by its format; a card file keeps it beside the model.

Every field may be left empty: not said. `said.over(guessed)` fills the gaps of one with the other.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.types import Column, Output, Task, UserError

KIND = "assay model card"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Facts:
    """About one model; fields of other modalities than its own are left empty."""

    title: str = ""
    description: str = ""
    licence: str = ""
    modality: str = ""  # "image", "text", "tabular", "series", "audio"
    task: Task | None = None
    output: Output | None = None
    labels: tuple[str, ...] = ()
    unit: str = ""  # of a regression's value
    architecture: str = ""  # one of the choices that the format offers, "torchvision/resnet50"
    embedding: str = ""  # dotted path of the submodule that takes token ids
    # images, as in model_zoo.modalities.image.ImageInput
    size: tuple[int, int] | None = None  # height, width in pixels
    channels: int | None = None
    order: str = ""  # "RGB", "BGR"
    scale: float | None = None  # what white is before mean and std: 1 or 255
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop: float | None = None  # share of the largest centred box; 0: all of the photo, squeezed to size
    resample: str = ""
    # texts
    tokenizer: str = ""  # the text of a tokenizer.json
    limit: int | None = None  # tokens that are read
    # series and sounds
    rate: float | None = None  # samples a second that it takes
    time_axis: int | None = None  # of one input; -1 is the last
    # tables; the names alone, of a series' channels
    columns: tuple[Column, ...] = ()
    background: str = ""  # the text of a CSV whose rows stand for the data

    def over(self, guessed: Facts) -> Facts:
        """These facts, with the gaps filled from others."""
        said = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return dataclasses.replace(guessed, **{name: value for name, value in said.items() if value not in EMPTY})

    def dump(self) -> str:
        """As the text of a card file (JSON), with what was said alone."""
        kept = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        said = {name: value for name, value in kept.items() if value not in EMPTY}
        if self.columns:
            said["columns"] = [
                {name: value for name, value in dataclasses.asdict(one).items() if name == "name" or value not in EMPTY}
                for one in self.columns
            ]
        return json.dumps({"kind": KIND, **said}, ensure_ascii=False, indent=1) + "\n"


EMPTY: tuple[Any, ...] = ("", None, ())


def parse(text: str | bytes, name: str = "The card") -> Facts:
    """Facts from the text of a card file; UserError names the field that is not as expected."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise ValueError
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'{name} is not a model card: expected JSON with "kind": "{KIND}", as `assay card MODEL` writes it.'
        ) from error
    found.pop("kind")
    known = {one.name: one for one in dataclasses.fields(Facts)}
    for key in found:
        if key not in known:
            raise UserError(f"{name} has a field {key!r}; expected some of: {', '.join(known)}.")
    return Facts(**{key: _value(key, value, name) for key, value in found.items()})


def fact(key: str, value: Any) -> Any:
    """One fact as a script gives it: lists, arrays and Columns, paths for a tokenizer and a background; UserError."""
    if key not in {one.name for one in dataclasses.fields(Facts)}:
        known = ", ".join(sorted(one.name for one in dataclasses.fields(Facts)))
        raise UserError(f"There is no fact {key!r} about a model; expected some of: {known}.")
    if value is None:
        return next(one.default for one in dataclasses.fields(Facts) if one.name == key)
    if key in ("tokenizer", "background"):
        return _text(key, value)
    if key == "size" and isinstance(value, int) and not isinstance(value, bool):
        value = [value, value]
    if key == "columns" and isinstance(value, (list, tuple)):
        return tuple(one if isinstance(one, Column) else _column(one, "what was said") for one in value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    return _value(key, list(value) if isinstance(value, tuple) else value, "what was said")


def _text(key: str, value: Any) -> str:
    """A text, the text of the file that a path names, or a table (anything with to_csv) as CSV."""
    if hasattr(value, "to_csv"):
        return str(value.to_csv(index=False))
    if isinstance(value, os.PathLike) or (isinstance(value, str) and value and not set(value) & set("\n{,")):
        try:
            return Path(value).expanduser().read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise UserError(f"{key} is a file's path or its text; {str(value)[:60]!r} could not be read.") from error
    if not isinstance(value, str):
        raise UserError(f"{key} is a file's path or its text; {type(value).__name__} came.")
    return value


NUMBERS = ("scale", "crop", "rate")
COUNTS = ("channels", "limit")
LISTS = {"labels": str, "mean": float, "std": float, "size": int}
CHOICES: dict[str, tuple[str, ...]] = {
    "task": ("classification", "binary", "regression"),
    "output": ("logit", "probability", "value"),
    "order": ("RGB", "BGR"),
    "resample": ("nearest", "bilinear", "bicubic", "lanczos"),
}


def _value(key: str, value: Any, name: str) -> Any:
    def wrong(expected: str) -> UserError:
        return UserError(f"In {name}, {key} is expected to be {expected}; {str(value)[:60]!r} came.")

    if key in CHOICES and value not in CHOICES[key]:
        raise wrong("one of " + ", ".join(CHOICES[key]))
    if key == "columns":
        if not isinstance(value, list):
            raise wrong("a list of names or columns")
        return tuple(_column(one, name) for one in value)
    if key in LISTS:
        if not isinstance(value, list):
            raise wrong("a list")
        if LISTS[key] is str:
            return tuple(map(str, value))
        if not all(_number(one) for one in value):
            raise wrong("a list of numbers")
        if key == "size":
            if len(value) != 2 or not all(isinstance(one, int) and one > 0 for one in value):
                raise wrong("[height, width] in pixels")
            return (value[0], value[1])
        return tuple(map(float, value))
    if key in NUMBERS:
        if not _number(value):
            raise wrong("a number")
        return float(value)
    if key == "time_axis":
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong("the number of an axis, such as -1 for the last")
        return value
    if key in COUNTS:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise wrong("a whole number from 1 upwards")
        return value
    if not isinstance(value, str):
        raise wrong("a text")
    return value


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _column(value: Any, name: str) -> Column:
    if isinstance(value, str):
        return Column(value)
    known = {one.name for one in dataclasses.fields(Column)}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value.keys() <= known:
        raise UserError(f"In {name}, a column is a name, or has some of {', '.join(sorted(known))}.")
    if value.get("kind", "number") not in ("number", "category"):
        raise UserError(f"In {name}, the kind of a column is number or category; {value['kind']!r} came.")
    numbers = [one for one in (value.get("low"), value.get("high")) if one is not None]
    default = value.get("default")
    words = [value.get("unit", ""), value.get("description", "")]
    if not all(map(_number, numbers)) or not all(isinstance(one, str) for one in words):
        raise UserError(f"In {name}, a column's low and high are numbers, its unit and description texts.")
    if not isinstance(value.get("categories", []), list) or not (
        default is None or isinstance(default, str) or _number(default)
    ):
        raise UserError(f"In {name}, a column's categories are a list, and its default is a number or a text.")
    given = dict(value)
    given["categories"] = tuple(map(str, given.get("categories", ())))
    return Column(**given)
