"""Deletion and insertion curves as a picture, and what bad evidence says in pictures and sentences."""

from __future__ import annotations

import json
from dataclasses import replace

import handmade
import numpy as np

from explainers import figures, record
from explainers.figures import curves
from explainers.sentence import WARNINGS, sentence, warning
from explainers.types import Check, Verdict


def test_curves_lie_where_the_check_put_them() -> None:
    explanation = handmade.tested(handmade.image())
    check = next(one for one in explanation.evidence if one.id == "beats_chance")
    drawn = curves.picture(explanation)
    lines = [one for one in drawn.content.data if one.fill is None]
    bands = [one for one in drawn.content.data if one.fill == "toself"]
    assert [one.xaxis for one in lines] == ["x", "x", "x2", "x2"]
    assert [one.line.dash for one in lines] == ["solid", "dash"] * 2, "told apart without colour"
    for place, name in enumerate(("deletion", "deletion", "insertion", "insertion")):
        np.testing.assert_allclose(lines[place].x, 100 * check.curves["share"])
        np.testing.assert_allclose(lines[place].y, check.curves[name][place % 2])
        up, down = np.split(np.asarray(bands[place].y), 2)
        np.testing.assert_allclose(up, check.curves[f"{name}_high"][place % 2])
        np.testing.assert_allclose(down[::-1], check.curves[f"{name}_low"][place % 2])
    assert drawn.content.layout.yaxis.title.text == "logit"
    assert "solid, the training mean colour; dashed, the picture <blurred>." in drawn.caption


def test_one_way_of_removing_is_one_line_and_none_is_no_picture() -> None:
    explanation = handmade.table(evidence=(handmade.curved(("the mean of 100 rows",)),))
    drawn = curves.picture(explanation)
    assert len(drawn.content.data) == 4
    assert "Absence means the mean of 100 rows." in drawn.caption
    assert json.loads(drawn.content.to_json())["layout"]["yaxis"]["title"]["text"] == "log-odds"
    assert curves.picture(handmade.table()) is None


def test_curves_are_kept_in_a_record(tmp_path) -> None:
    handmade.tested(handmade.text()).save(tmp_path / "one.assay")
    again = record.open_record(tmp_path / "one.assay").only
    assert curves.picture(again).caption == curves.picture(handmade.tested(handmade.text())).caption


def test_bad_evidence_stands_in_every_picture() -> None:
    found = figures.pictures(handmade.tested(handmade.text()))
    assert len(found) > 1
    wanted = "Read this picture with care: the strongest parts change when it is run again."
    assert {one.warning for one in found} == {wanted}
    assert {one.warning for one in figures.pictures(handmade.text())} == {""}


def test_each_line_has_words_of_its_own() -> None:
    bad = tuple(Check(id, id, Verdict.BAD, "No.") for id in WARNINGS)
    explanation = replace(handmade.table(), evidence=bad)
    assert warning(explanation) == ", ".join(list(WARNINGS.values())[:-1]) + " and " + WARNINGS["second_opinion"]
    assert f", but {WARNINGS['adds_up']}, {WARNINGS['settled']}" in sentence(explanation)
    odd = replace(explanation, evidence=(Check("odd", "Odd", Verdict.BAD, "No."),))
    assert warning(odd) == "the check “odd” came out badly"
