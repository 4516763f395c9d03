"""Taking results away: the report as HTML or PDF, and the record that opens again without the model.

A file is made when its button is clicked, not before.
"""

from __future__ import annotations

import re

import streamlit as st

from explainers import record
from explainers.comparing import Comparison
from explainers.types import Explanation


def buttons(found: tuple[Explanation, ...], key: str, comparisons: tuple[Comparison, ...] = ()) -> None:
    """One button a kind of file, for all of these explanations together, and for what was compared of them."""
    if not found:
        return
    from app.reports import report, values  # its template engine is not needed before there is something to export

    name = file_name(found)
    with st.container(horizontal=True, key="export"):
        st.download_button(
            "Report (HTML)",
            lambda: report.html(found, comparisons),
            f"{name}.html",
            "text/html",
            key=f"export/html/{key}",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Report (PDF)",
            lambda: report.pdf(found, comparisons),
            f"{name}.pdf",
            "application/pdf",
            key=f"export/pdf/{key}",
            icon=":material/picture_as_pdf:",
            on_click="ignore",
            disabled=report.browser() is None,
            help=report.NO_BROWSER if report.browser() is None else None,
        )
        st.download_button(
            "Record (.assay)",
            lambda: record.dump(found),
            f"{name}.assay",
            "application/octet-stream",
            key=f"export/assay/{key}",
            icon=":material/save:",
            on_click="ignore",
            help="Everything in one file. Open it again under Runs, or with explainers.open_record().",
        )
        st.download_button(
            "Values (CSV)",
            lambda: values.table(found).encode("utf-8-sig"),  # the mark by which spreadsheets know UTF-8
            f"{name}.csv",
            "text/csv",
            key=f"export/csv/{key}",
            icon=":material/table:",
            on_click="ignore",
            help="One row for each part of the input, for a spreadsheet or another program.",
        )


def file_name(found: tuple[Explanation, ...]) -> str:
    """'skin_lesions – photo_melanoma': the model and the input, as their owner calls them."""
    first = found[0]
    stem = first.sample.name.rpartition(".")[0] or first.sample.name
    return f"{safe(first.card.title, 'model')} – {safe(stem, 'input')}"


def safe(name: str, instead: str) -> str:
    """A name as part of a file's name: letters, digits, spaces, dots and dashes of any language, at most 60."""
    return re.sub(r"[^\w .-]+", "-", name)[:60].strip(" .-") or instead
