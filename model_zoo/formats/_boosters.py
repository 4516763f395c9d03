"""What the three boosters' files have in common: a booster and its owner's words become an Opened."""

from __future__ import annotations

import re
from typing import Any

from model_zoo import boosters
from model_zoo.facts import Facts
from model_zoo.files import ModelFile, Opened
from model_zoo.types import UserError, quoted

WHERE = re.compile(
    r"\[\d\d:\d\d:\d\d\]|(?:[A-Za-z]:)?(?:[\w.+~-]*[/\\])+[\w.+~-]+(?::\d+)?:?"
)  # [12:00:00] /src/a.cc:4:


def missing(library: str) -> UserError:
    """That a library is not installed."""
    return UserError(f"To open {library} models, install it: pip install 'assay[formats]'.")


def failure(file: ModelFile, library: str, ending: str, error: Exception) -> UserError:
    """That a library could not read a file, in its own words."""
    return UserError(
        f"{library} could not read {file.name} ({_first_line(error)}); it is damaged, cut off or of a newer"
        f" version. Save it again with save_model('model{ending}')."
    )


def _first_line(error: Exception) -> str:
    """A library's own words without the times, paths and stack of where it was built."""
    line = next((one for one in str(error).splitlines() if one.strip()), type(error).__name__)
    return quoted(ValueError(WHERE.sub("", line).strip(" :")))


def opened(own: Any, library: str, said: Facts) -> Opened:
    """The booster with what it says of its columns, its task and its classes."""
    one = boosters.booster(own)
    assert one is not None
    known = one.knowledge()
    columns = tuple(_with_categories(known.columns, said)) if said.background else known.columns
    guess = Facts(
        modality="tabular",
        task=one.task,
        output=one.outputs[0],
        labels=one.classes or (),
        unit=one.unit,
        columns=columns,
    )
    grown = f"{boosters.count(one.own):,} trees" if one.trees else "a linear booster"
    notes = []
    if boosters.count(one.own) < boosters.count(own):
        notes.append(
            f"Training stopped early: the first {boosters.count(one.own):,} of {boosters.count(own):,} rounds predict,"
            " up to the best one."
        )
    if one.task == "regression" and one.link == "log-odds":
        notes.append("Its labels do not exclude one another, so the probability of each is a value of its own.")
    return Opened(own, guess, f"{library} {one.task} model, {grown}, {len(columns):,} columns", tuple(notes))


def _with_categories(columns: Any, said: Facts) -> Any:
    """The columns, with the categories that the background has where the file has none."""
    from dataclasses import replace

    from model_zoo.modalities.tabular import TableInput

    lacking = [one.name for one in columns if one.kind == "category" and not one.categories]
    rows = TableInput().rows(said.background.encode(), "the background") if lacking else ()
    for one in columns:
        if one.name in lacking and rows and one.name in rows[0]:
            yield replace(one, categories=tuple(sorted({row[one.name] for row in rows})))
        else:
            yield one
