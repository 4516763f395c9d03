"""One small form for what a model's file does not say, with good guesses: what matters first, the rest under "More"."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import streamlit as st

from app.components import receiving
from app.components.choosing import ICONS, KINDS
from app.components.facts import audio, image, outputs, series, tabular, text
from app.components.facts.fields import Fields
from app.components.markup import escape, plain
from explainers.runtime.types import Upload
from model_zoo import facts as cards
from model_zoo import opening
from model_zoo.facts import Facts
from model_zoo.files import Reading
from model_zoo.types import UserError

PARTS: dict[str, ModuleType] = {"image": image, "text": text, "tabular": tabular, "series": series, "audio": audio}
ABOUT = ("description", "licence")
READ_BY = ("modality", "architecture", "tokenizer")  # facts that change how a file is read


def resume(upload: Upload, draft: dict[str, Any]) -> None:
    """Fill in what was typed before a refresh, in a session that has not shown this form yet."""
    at = Fields(upload.id)
    if not at.all():
        for name, value in draft.items():
            at.put(name, value)


def begin(upload: Upload, reading: Reading) -> Fields:
    """The fields, filled with what was said before, else with what was found, where nobody has typed."""
    at = Fields(upload.id)
    at.put("required", reading.required)
    at.put("own_input", reading.own_input)
    known = upload.facts.over(reading.guess)
    at.suggest({"modality": known.modality or None})
    chosen = at.get("modality")
    if chosen:
        guess = Facts(modality=chosen).over(reading.guess)
        at.suggest(PARTS[chosen].start(upload.facts.over(opening.completed(guess))))
        at.put("assumed", _unsaid(upload, reading, guess))
    at.suggest(outputs.start(known, reading.outputs))
    at.suggest({"title": upload.title, **{name: getattr(known, name) for name in ABOUT}})
    if reading.choices:
        ids = [one.id for one in reading.choices]
        usual = None if reading.uncertain else ids[0]
        at.suggest({"architecture": known.architecture if known.architecture in ids else usual})
    return at


GUESSED = {
    "size": "height and width",
    "mean": "how pixels become numbers",
    "std": "how pixels become numbers",
    "crop": "which part of a photo is taken",
    "resample": "how it is resized",
    "limit": "how many tokens it reads",
}


def guessed(at: Fields) -> str:
    """What nothing in the file says, in words: 'height and width; how pixels become numbers'."""
    return "; ".join(dict.fromkeys(GUESSED[one] for one in at.get("assumed", ()) if one in GUESSED))


def _unsaid(upload: Upload, reading: Reading, guess: Facts) -> tuple[str, ...]:
    """Facts about this modality that neither the file nor its owner has said."""
    found = reading.assumed if guess.modality == reading.guess.modality else opening.assumed(guess)
    return () if reading.own_input else tuple(one for one in found if getattr(upload.facts, one) in ("", None, ()))


def asked(upload: Upload) -> Facts:
    """What changes how the file is read, as far as it is not what was found in it."""
    at = Fields(upload.id)
    guessed, modality = at.get("suggested", {}), at.get("modality")
    touched = {name: at.get(name) for name in READ_BY if at.get(name) and at.get(name) != guessed.get(name)}
    said = Facts(**touched)
    if modality == "tabular" and at.get("table") != guessed.get("table") and at.get("taken"):
        said = tabular.said(at).over(said)
    return said.over(upload.facts)


def choices(at: Fields, reading: Reading) -> None:
    """The ways to read an ambiguous file, each with its reason."""
    if not reading.choices:
        return
    by_id = {one.id: one for one in reading.choices}
    st.radio(
        "How it is run" if reading.format == "onnx" else "More than one thing fits these weights",
        list(by_id),
        format_func=lambda id: plain(by_id[id].title),
        index=None if reading.uncertain else 0,
        key=at.key("architecture"),
    )
    why = "".join(f"<li><b>{escape(one.title)}</b>: {escape(one.reason)}</li>" for one in reading.choices)
    summary = "<summary>What speaks for each</summary>"
    st.html(f'<details class="as-details">{summary}<ul class="as-reasons">{why}</ul></details>')


def draw(at: Fields, reading: Reading) -> None:
    """The fields."""
    if not reading.own_input:
        st.segmented_control(
            "It takes",
            list(PARTS),
            format_func=lambda one: f"{ICONS[one]} {KINDS[one]}",
            key=at.key("modality"),
            help="What you will give it to explain.",
        )
    part = PARTS.get(at.get("modality"))
    if part is None:
        return
    part.draw(at)
    outputs.draw(at, reading.outputs)
    outputs.meaning(at, reading.outputs)
    st.text_input("Name", key=at.key("title"), max_chars=120)
    with st.expander("More", key=f"more-{at.upload}"):
        part.more(at)
        st.text_input("Description", key=at.key("description"), max_chars=1000)
        st.text_input("Licence", key=at.key("licence"), max_chars=200)
        receiving.small(
            "Fill in from a card",
            f"{at.upload}/card",
            lambda data, name: adopt(at, cards.parse(data, name), reading),
            "A card that “Save this card” or `assay card` wrote.",
        )


def said(at: Fields, reading: Reading) -> Facts:
    """Everything that the form says; UserError names the field that is not as expected."""
    modality = at.get("modality")
    if modality not in PARTS:
        raise UserError("Say what it takes: an image, a text, a row of a table, a series or a sound.")
    if reading.uncertain and not at.get("architecture"):
        raise UserError(
            "Several networks fit these weights: choose the one that it is, or save it as TorchScript or ONNX."
        )
    about = Facts(
        modality=modality,
        architecture=at.get("architecture") or "",
        title=" ".join(str(at.get("title") or "").split()),
        description=str(at.get("description") or "").strip(),
        licence=str(at.get("licence") or "").strip(),
    )
    found = PARTS[modality].said(at).over(about)
    return outputs.said(at, reading.outputs).over(found)


def card(at: Fields, reading: Reading) -> str:
    """The card file of what the form says; where a field is wrong, of what was found."""
    try:
        return said(at, reading).dump()
    except UserError:
        return reading.guess.dump()


def adopt(at: Fields, facts: Facts, reading: Reading) -> None:
    """Make what a card says the values of the fields."""
    modality = facts.modality or at.get("modality")
    values: dict[str, Any] = {"modality": modality}
    if modality in PARTS:
        values.update(PARTS[modality].start(facts.over(reading.guess)))
    values.update(outputs.start(facts.over(reading.guess), reading.outputs))
    values.update({name: getattr(facts, name) for name in ("title", "architecture", *ABOUT) if getattr(facts, name)})
    for name, value in values.items():
        at.put(name, value)
