"""What the model returns: the names of its classes, and whether its numbers are scores, probabilities or values."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st

from app import saying
from app.components import receiving
from app.components.facts.fields import Fields, box
from app.components.markup import caption
from model_zoo.facts import Facts
from model_zoo.types import Output, Task, UserError

TOLD = ""  # by running it
MEANINGS: dict[str, tuple[str, str, str]] = {  # id: what a person reads, task, output
    TOLD: ("as the first run suggests", "", ""),
    "logits": ("scores of classes (logits)", "classification", "logit"),
    "probabilities": ("probabilities of classes", "classification", "probability"),
    "second-logit": ("the score (logit) of the second of two classes", "binary", "logit"),
    "second-probability": ("the probability of the second of two classes", "binary", "probability"),
    "values": ("a number that it predicts (regression)", "regression", "value"),
}
ONE, MANY = ("values", "second-logit", "second-probability"), (TOLD, "logits", "probabilities", "values")
IMAGENET = 1000


def start(facts: Facts, outputs: int | None) -> dict[str, Any]:
    """What the fields begin with."""
    pair = (facts.task or "", facts.output or "")
    known = next((id for id, (_, *one) in MEANINGS.items() if tuple(one) == pair), TOLD)
    if known not in choices(outputs):
        known = choices(outputs)[0]
    return {**_written(facts.labels), "meaning": known, "unit": facts.unit}


def choices(outputs: int | None) -> tuple[str, ...]:
    """The meanings that so many outputs can have."""
    return tuple(MEANINGS) if outputs is None else ONE if outputs == 1 else MANY


def draw(at: Fields, outputs: int | None) -> None:
    """The meaning where one output leaves it open, then names."""
    if outputs == 1:
        st.radio("Its one output is", ONE, format_func=lambda one: MEANINGS[one][0], key=at.key("meaning"))
    if regression(at):
        st.text_input("Unit of what it predicts", key=at.key("unit"), placeholder="US$, °C … or nothing")
        if outputs == 1:
            return
    st.text_area(
        f"{'Names of its values' if regression(at) else 'Class names'}, in the order of the outputs",
        key=at.key("labels"),
        height=box(outputs or 0),
        placeholder="cat, dog, fish … or one a line; left empty, they are called class 0, class 1 …",
    )
    with st.container(horizontal=True, vertical_alignment="center", key=f"names-{at.upload}"):
        _count(at, outputs)
        if outputs == IMAGENET or (outputs is None and at.get("modality") == "image"):
            st.button(
                "ImageNet's 1,000 names",
                key=f"act/{at.upload}/imagenet",
                on_click=lambda: _fill(at, saying.imagenet()),
            )
        with st.popover("From a file", key=f"names-file-{at.upload}"):
            receiving.small(
                "Class names", f"{at.upload}/labels", lambda data, name: _take(at, data, name),
                "A text with one a line, a CSV, or JSON: a list, class_to_idx or id2label.",
            )  # fmt: skip


def meaning(at: Fields, outputs: int | None) -> None:
    """The meaning, where running the model tells it mostly right."""
    if outputs != 1:
        st.selectbox(
            "Its outputs are", choices(outputs), format_func=lambda one: MEANINGS[one][0], key=at.key("meaning")
        )


def said(at: Fields, outputs: int | None) -> Facts:
    """What the fields hold; UserError if the names do not match the outputs."""
    _, task, output = MEANINGS[at.get("meaning", TOLD)]
    about = Facts(task=cast("Task", task) or None, output=cast("Output", output) or None)
    names = _names(at)
    if regression(at):
        about = Facts(unit=str(at.get("unit") or "").strip()).over(about)
        if outputs == 1 and len(names) > 1:  # typed while it was a score of two classes
            return about
    wrong = mismatch(len(names), expected(at, outputs))
    if names and wrong:
        raise UserError(wrong)
    return Facts(labels=names).over(about)


def regression(at: Fields) -> bool:
    """Whether the outputs are values."""
    return at.get("meaning") == "values"


def expected(at: Fields, outputs: int | None) -> int | None:
    """How many names there have to be."""
    return 2 if str(at.get("meaning")).startswith("second") else outputs


def mismatch(came: int, wanted: int | None) -> str:
    """What is wrong with so many names, in a sentence; empty if nothing is."""
    if wanted is None or came == wanted:
        return ""
    return f"{wanted:,} names are expected, one for each class that it tells apart; {came:,} came."


def _count(at: Fields, outputs: int | None) -> None:
    """How many names there are of how many; the line is always there, so that nothing moves under the pointer."""
    wanted = expected(at, outputs)
    try:
        count = len(_names(at))
    except UserError as error:
        caption(error, wrong=True)
        return
    if count and mismatch(count, wanted):
        caption(mismatch(count, wanted), wrong=True)
    elif count:
        caption(f"{count:,} names" + ("" if wanted is None else f" for {wanted:,} classes"))
    else:
        caption("No names yet" if wanted is None else f"No names yet for its {wanted:,} classes")


def _take(at: Fields, data: bytes, name: str) -> None:
    _fill(at, saying.labels(data, name))


def _fill(at: Fields, names: tuple[str, ...]) -> None:
    for field, value in _written(names).items():
        at.put(field, value)


def _written(names: tuple[str, ...]) -> dict[str, Any]:
    """The field of the names, and the names themselves, since not all are told from a text as they are."""
    return {"names": names, "labels": "\n".join(names)}


def _names(at: Fields) -> tuple[str, ...]:
    """The names that were filled in, as they are; where somebody typed, what the text says."""
    filled: tuple[str, ...] = at.get("names", ())
    text = at.get("labels") or ""
    return filled if text == "\n".join(filled) else saying.labels(text)
