"""Texts: the tokenizer that makes token ids of them, and how many the model reads."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from app import saying
from app.components import receiving
from app.components.facts.fields import Fields
from app.components.markup import caption
from model_zoo.facts import Facts
from model_zoo.types import UserError

LONGEST = 100_000  # tokens


def start(facts: Facts) -> dict[str, Any]:
    """What the fields begin with."""
    limit = facts.limit or 512
    return {
        "tokenizer": facts.tokenizer,
        "limit": limit,
        "most": max(LONGEST, limit),
        "embedding": facts.embedding,
    }


def draw(at: Fields) -> None:
    """The tokenizer."""
    text = at.get("tokenizer")
    if at.get("own_input"):
        caption("The file brings its own tokenizer.")
        return
    if text:
        caption(f"Tokenizer: {_words(text)}.")
    elif _needed(at):
        caption("It reads token ids; a tokenizer makes them of a text.")
    else:
        caption("The file brings its own tokenizer.")
        return
    receiving.small(
        "Another tokenizer.json" if text else "tokenizer.json",
        f"{at.upload}/tokenizer",
        lambda data, name: at.put("tokenizer", saying.tokenizer(data, name)),
        'As tokenizer.save_pretrained("folder") of Hugging Face writes it.',
    )


def more(at: Fields) -> None:
    """The limit, and where the ids go in."""
    st.number_input("Reads at most, in tokens", 1, at.get("most"), key=at.key("limit"))
    st.text_input(
        "Embedding",
        key=at.key("embedding"),
        placeholder="found by running it",
        help="The dotted path of the layer that turns token ids into vectors, where there is more than one.",
    )


def said(at: Fields) -> Facts:
    """What the fields hold; UserError if there is no tokenizer."""
    if not at.get("tokenizer") and _needed(at):
        raise UserError("The tokenizer is missing: give the tokenizer.json that the model was trained with.")
    if at.get("limit") is None:
        raise UserError("The number of tokens is a whole number, such as 512; it is empty.")
    return Facts(
        tokenizer=at.get("tokenizer") or "",
        limit=int(at.get("limit")),
        embedding=str(at.get("embedding") or "").strip(),
    )


def _needed(at: Fields) -> bool:
    """Whether the file brings no tokenizer, as far as it was read."""
    return "tokenizer" in at.get("required", ()) or "modality" in at.get("required", ())


@st.cache_data(show_spinner=False, max_entries=16)
def _words(text: str) -> str:
    """'WordPiece, 30,522 tokens'."""
    try:
        model = json.loads(text)["model"]
        return f"{model.get('type') or 'of an unnamed kind'}, {len(model['vocab']):,} tokens"
    except (ValueError, KeyError, TypeError):
        return "given"
