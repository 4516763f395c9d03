"""Where an input comes from: a bundled example, a file, typed text, or a row filled in or picked from a CSV.

Everything goes into the store as the bytes that the person gave; only the worker parses them.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import math
from typing import Any

import streamlit as st

from app import saying, state
from app.backend import shared
from app.components.guard import answering
from app.components.markup import caption, escape, notice, plain
from app.given import examples
from app.state import Selection
from model_zoo import catalogue
from model_zoo.types import Column, Example, ModelCard, UserError

IMAGES = ("png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff")
THUMBNAIL = 160  # pixels
TABLE, FEW = 620, 7  # pixels of the rows to choose from; rows that need no scrolling
COLUMNS, ROWS = 6, 1000  # of a CSV that are shown to choose from
FIRST_ROW = "first row"
LARGEST = 64  # MiB of an input
RECORDED = {  # what is given as one file: what it is called, and its endings
    "series": ("Your own series (CSV, JSON or .npy)", ("csv", "tsv", "txt", "json", "npy")),
    "audio": ("Your own sound (WAV)", ("wav", "flac", "ogg", "npy")),
}


def draw(card: ModelCard, chosen: Selection) -> None:
    """The ways to give this model an input."""
    if card.modality == "image":
        _photos(card, chosen)
    elif card.modality == "text":
        _texts(card, chosen)
    elif card.modality == "tabular":
        _rows(card, chosen)
    elif card.modality in RECORDED and chosen.input:  # else the zone is in the middle of the screen
        _recorded(card, "upload-recorded")


def example(model: str, id: str) -> Selection:
    """A bundled example, put into the store."""
    data, name = catalogue.read_example(id)
    return Selection(model, shared().runtime.put(data, name), name)


def best(card: ModelCard) -> Selection:
    """The model with the first example that it knows, a table's with a row of its background; else without an input."""
    known = familiar(card)
    if known:
        return example(card.id, known[0].id)
    facts = shared().runtime.upload(card.id, state.owner()).facts
    if not facts.background:
        return Selection(card.id, "")
    row = saying.first_row(facts, card.columns)
    return Selection(card.id, shared().runtime.put(json.dumps(row).encode(), FIRST_ROW, state.owner()), FIRST_ROW)


def familiar(card: ModelCard) -> tuple[Example, ...]:
    """The examples that this model was made for: one of skin lesions is not to judge a cup of coffee unasked."""
    return examples(card) if card.modality != "image" or card.labels == saying.imagenet() else ()


def bundled(chosen: Selection) -> bool:
    """Whether the input is one of the examples."""
    return any(chosen.name == _file(one) for one in catalogue.examples())


def invite(card: ModelCard) -> None:
    """Where there is no input yet: the ways to give one, in the main part of the screen."""
    if card.modality == "image":
        key = "upload-first"
        st.file_uploader(
            "Choose a photo of your own",
            IMAGES,
            key=key,
            on_change=_upload,
            args=(card.id, key),
            max_upload_size=LARGEST,
        )
        caption("Or take one of the examples beside: it answers to any photo, also to one that it knows nothing of.")
    elif card.modality == "tabular":
        _csv(card)
        if "csv" not in st.session_state:
            st.html('<div class="as-field">Or fill in a row</div>')
            _form(card, Selection(card.id, ""))
    elif card.modality in RECORDED:
        _recorded(card, "upload-first")


def _recorded(card: ModelCard, key: str) -> None:
    """A series or a sound: one file."""
    label, endings = RECORDED[card.modality]
    st.file_uploader(label, endings, key=key, on_change=_upload, args=(card.id, key), max_upload_size=LARGEST)


@answering
def _take(model: str, id: str) -> None:
    state.choose(example(model, id))


def _give(model: str, data: bytes, name: str) -> None:
    state.choose(Selection(model, shared().runtime.put(data, name, state.owner()), name))


