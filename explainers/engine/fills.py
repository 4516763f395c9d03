"""What stands in for a part that is taken away, in two ways: what a map shows may be the doing of one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from model_zoo.types import Reference, Sample

if TYPE_CHECKING:
    from model_zoo.model import Model

ROWS = 5  # of a background, each of which doubles the work
OTHER = {"image": ("blur", "zero"), "text": ("mask", "pad")}  # the second way, or if the first is that, the other


def fills(model: Model, sample: Sample, reference: Reference) -> tuple[Reference, ...]:
    """One or two references of few rows: the explanation's own, and another way of removing if there is an honest one.

    A table's row has none beside a baseline that somebody gave, since another one asks another question.
    """
    first = _few(reference)
    if model.card.modality == "tabular":
        return _of_table(model, sample, first)
    if reference.kind == "given":
        return (first,)
    names = model.input.baselines
    wanted = [one for one in (*OTHER.get(model.card.modality, ()), *names) if one in names and one != reference.kind]
    for name in wanted:
        second = model.input.reference(sample, name)
        if not any(np.array_equal(second.rows[:1], row[None]) for row in first.rows):
            return first, second
    return (first,)


def _of_table(model: Model, sample: Sample, first: Reference) -> tuple[Reference, ...]:
    if first.kind == "given":
        return (first,)
    background = model.input.background(sample)
    if len(background.rows) < 2 or not np.issubdtype(background.rows.dtype, np.floating):
        return (first,)
    if len(first.rows) > 1:
        mean = background.rows.mean(0, dtype=np.float64).astype(background.rows.dtype)
        return first, Reference("mean", mean[None], f"the mean of {background.sentence}")
    return first, _few(background)


def _few(reference: Reference) -> Reference:
    """At most ROWS rows, evenly spread."""
    count = len(reference.rows)
    if count <= ROWS:
        return reference
    kept = np.linspace(0, count - 1, ROWS).round().astype(int)
    return replace(reference, rows=reference.rows[kept], sentence=f"{ROWS} of {reference.sentence}")
