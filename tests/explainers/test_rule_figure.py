"""A rule as a picture, and bars of what is mostly nothing."""

from __future__ import annotations

from dataclasses import replace

import handmade
import numpy as np

from explainers import figures
from explainers.figures import rule

SHARES = {"precision": np.array(0.972), "precision_low": np.array(0.957), "coverage": np.array(0.04)}


def test_a_rule_is_told_first_with_its_shares() -> None:
    notes = ("If education = <Masters>, the model says > 50K in 97.2 % of 1,000 altered rows.", "More.")
    explanation = replace(handmade.table(), extras=SHARES, notes=notes)
    first = figures.pictures(explanation)[0]
    assert (first.id, first.kind) == ("rule", "html")
    assert "If education = &lt;Masters&gt;, the model says &gt; 50K" in first.content
    assert "97.2 % (at least 95.7 %)" in first.content
    assert "width:97.20%" in first.content
    assert "width:4.00%" in first.content
    assert figures.main(explanation).data, "a figure all the same"
    exact = replace(explanation, extras=SHARES | {"precision_low": np.array(0.972)})
    assert "at least" not in figures.pictures(exact)[0].content


def test_only_rules_have_one() -> None:
    assert not rule.draws(handmade.table())
    assert not rule.draws(replace(handmade.table(), extras={"precision": np.array(1.0)}, notes=("A note.",)))


def test_many_zeros_are_one_row() -> None:
    values = np.array([0.0, 0.3, 0.0, 0.0, -0.1, 0.0, 0.0])
    bars = next(one for one in figures.pictures(replace(handmade.table(), values=values)) if one.id == "bars").content
    names = [one.text for one in bars.layout.annotations if one.x == 0]
    assert names == ["education = Masters", "native country = unknown", "5 others"]
    assert list(bars.data[0].x) == [0.3, -0.1]
    plain = next(one for one in figures.pictures(handmade.table()) if one.id == "bars").content
    assert len(plain.data[0].x) == 7, "a single 0 keeps its name"
    nothing = replace(handmade.table(), values=np.zeros(7))
    assert len(next(one for one in figures.pictures(nothing) if one.id == "bars").content.data[0].x) == 7