@answering
def _upload(model: str, key: str) -> None:
    file = st.session_state.get(key)
    if file is not None:
        _give(model, file.getvalue(), file.name)


# -- photographs -------------------------------------------------------------------------------------------------


def _photos(card: ModelCard, chosen: Selection) -> None:
    known = examples(card)
    st.html('<div class="as-field">Examples</div>')
    st.html("<style>" + "".join(_thumbnail(one, chosen) for one in known) + "</style>")
    with st.container(key="thumbs"):
        for one in known:
            label = plain(one.title)
            st.button(label, key=f"thumb-{one.id}", help=label, on_click=_take, args=(card.id, one.id), width="stretch")
    if not chosen.input:  # the zone is in the middle of the screen
        return
    key = "upload-image"
    st.file_uploader("Your own photo", IMAGES, key=key, on_change=_upload, args=(card.id, key), max_upload_size=LARGEST)


def _thumbnail(one: Example, chosen: Selection) -> str:
    """The style that turns an example's button into its picture; ids are those of bundled files."""
    ring = "outline:3px solid var(--as-accent);outline-offset:1px;" if chosen.name == _file(one) else ""
    return f".st-key-thumb-{one.id} button{{background-image:url({_small(one.id)});{ring}}}"


def _file(one: Example) -> str:
    return one.path.rsplit("/", 1)[-1]


