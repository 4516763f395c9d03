"""The tree of a model's layers: nested right, and never too much of it at once."""

from __future__ import annotations

import re

from app.components import layers
from explainers.diagnosis import Part

SMALL = (
    Part("", "Net", 0, 10),
    Part("a", "Seq", 1, 6),
    Part("a.0", "Linear", 2, 6),
    Part("b", "Linear<x>", 1, 4, "(1, 2)"),
)


def test_parts_are_nested_as_in_the_model() -> None:
    found = layers.html(SMALL)
    assert found.count("<details") == found.count("</details>") == 2
    assert re.search(r"<summary><b>a</b> Seq.*?<b>0</b> Linear.*?</details><div class=.as-leaf.><b>b</b>", found)
    assert "Linear&lt;x&gt;" in found
    assert "4 parameters · (1, 2)" in found


def test_below_a_part_are_its_own() -> None:
    assert [one.path for one in layers.below(SMALL, 1)] == ["a", "a.0"]
    assert layers.below(SMALL, 0) == list(SMALL)


def test_thousands_of_parts_are_shown_level_by_level() -> None:
    many = [Part("", "Net", 0, 1)]
    for block in range(50):
        many.append(Part(f"b{block}", "Block", 1, 1))
        many += [Part(f"b{block}.{one}", "Linear", 2, 1) for one in range(60)]
    assert layers.fitting(many) == 1
    assert layers.html([one for one in many if one.depth <= 1]).count("as-leaf") == 50
