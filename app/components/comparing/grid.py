"""The grid: a row a target, a column a method, all on one scale; cells fill as their jobs finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components import evidence, results
from app.components.comparing.aims import Aim
from app.components.comparing.work import ACTIVE, Cell
from app.components.markup import caption, escape, notice
from explainers import figures
from explainers.figures import beside
from explainers.figures.beside import Beside
from explainers.runtime.types import Job
from explainers.types import Explanation

ACROSS = {"image": 4, "text": 3, "tabular": 3}  # columns at 1,280 pixels
WIDTHS = {1: 420, 2: 400, 3: 262, 4: 190}  # pixels of a cell's picture at 1,280, by how many stand in a row
LEAST = 2  # columns, so that a single picture does not take the whole of a wide screen


def draw(
    rows: Sequence[tuple[str, Sequence[tuple[str, Cell]]]],
    jobs: Mapping[Cell, Job],
    found: Mapping[Cell, Explanation],
) -> None:
    """Rows of named cells; what is not asked yet is an empty frame."""
    shown = [cell for _, cells in rows for _, cell in cells if cell in found]
    scaled = beside.beside([found[cell] for cell in shown]) if shown else None
    places = {cell: place for place, cell in enumerate(shown)}
    modality = found[shown[0]].sample.modality if shown else "image"
    longest = max((len(cells) for _, cells in rows), default=1)
    across = max(min(longest, ACROSS.get(modality, 2)), LEAST)
    for title, cells in rows:
        if title:
            st.html(f'<h2 class="as-title as-rowhead">{escape(title)}</h2>')
        for start in range(0, len(cells), across):
            for column, (name, cell) in zip(
                st.columns(across, gap="small"), cells[start : start + across], strict=False
            ):
                with column, st.container(border=True, key=_key(cell), gap="xsmall", height="stretch"):
                    st.html(f'<h3 class="as-celltitle">{escape(name)}</h3>')
                    if cell in places and scaled is not None:
                        _picture(scaled, places[cell], jobs[cell].id, across)
                        _below(found[cell])
                    else:
                        _without(jobs.get(cell))
    if scaled is not None:
        if modality != "tabular":
            st.html(beside.legend(scaled))
        caption(scaled.sentence)


def _picture(scaled: Beside, place: int, key: str, across: int) -> None:
    one = beside.cell(scaled, place)
    if one.kind == "html":
        st.html(f'<div class="as-cell">{one.content}</div>')
        return
    fit(one.content, WIDTHS[across])
    plot(one.content, f"beside/{key}", one.title)


def plot(figure: Any, key: str, title: str) -> None:
    """A plotly figure with the house's toolbar."""
    st.plotly_chart(figure, key=key, config=figures.CONFIG, alt=title)


def fit(figure: Any, width: int) -> None:
    """Give a photograph the height that its width asks for."""
    shape = figure.layout.meta
    if isinstance(shape, dict) and "aspect" in shape:
        figure.update_layout(height=round(width * shape["aspect"] + shape["around"]))


def _below(found: Explanation) -> None:
    evidence.marks((found.overall,))


def _without(job: Job | None) -> None:
    if job is None:
        st.html('<div class="as-waiting as-vacant">Not run yet</div>')
    elif job.status in ACTIVE:
        says = "Waiting for its turn" if job.status == "queued" else "Running"
        st.html(f'<div class="as-waiting as-vacant">{says}</div>')
    elif job.status == "cancelled":
        notice("Stopped before it was finished.", "info")
    else:
        notice(job.message or "It failed without saying why; run it again.")


def _key(cell: Cell) -> str:
    """A container's key, which becomes a class in the page."""
    parts = (cell.method, cell.target, cell.against, cell.output, cell.baseline)
    return "cell-" + "-".join(str(one) for one in parts if one is not None)


def rows_of(aims: Sequence[Aim], methods: Sequence[str], output: str) -> list[tuple[str, list[tuple[str, Cell]]]]:
    """A row a target, in which every method stands by its title."""
    return [
        (aim.label, [(results.method_title(method), aim.cell(method, output)) for method in methods]) for aim in aims
    ]
