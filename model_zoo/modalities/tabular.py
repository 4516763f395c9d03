"""Tables: from a row with units and categories to the numbers that a model takes, and back to columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
        text = f"{self.used:,.6g}" if isinstance(self.used, float) else str(self.used)
        return f"{text} {self.unit}".strip()


@dataclass(frozen=True)
class TableView:
    """The row as its owner knows it."""

    cells: tuple[Cell, ...]
