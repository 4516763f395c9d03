"""Tokenizers: the text of a tokenizer.json."""

from __future__ import annotations

import json

from app.saying import files
from model_zoo.types import UserError


def tokenizer(data: bytes, name: str) -> str:
    """The text of a tokenizer.json; UserError if it is something else."""
    text = files.text(data, name)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("model"), dict):
        raise UserError(
            f'{name} is not a tokenizer.json as Hugging Face tokenizers writes it (JSON with a "model"); save one with'
            ' tokenizer.save_pretrained("folder") and give folder/tokenizer.json.'
        )
    return text
