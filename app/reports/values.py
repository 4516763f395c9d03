"""Values as a table for other programs: a row for each part of the input, as CSV with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from explainers.types import Explanation
from model_zoo.types import Players

HEADER = ("model", "input", "method", "target", "unit", "part", "given", "value", "standard_error")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a text begins that a spreadsheet would compute


def table(explanations: Sequence[Explanation]) -> str:
    """All values of these explanations, in the order of their players."""
    held = io.StringIO()
    written = csv.writer(held, lineterminator="\n")
    written.writerow(HEADER)
    for one in explanations:
        about = tuple(map(_text, (one.card.title, one.sample.name, one.title, one.target.label, one.unit)))
        given = {cell.name: cell.shown for cell in getattr(one.sample.view, "cells", ())}
        errors = one.std_error
        for player, (name, value) in enumerate(zip(_names(one.players), one.values, strict=True)):
            error = "" if errors is None else repr(float(errors[player]))
            written.writerow((*about, _text(name), _text(given.get(name, "")), repr(float(value)), error))
    return held.getvalue()


def _names(players: Players) -> list[str]:
    """Every player's name; of pixels all at once, since there are tens of thousands."""
    if players.names or players.kind != "pixels" or players.owner.ndim != 2:
        return [players.name(player) for player in range(players.count)]
    owned, first = np.unique(players.owner, return_index=True)
    found = [""] * players.count
    for player, place in zip(owned, first, strict=True):
        if player >= 0:
            row, column = divmod(int(place), players.owner.shape[1])
            found[player] = f"pixel at row {row}, column {column}"
    return found


def _text(text: str) -> str:
    """A text that a spreadsheet shows rather than computes."""
    return f"'{text}" if len(text) > 1 and text.startswith(FORMULA) else text