@functools.cache
def _small(id: str) -> str:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(catalogue.read_example(id)[0])) as photo:
        square = ImageOps.fit(ImageOps.exif_transpose(photo).convert("RGB"), (THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    square.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


# -- texts -------------------------------------------------------------------------------------------------------


def _texts(card: ModelCard, chosen: Selection) -> None:
    _named(card, chosen)
    data, _ = shared().runtime.read(chosen.input, state.owner())
    key = f"typed/{chosen.input}"
    st.session_state.setdefault(key, data.decode("utf-8", "replace"))
    st.text_area("Your own text", key=key, height=180)
    st.button("Read this text", key="read-text", on_click=_typed, args=(card.id, key), width="stretch")


@answering
def _typed(model: str, key: str) -> None:
    if not st.session_state[key].strip():
        raise UserError("There is no text to read yet; type or paste some, then press “Read this text”.")
    _give(model, st.session_state[key].encode(), "typed text")


def _named(card: ModelCard, chosen: Selection) -> None:
    """Examples as a list of titles."""
    known = examples(card)
    if not known:
        return
    st.html('<div class="as-field">Examples</div>')
    with st.container(key="examples", gap="xxsmall"):
        for one in known:
            st.button(
                plain(one.title),
                key=f"example-{one.id}",
                on_click=_take,
                args=(card.id, one.id),
                width="stretch",
                type="secondary" if chosen.name == _file(one) else "tertiary",
            )


# -- tables ------------------------------------------------------------------------------------------------------


def _rows(card: ModelCard, chosen: Selection) -> None:
    _named(card, chosen)
    if not chosen.input:  # both are in the middle of the screen
        return
    with st.expander("Change the values"):
        _form(card, chosen)
    _csv(card)


def _csv(card: ModelCard) -> None:
    st.file_uploader(
        "Your own rows (CSV)", "csv", key="upload-csv", on_change=_table, args=(card.id,), max_upload_size=LARGEST
    )


def _form(card: ModelCard, chosen: Selection) -> None:
    given = _row(chosen.input)
    with st.form(f"row/{chosen.input}", border=False):
        for column in card.columns:
            _cell(column, given.get(column.name, column.default), f"cell/{chosen.input}/{column.name}")
        st.form_submit_button("Use these values", on_click=_filled, args=(card, chosen.input), width="stretch")


def _cell(column: Column, value: Any, key: str) -> None:
    label = plain(f"{column.name} ({column.unit})" if column.unit else column.name)
    help = plain(column.description) or None
    if column.kind == "number":
        st.session_state.setdefault(key, _number(value))
        st.number_input(label, step=1.0, format="%g", key=key, help=help, placeholder="missing")
    else:
        known = list(column.categories)
        text = None if value in (None, "") else str(value)
        st.session_state.setdefault(key, text)
        options = known if text is None or text in known else [*known, text]
        st.selectbox(label, options, key=key, help=help, placeholder="missing", accept_new_options=True)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


@answering
def _filled(card: ModelCard, digest: str) -> None:
    row = {one.name: st.session_state[f"cell/{digest}/{one.name}"] for one in card.columns}
    _give(card.id, json.dumps(row).encode(), "your row")


def _row(digest: str) -> dict[str, Any]:
    """The row in the store as a dictionary; empty if it is something else."""
    try:
        found = json.loads(shared().runtime.read(digest, state.owner())[0])
    except (UserError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@answering
def _table(model: str) -> None:
    file = st.session_state.get("upload-csv")
    if file is None:
        st.session_state.pop("csv", None)
        return
    shared().forget_failures()
    st.session_state["csv"] = (shared().runtime.put(file.getvalue(), file.name, state.owner()), file.name)
    st.session_state["csv-row"] = 1


def picker(card: ModelCard) -> None:
    """The rows of the CSV that was given, in the main part of the screen; nothing where there is none."""
    if card.modality != "tabular" or "csv" not in st.session_state:
        return
    digest, name = st.session_state["csv"]
    with st.container(border=True, horizontal=True, vertical_alignment="bottom", key="csv-rows"):
        try:
            rows = shared().rows(state.owner(), card.id, digest).result(timeout=10)
        except UserError as error:
            notice(str(error))
        except TimeoutError:
            notice("The file is still being read; come back in a moment.", "info")
        else:
            _pick(card, rows, name)
        st.button("", key="csv-close", icon=":material/close:", help="Close the file", type="tertiary", on_click=_close)


def _pick(card: ModelCard, rows: tuple[dict[str, Any], ...], name: str) -> None:
    st.session_state.setdefault("csv-row", 1)
    number = st.number_input(f"Row, 1 to {len(rows):,}", 1, len(rows), key="csv-row", width=150)
    st.html(
        f'<div class="as-quiet">{escape(name)}</div><div class="as-csv">{escape(_brief(rows[number - 1]))}</div>',
        width="stretch",
    )
    with st.popover("See the rows", icon=":material/table_rows:", key="csv-all"):
        shown = [
            {
                "Row": place,
                **{column: "" if row[column] is None else str(row[column]) for column in list(row)[:COLUMNS]},
            }
            for place, row in enumerate(rows[:ROWS], 1)
        ]
        st.dataframe(
            shown,
            hide_index=True,
            width=TABLE,
            height=300 if len(shown) > FEW else "content",
            key="csv-table",
            on_select=_point,
            selection_mode="single-row",
        )
        if len(rows) > ROWS:
            caption(f"The first {ROWS:,} of {len(rows):,} rows; give the number of any other.")
    st.button("Use this row", key="use-row", type="primary", on_click=_picked, args=(card.id, rows, name))


def _brief(row: dict[str, Any]) -> str:
    """The first columns of a row: '39 · Private · Masters …'."""
    values = ["missing" if value in (None, "") else str(value) for value in row.values()]
    return " · ".join(values[:COLUMNS]) + (" …" if len(values) > COLUMNS else "")


@answering
def _point() -> None:
    """A row that is clicked is the row that is picked."""
    chosen = st.session_state["csv-table"].selection.rows
    if chosen:
        st.session_state["csv-row"] = int(chosen[0]) + 1


@answering
def _close() -> None:
    st.session_state.pop("csv", None)


@answering
def _picked(model: str, rows: tuple[dict[str, Any], ...], name: str) -> None:
    number = st.session_state["csv-row"]
    _give(model, json.dumps(rows[number - 1]).encode(), f"{name}, row {number}")
