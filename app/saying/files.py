"""Small files as text."""

from __future__ import annotations

from model_zoo.types import UserError

LARGEST = 64 << 20  # bytes


def text(data: str | bytes, name: str) -> str:
    """UTF-8 bytes, or a text as it is; UserError if they are something else or too many."""
    if isinstance(data, str):
        return data
    if len(data) > LARGEST:
        raise UserError(f"{name} has {len(data) >> 20} MiB; at most {LARGEST >> 20} are read.")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not a UTF-8 text; save it in UTF-8.") from error
