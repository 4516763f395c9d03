"""Tables: the features' names, and rows that stand for the data."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import saying
from app.components import receiving
from app.components.facts.fields import Fields, box
from app.components.markup import caption
from model_zoo.facts import Facts
from model_zoo.types import Column, UserError

SHOWN, FEW = 200, 8  # columns; those that need no scrolling
PREDICTED = ("target", "label", "class", "y", "outcome", "prediction")  # names of a column that is no feature


def start(facts: Facts) -> dict[str, Any]:
    """What the fields begin with."""
    return {
        "table": saying.Table(facts.columns, facts.background, 0) if facts.background else None,
        "columns": facts.columns,
        "taken": [one.name for one in facts.columns],
        "features": "" if facts.background else _listed(facts.columns),
    }


def draw(at: Fields) -> None:
    """A CSV of the data, or names alone."""
    table: saying.Table | None = at.get("table")
    receiving.small(
        "Rows of your data (CSV)" if table is None else "Another CSV",
        f"{at.upload}/rows",
        lambda data, name: _take(at, data, name),
        "With a header. Names, ranges and categories come from it, and rows that methods compare with.",
    )
    if table is None:
        st.text_area(
            "Feature names, in the order that the model takes them",
            key=at.key("features"),
            height=box(len(at.get("columns") or ())),
            placeholder="age, income, debt … or how many there are: 20",
        )
        caption("A CSV is better: methods that compare with the data need some of its rows.")
        return
    names = [one.name for one in table.columns]
    st.multiselect("Columns that the model takes, in the order of the file", names, key=at.key("taken"))
    chosen = [one for one in table.columns if one.name in at.get("taken")]
    rows = [_shown(one) for one in chosen[:SHOWN]]
    st.dataframe(rows, hide_index=True, height=320 if len(rows) > FEW else "content")
    if any(one.kind == "category" for one in chosen):
        named = _from_model(at) and any(one.categories for one in at.get("columns") or ())
        first = "Categories are those that the model's file names, in its order; after them come others"
        caption(f"{first if named else 'Categories come'} from the CSV, in alphabetical order.")
    known = len(at.get("columns") or ())
    if known and len(chosen) != known:
        caption(f"It takes {known:,} columns; {len(chosen):,} are chosen.", wrong=True)
    if table.rows:
        kept = max(0, table.background.count("\n") - 1)
        left = [one for one in names if one not in at.get("taken")]
        out = f" Left out: {', '.join(left[:5])}." if left else "" if known else " Leave out what is predicted."
        caption(f"Of {table.rows:,} rows; {kept:,} of them stand for the data.{out}")
    st.button(
        "Type names instead", key=f"act/{at.upload}/names", type="tertiary", on_click=at.put, args=("table", None)
    )


def more(at: Fields) -> None:
    """Nothing."""


def said(at: Fields) -> Facts:
    """What the fields hold; UserError names what is not as expected."""
    table: saying.Table | None = at.get("table")
    if table is None:
        known: tuple[Column, ...] = at.get("columns") or ()
        text = at.get("features") or ""
        given = known if text == _listed(known) else saying.columns(text)
        same = [one.name for one in given] == [one.name for one in known]  # with the ranges that came with them
        return Facts(columns=known if same else given)
    if not at.get("taken"):
        raise UserError("Choose at least one column that the model takes.")
    found = saying.narrowed(table, tuple(at.get("taken")))
    return Facts(columns=found.columns, background=found.background)


def _listed(columns: tuple[Column, ...]) -> str:
    return "\n".join(one.name for one in columns)


def _from_model(at: Fields) -> bool:
    """Whether the columns that were there before are what the model's file says, and not an earlier CSV."""
    return at.get("suggested", {}).get("table") is None


def _take(at: Fields, data: bytes, name: str) -> None:
    wanted: tuple[Column, ...] = at.get("columns") or ()
    found = saying.table(data, name, wanted if _from_model(at) else tuple(Column(one.name) for one in wanted))
    at.put("table", found)
    at.put("taken", _likely([one.name for one in found.columns], len(wanted)))


def _likely(names: list[str], count: int) -> list[str]:
    """The columns that a model of so many takes: a table often holds what is predicted as well, mostly at its end."""
    if not count or len(names) != count + 1:
        return names
    predicted = [one for one in names if one.strip().casefold() in PREDICTED]
    return [one for one in names if one != (predicted or names)[-1]]


def _shown(column: Column) -> dict[str, str]:
    if column.kind == "category":
        first = ", ".join(column.categories[:6]) + (" …" if len(column.categories) > 6 else "")
        return {"Feature": column.name, "Kind": f"{len(column.categories)} categories", "Values": first}
    low, high = (f"{one:,.6g}" if one is not None else "" for one in (column.low, column.high))
    return {"Feature": column.name, "Kind": "number", "Values": f"{low} to {high}" if low or high else ""}
