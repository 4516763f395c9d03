"""The fake runtime behind every screen of a test."""

from __future__ import annotations

from typing import Any

import pytest
from fake_runtime import FakeRuntime

from app import backend


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fake runtime behind every screen of this test."""
    fake = FakeRuntime()
    monkeypatch.setattr(backend, "_start", lambda: backend.Backend(fake))
    backend.shared.clear()
    yield fake
    backend.shared.clear()
