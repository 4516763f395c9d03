"""Bytes and dates as people write them."""

from __future__ import annotations

import datetime

from explainers.runtime.room import sized as size

__all__ = ["size", "when"]


def when(created: str) -> str:
    """An ISO time as people write it, in the server's time zone."""
    try:
        return datetime.datetime.fromisoformat(created).astimezone().strftime("%d %b %Y, %H:%M")
    except ValueError:
        return created
