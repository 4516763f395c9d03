"""What a person gives on the command line: an input, and parameters of methods."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from app import saying
from explainers import registry
from explainers.runtime.store import LARGEST_INPUT
from explainers.runtime.types import COMMAND_LINE
from model_zoo import catalogue
from model_zoo.types import Example, ModelCard, UserError


def examples(card: ModelCard) -> tuple[Example, ...]:
    """The bundled samples that this model takes; of somebody's own model all photos or texts, but no other's table."""
    if any(one.id == card.id for one in catalogue.cards()):
        return catalogue.examples(card.id)
    return tuple(one for one in catalogue.examples() if one.modality == card.modality != "tabular")


def put(runtime: Any, card: ModelCard, text: str) -> str:
    """The digest of an input given as a file, a row of a file, a bundled example, stdin, or the text itself."""
    data, name, row = located(card, text)
    if card.modality != "tabular" or name.endswith(".json"):
        return runtime.put(data, name, COMMAND_LINE)
    rows = runtime.rows(card.id, runtime.put(data, name, COMMAND_LINE), COMMAND_LINE)
    if row is None and len(rows) != 1:
        raise UserError(f"{name} has {len(rows)} rows; say which one is meant, as in {text}:1.")
    number = row or 1
    if not 1 <= number <= len(rows):
        raise UserError(f"{name} has rows 1 to {len(rows)}; row {number} came.")
    row_given = json.dumps(rows[number - 1], ensure_ascii=False).encode()
    return runtime.put(row_given, f"{name}, row {number}", COMMAND_LINE)


def located(card: ModelCard, text: str) -> tuple[bytes, str, int | None]:
    """Bytes, name and, for a table, the row asked for."""
    if text == "-":
        data = sys.stdin.buffer.read(LARGEST_INPUT + 1)
        return data, "typed row.json" if _json(data) else "standard input", None
    path, row = Path(text), None
    head, colon, tail = text.rpartition(":")
    if card.modality == "tabular" and colon and tail.isdigit() and not _exists(path):
        path, row = Path(head), int(tail)
    if _exists(path):
        try:
            with path.open("rb") as file:
                return file.read(LARGEST_INPUT + 1), path.name, row
        except OSError as error:
            raise UserError(f"{path} could not be read: {error.strerror}.") from error
    known_ids = [one.id for one in catalogue.examples() if one.modality == card.modality]
    if text in known_ids:
        return *catalogue.read_example(text), None
    if card.modality == "text":
        return text.encode("utf-8", "replace"), "typed text", None
    if card.modality == "tabular" and _json(text.encode("utf-8", "replace")):
        return text.encode("utf-8", "replace"), "typed row.json", None
    known = ", ".join(one.id for one in examples(card)) or "none"
    typed = f"; a row may also be typed, as {_typed_row(card)}" if card.modality == "tabular" else ""
    raise UserError(
        f"There is no file {text!r}, and no bundled example of that name; the examples are: {known}{typed}."
    )


def _typed_row(card: ModelCard) -> str:
    return json.dumps({one.name: saying.middle(one) for one in card.columns[:2]} or {"age": 41, "income": 2.5})


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a typed text may be too long for a path
        return False


def _json(data: bytes) -> bool:
    return data.lstrip().startswith(b"{")


def parameters(wanted: list[str], settings: list[str]) -> dict[str, dict[str, Any]]:
    """Each method's parameters from NAME=VALUE, for every method that has NAME, or from METHOD.NAME=VALUE for one."""
    known = {id: {one.name for one in fields(registry.method(id).params)} for id in wanted}
    found: dict[str, dict[str, Any]] = {id: {} for id in wanted}
    for text in settings:
        name, equals, value = text.partition("=")
        method, dot, short = name.rpartition(".")
        takers = [id for id in wanted if (short if dot else name) in known[id] and (not dot or id == method)]
        if not equals or not takers:
            listed = "; ".join(f"{id} has {', '.join(sorted(known[id])) or 'none'}" for id in wanted)
            raise UserError(f"--set takes NAME=VALUE with a parameter of a method; {text!r} came, and {listed}.")
        for id in takers:
            found[id][short if dot else name] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
