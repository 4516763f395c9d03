"""The browser that tests drive: an installed one, else Playwright's own; without one they fail in CI."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from app.reports import printing


@functools.cache
def _found() -> str | None:
    installed = printing.browser()
    if installed:
        return installed
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        own = player.chromium.executable_path
    return own if Path(own).is_file() else None


def required() -> str:
    """Its path."""
    found = _found()
    if found is None:
        reason = "no Chromium or Chrome is installed, and this test drives one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found
