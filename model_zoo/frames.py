"""Rows of x as the table that an estimator was fitted on, and what a fitted estimator knows of its columns.

x holds a category by its place among the column's categories; an encoder or a booster wants the category itself, in
its own type, under its column's name. What is unknown (a place that no category has) becomes a missing value.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from model_zoo.types import Column, UserError

MISSING = "missing"  # what the category of a missing value is called
UNSEEN = "(never seen)"


@dataclass(frozen=True)
class Knowledge:
    """What an estimator says of its columns; `values` are a column's categories in their own type, by its place."""

    names: tuple[str, ...] = ()  # empty: it was fitted on an array
    columns: tuple[Column, ...] = ()  # empty: nothing but names is known
    values: Mapping[int, tuple[Any, ...]] = field(default_factory=dict)
    pandas: bool = False  # whether it wants categories as pandas' categories

    def over(self, given: Sequence[Column] | None) -> Knowledge:
        """With the columns that an owner gave: theirs, where they do not leave open what the estimator knows."""
        if given is None:
            return self
        known = {one.name: place for place, one in enumerate(self.columns)}
        if self.names and {one.name for one in given} == set(self.names):
            given = sorted(given, key=lambda one: self.names.index(one.name))
        merged, values = [], {}
        for place, one in enumerate(given):
            at = known.get(one.name, place if len(known) == len(given) else None)
            own, kept = (one, ()) if at is None else (self.columns[at], self.values.get(at, ()))
            if own.kind == "category" and not one.categories:
                one = replace(one, kind="category", categories=own.categories, default=one.default or own.default)
            if one.default is None:
                one = replace(one, default=own.default)
            if one.kind == "category":  # in the owner's order: an array holds a category by its place
                one = replace(one, categories=joined(one.categories, own.categories))
                if one.default is not None:  # of a CSV that holds categories as numbers, 2.0 is "2"
                    one = replace(one, default=called(spell(one.default), one.categories) or one.default)
                spelt = dict(zip(own.categories, kept, strict=True)) if kept else {}
                values[place] = tuple(spelt.get(called(text, own.categories) or text, text) for text in one.categories)
            merged.append(one)
        return replace(self, columns=tuple(merged), values=values)

    def table(self, rows: np.ndarray) -> Any:
        """Rows (n, features) as the estimator takes them: as they are, or a pandas table of its columns."""
        if rows.shape[1] != (len(self.columns) or len(self.names)) or (self.pandas and not self.values):
            return rows
        empty = [one.name for one in self.columns if one.kind == "category" and not one.categories]
        if empty:
            raise UserError(
                f"The categories of '{empty[0]}' are not in the file; give rows of its data as a CSV, or its columns"
                " with their categories."
            )
        if not self.names and not self.values:
            return rows
        import pandas as pd

        names = self.names or tuple(map(str, range(rows.shape[1])))
        parts = {name: self._column(place, rows[:, place], pd) for place, name in enumerate(names)}
        found = pd.DataFrame(parts)
        return found if self.names else found.to_numpy(dtype=object)

    def _column(self, place: int, codes: np.ndarray, pd: Any) -> Any:
        if place not in self.values:
            return codes
        values = self.values[place]
        found = np.where(np.isfinite(codes), np.rint(codes), -1).astype(int)  # a mean of places is rounded to one
        found[(found < 0) | (found >= len(values))] = -1
        if self.pandas:
            return pd.Categorical.from_codes(found, categories=list(values))
        unseen = UNSEEN if any(isinstance(one, str) for one in values) else np.nan
        return pd.Series([values[one] if one >= 0 else unseen for one in found], dtype=object)


def known(estimator: Any) -> Knowledge:
    """What a fitted estimator of scikit-learn says of its columns: names, categories, and what fills a gap."""
    names = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
    width = int(getattr(estimator, "n_features_in_", 0) or len(names))
    found = _Columns(names, width)
    found.look(estimator, list(range(width)))
    if not found.categories and not found.defaults:
        return Knowledge(names)
    columns = tuple(found.column(place) for place in range(width))
    return Knowledge(names, columns, found.categories, found.pandas)


