"""The model that a command names: a bundled one or one's own by its id, or a file or folder with what is said of it.

A path is attached, not copied: it is read where it lies, and what was said of it is remembered for the next time.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from app import saying, terminal
from explainers.runtime.types import COMMAND_LINE, Upload
from model_zoo import catalogue, opening
from model_zoo.facts import Facts
from model_zoo.types import ModelCard, UserError

FLAGS = {
    "modality": "--modality image, text, tabular, series or audio",
    "tokenizer": "--tokenizer tokenizer.json",
    "columns": "--background rows.csv",
}


def facts(parser: argparse.ArgumentParser) -> None:
    """What a file does not say, as options."""
    group = parser.add_argument_group("what a model's file does not say")
    group.add_argument("--card", type=Path, metavar="CARD.json", help="as `assay card MODEL -o CARD.json` writes it")
    group.add_argument("--modality", choices=catalogue.MODALITIES, help="what it takes")
    group.add_argument("--labels", metavar="NAMES", help="class names: a,b,c or a file (lines, CSV, JSON)")
    group.add_argument("--task", choices=("classification", "binary", "regression"))
    group.add_argument("--returns", choices=("logit", "probability", "value"), help="what its outputs are")
    group.add_argument("--architecture", metavar="NAME", help="such as torchvision/resnet18, where several fit")
    group.add_argument("--size", metavar="HxW", help="of a picture in pixels: 224 or 224x320")
    group.add_argument("--channels", type=int, choices=(1, 3), help="1: grey")
    group.add_argument("--order", choices=("RGB", "BGR"), help="of the colours")
    group.add_argument("--normalisation", choices=tuple(saying.NORMALISATIONS), help="how pixels become numbers")
    group.add_argument("--mean", metavar="NUMBERS", help="taken off, one a channel")
    group.add_argument("--std", metavar="NUMBERS", help="divided by after that")
    group.add_argument("--tokenizer", type=Path, metavar="tokenizer.json")
    group.add_argument("--limit", type=int, metavar="TOKENS", help="that it reads at most")
    group.add_argument("--rate", type=float, metavar="HZ", help="samples a second that a model of sounds takes")
    group.add_argument("--time-axis", type=int, metavar="AXIS", help="of a series: -1 for the last, 0 for the first")
    group.add_argument("--columns", metavar="NAMES", help="of features or channels: a,b,c or a file with a header")
    group.add_argument("--background", type=Path, metavar="ROWS.csv", help="rows of the data, with a header")
    group.add_argument("--unit", help="of what a regression predicts")


def said(chosen: argparse.Namespace, channels: int | None = None) -> Facts:
    """The options as facts; UserError names the one that is not as expected.

    channels: of the file, where it is known, for what is one number a channel.
    """
    found = Facts() if chosen.card is None else opening.parse_file(chosen.card)
    count = chosen.channels or found.channels or channels or 3
    given: dict[str, Any] = {
        "modality": chosen.modality,
        "task": chosen.task,
        "output": chosen.returns,
        "architecture": chosen.architecture,
        "channels": chosen.channels,
        "order": chosen.order,
        "limit": chosen.limit,
        "rate": chosen.rate,
        "time_axis": chosen.time_axis,
        "unit": chosen.unit,
        "labels": chosen.labels and saying.labels(*_text(chosen.labels)),
        "size": chosen.size and _size(chosen.size),
        "tokenizer": chosen.tokenizer and saying.tokenizer(_read(chosen.tokenizer), chosen.tokenizer.name),
    }
    if chosen.normalisation:
        numbers = saying.NORMALISATIONS[chosen.normalisation].facts(count)
        given.update(scale=numbers.scale, mean=numbers.mean, std=numbers.std)
    if chosen.mean:
        given["mean"] = saying.numbers(chosen.mean, "--mean", count)
    if chosen.std:
        given["std"] = saying.numbers(chosen.std, "--std", count)
    if chosen.columns:
        text, name = _text(chosen.columns)
        given["columns"] = saying.table(text, name).columns if name.endswith(".csv") else saying.columns(_decoded(text))
    if chosen.background:
        wanted = given.get("columns") or found.columns
        table = saying.table(_read(chosen.background), chosen.background.name, wanted)
        given.update(columns=table.columns, background=table.background)
    if given["limit"] is not None and given["limit"] < 1:
        raise UserError(f"--limit is a number of tokens from 1 upwards; {given['limit']} came.")
    return dataclasses.replace(found, **{name: value for name, value in given.items() if value not in ("", None, ())})


def anything(chosen: argparse.Namespace) -> bool:
    """Whether any of these options was given."""
    return said(chosen) != Facts()


def bundled(text: str) -> ModelCard | None:
    """The bundled model of this id."""
    return next((one for one in catalogue.cards() if one.id == text), None)


def card(runtime: Any, text: str, chosen: argparse.Namespace) -> ModelCard:
    """The model of this name, ready to be explained; UserError says what is missing, and which option says it."""
    found = bundled(text)
    if found is not None:
        if anything(chosen):
            raise UserError(f"{text} is a bundled model, of which everything is said; leave out what describes a file.")
        return found
    return described(runtime, upload(runtime, text), chosen)


def upload(runtime: Any, text: str) -> Upload:
    """One's own model: by its id, or attached by its path; UserError lists what there is."""
    for one in runtime.uploads(COMMAND_LINE):
        if text in (one.id, one.title) and not exists(text):
            return one
    if not exists(text):
        missing(text)
    return runtime.attach(text, COMMAND_LINE)


def missing(text: str) -> None:
    """UserError: there is no such model."""
    try:
        catalogue.card(text)
    except UserError as error:
        raise UserError(f"{str(error).rstrip('.')}; there is no file of that name either.") from error


def exists(text: str) -> bool:
    """Whether this is a file or folder."""
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def described(runtime: Any, one: Upload, chosen: argparse.Namespace) -> ModelCard:
    """Open it with what is said now over what was said before; as it is where nothing new is said."""
    if one.card is not None and not anything(chosen):
        return one.card
    channels = None
    if (chosen.normalisation or chosen.mean or chosen.std) and not chosen.channels:
        channels = runtime.inspect(one.id, COMMAND_LINE).guess.channels
    try:
        return runtime.describe(one.id, COMMAND_LINE, said(chosen, channels).over(one.facts))
    except UserError as error:
        hint = next((flag for name, flag in FLAGS.items() if f"does not say its {name}" in str(error)), "")
        raise UserError(f"{str(error).rstrip('.')} ({hint})." if hint else str(error)) from error


def tell(text: str) -> None:
    """One line on stderr, beside what is asked for."""
    print(f"assay: {terminal.clean(text)}", file=sys.stderr)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().replace("×", "x").split("x")
    if not all(one.strip().isdigit() and int(one) > 0 for one in parts) or len(parts) > 2:
        raise UserError(f"--size is a number of pixels, or height and width such as 224x320; {text!r} came.")
    return int(parts[0]), int(parts[-1])


def _text(text: str) -> tuple[bytes | str, str]:
    """What an option holds: itself, or the bytes of the file of that name."""
    path = Path(text).expanduser()
    try:
        return (_read(path), path.name) if path.is_file() else (text, "")
    except OSError:  # too long for a path
        return text, ""


def _decoded(text: bytes | str) -> str:
    return text if isinstance(text, str) else text.decode("utf-8-sig", "replace")


def _read(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}.") from error
