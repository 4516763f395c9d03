"""Numbers as people write them."""

from __future__ import annotations

import pytest

from explainers.words import percent

CASES = {
    0.784: "78 %",
    0.9996: "over 99.9 %",
    1.0: "100 %",
    1.0004: "100 %",
    0.994: "99.4 %",
    0.0003: "under 0.1 %",
    0.0: "0 %",
    0.012: "1.2 %",
    -0.2: "−20 %",
    1.13: "113 %",
}


@pytest.mark.parametrize(("share", "text"), CASES.items())
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
