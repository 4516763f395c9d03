"""Bytes and dates as people write them."""

from __future__ import annotations

import datetime


def size(count: float) -> str:
    """'44.7 MB', each unit 1,024 of the one below, as limits and quotas are told."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1024
        if count < 999.5 or unit == "GB":
            break
    return f"{count:.3g} {unit}" if count < 999.5 else f"{count:,.0f} {unit}"


def when(created: str) -> str:
    """An ISO time as people write it, in the server's time zone."""
    try:
        return datetime.datetime.fromisoformat(created).astimezone().strftime("%d %b %Y, %H:%M")
    except ValueError:
        return created