class _Columns:
    """What is gathered on a walk from the raw columns into a pipeline, as far as a column is still one column."""

    def __init__(self, names: tuple[str, ...], width: int) -> None:
        self.names, self.width = names, width
        self.categories: dict[int, tuple[Any, ...]] = {}
        self.defaults: dict[int, Any] = {}
        self.pandas = False

    def column(self, place: int) -> Column:
        name = self.names[place] if self.names else f"feature {place}"
        default = self.defaults.get(place)
        if place not in self.categories:
            number = isinstance(default, (int, float)) and np.isfinite(default)
            return Column(name, default=default if number else None)
        spelt = tuple(map(spell, self.categories[place]))
        told = spell(default) if default is not None else MISSING if MISSING in spelt else None
        return Column(name, "category", categories=spelt, default=told if told in spelt else None)

    def look(self, one: Any, places: list[int]) -> bool:
        """Note what a step knows of the columns at `places`; whether they come out of it as they went in."""
        if hasattr(one, "steps"):
            return all(self.look(step, places) for _, step in one.steps)
        if hasattr(one, "transformers_"):
            for _, step, chosen in one.transformers_:
                if not isinstance(step, str):
                    self.look(step, self._places(chosen, places))
            return False
        if hasattr(one, "categories_") and len(one.categories_) == len(places):
            for place, values in zip(places, one.categories_, strict=True):
                self.categories[place] = tuple(values.tolist())
            return False
        inner = getattr(one, "_preprocessor", None)  # histogram boosting encodes its categories itself
        if hasattr(inner, "transformers_"):
            self.pandas = True
            return self.look(inner, places)
        for part in _inside(one):
            self.look(part, places)
            return False
        filled = getattr(one, "statistics_", None)
        if filled is not None and len(filled) == len(places) and type(one).__name__ == "SimpleImputer":
            self.defaults |= dict(zip(places, filled.tolist(), strict=True))
            return not getattr(one, "add_indicator", False)
        return type(one).__name__ in ("StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler")

    def _places(self, chosen: Any, places: list[int]) -> list[int]:
        """Places of the columns that a ColumnTransformer names, numbers, slices or marks."""
        if isinstance(chosen, slice):
            return places[chosen] if not isinstance(chosen.start, str) else []
        if isinstance(chosen, (str, int)):
            chosen = [chosen]
        listed = list(chosen)
        if listed and all(isinstance(one, (bool, np.bool_)) for one in listed):
            return [place for place, mark in zip(places, listed, strict=True) if mark]
        return [self.names.index(one) if isinstance(one, str) else places[int(one)] for one in listed]


def _inside(one: Any) -> Iterator[Any]:
    """The fitted pipeline in a search, a calibration, a scaled target or a vote, whose members see the same columns."""
    calibrated = getattr(one, "calibrated_classifiers_", None)
    several = getattr(one, "estimators_", None)
    for part in (
        getattr(one, "best_estimator_", None),
        getattr(one, "regressor_", None),
        getattr(calibrated[0], "estimator", None) if calibrated else None,
        several[0] if isinstance(several, list) and several else None,
    ):
        if any(hasattr(part, name) for name in ("steps", "best_estimator_", "_preprocessor")):
            yield part


def called(text: str, categories: Sequence[str]) -> str | None:
    """The category that a text means: spelt the same, or else the only one that differs in case, spaces or a ".0"."""
    if text in categories:
        return text
    folded = _folded(text)
    alike = [one for one in categories if _folded(one) == folded]
    return alike[0] if len(alike) == 1 else None


@functools.lru_cache(4096)
def _folded(text: str) -> str:
    text = text.strip().casefold()
    whole = text.removesuffix(".0")  # as pandas writes a whole number beside a gap
    return whole if whole.removeprefix("-").isdigit() else text


def joined(first: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """Categories, and after them those of `more` that none of them is called like."""
    return (*first, *(one for one in more if called(one, first) is None))


def spell(value: Any) -> str:
    """A category as a person writes it."""
    if value is None or value != value:
        return MISSING
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
