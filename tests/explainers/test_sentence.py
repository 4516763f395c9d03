"""The one sentence: what a person would say, and no more than the method can tell."""

from __future__ import annotations

from dataclasses import replace

import handmade
import numpy as np

from explainers.sentence import caveats, sentence
from model_zoo.modalities.tabular import Cell, TableView
from model_zoo.types import Target

CAVEATS = (  # of the table's row
    "; hours per week was missing and taken as 40 hours; native country “Holand-Netherlands” was never seen in training"
)


def test_a_picture_is_told_by_its_places():
    assert sentence(handmade.image("segments")) == (
        "Espresso, 78 %, mainly because of the lower left of the picture; the right third spoke against it."
    )


def test_joined_places_are_told_as_one_and_far_ones_as_two():
    def told(*boxes: tuple[slice, slice]) -> str:
        values = np.zeros((56, 56))
        for box in boxes:
            values[box] = 1.0
        return sentence(replace(handmade.image(), values=values.reshape(-1)))

    every = slice(None)
    assert "because of the left half of the picture." in told((every, slice(0, 26)))
    assert "because of the lower half of the picture." in told((slice(28, 56), every))
    assert "because of parts all over the picture." in told((every, every))
    corners = told((slice(0, 10), slice(0, 10)), (slice(46, 56), slice(46, 56)))
    assert "the upper left and the lower right of the picture." in corners


def test_a_small_crop_has_places_of_its_own():
    explanation = handmade.image(photo=handmade.photograph(2000, 200))
    values = np.zeros((56, 56))
    values[:, :20] = 1.0
    found = sentence(replace(explanation, values=values.reshape(-1)))
    assert "the left third of what the model saw" in found


def test_segments_are_found_by_their_numbers():
    plain = handmade.image("segments")
    names = tuple(f"the top ({place + 1})" for place in range(plain.players.count))
    found = sentence(replace(plain, players=replace(plain.players, names=names)))
    assert "the lower left of the picture (segments 42, 50 and 41)" in found


def test_places_are_those_of_the_whole_photo():
    """The model saw the middle square, so its left edge is not the photo's."""
    explanation = handmade.image("pixels", side=56)
    values = np.zeros((56, 56))
    values[28, :8] = 1.0
    assert "the left of the picture" in sentence(replace(explanation, values=values.reshape(-1)))
    values = np.zeros((56, 56))
    values[28, 16:24] = 1.0
    assert "the centre of the picture" in sentence(replace(explanation, values=values.reshape(-1)))


def test_a_text_is_told_by_its_words():
    assert sentence(handmade.text("tokens")) == (
        "Negative, 91 %, mainly because of “terrible”, “waste” and “unwatchable”;"
        " “beautiful” and “lovely” spoke against it."
    )


def test_a_row_is_told_by_its_columns():
    assert sentence(handmade.table()) == (
        "> 50K, 87 %, mainly because of capital gain = 15,024 US$ and education = Masters;"
        f" age = 23 years spoke against it{CAVEATS}."
    )


def test_what_the_model_was_given_instead_is_said_of_several_columns():
    def told(*cells: Cell) -> list[str]:
        return caveats(replace(handmade.table().sample, view=TableView(cells)))

    gaps = [Cell(name, "number", None, 1.0, "", "imputed") for name in "abcde"]
    far = "outside the training range 17 to 90"
    assert told(Cell("age", "number", 41.0, 41.0)) == []
    assert told(*gaps[:2]) == ["a and b were missing and filled in"]
    assert told(*gaps) == ["a, b, c and 2 more were missing and filled in"]
    assert told(gaps[0], Cell("age", "number", 95.0, 95.0, "years", far)) == [
        "a was missing and taken as 1",
        "age 95 years is outside the training range",
    ]
    assert caveats(handmade.image().sample) == caveats(handmade.text().sample) == []


def test_a_text_of_which_nothing_is_known_is_said_to_be_one():
    plain = handmade.text()
    blind = replace(plain.sample, view=replace(plain.sample.view, unknown=True))
    assert sentence(replace(plain, sample=blind)).endswith("; the model knows none of its words.")


def test_the_starting_point_is_the_reason_where_the_parts_speak_against():
    values = np.array([-0.99, 0.24, -0.70, -0.68, 0.17, 0.08, 0.0])
    row = handmade.table()
    start = 3.0 - values.sum()
    found = sentence(replace(row, values=values, base_value=start, explained=3.0, unit="log-odds"))
    assert found == (
        "> 50K, 87 %: the starting point already says so (4.88 log-odds for the training mean colour);"
        " age = 23 years, capital gain = 15,024 US$ and hours per week = 40 hours spoke against it,"
        f" education = Masters for it{CAVEATS}."
    )
    found = sentence(replace(row, values=values, base_value=None))
    assert found.startswith("> 50K, 87 %, although age = 23 years, capital gain")
    assert found.endswith(f"; education = Masters spoke for it{CAVEATS}.")


def test_a_regression_has_its_unit():
    found = sentence(handmade.regression())
    assert found.startswith("Median house value 231,400 US$, raised mainly by capital gain")
    assert found.endswith(f"age = 23 years lowered it{CAVEATS}.")
    found = sentence(replace(handmade.regression(), values=-handmade.regression().values))
    assert found.startswith("Median house value 231,400 US$, lowered mainly by capital gain")
    assert found.endswith(f"age = 23 years raised it{CAVEATS}.")


def test_a_value_that_nobody_named_is_its_number_and_unit():
    plain = handmade.regression()
    unnamed = replace(plain, prediction=replace(plain.prediction, labels=("value",)))
    assert sentence(unnamed).startswith("231,400 US$, raised mainly by capital gain")
    assert sentence(replace(unnamed, card=replace(plain.card, unit=""))).startswith("Value 231,400, raised")


def test_another_class_is_asked_for():
    found = sentence(replace(handmade.image(), target=Target(1, "coffee mug", "logit")))
    assert found.startswith("Why coffee mug (13 %), when the model says espresso (78 %): mainly because of")


def test_bad_evidence_is_said_in_the_same_breath():
    found = sentence(handmade.text(evidence=handmade.UNSETTLED))
    assert found.endswith(", but this explanation did not settle.")


def test_attention_only_looked():
    assert "looking mostly at “" in sentence(handmade.attention())
    assert "because" not in sentence(handmade.attention())


def test_a_slope_is_a_sensitivity():
    found = sentence(replace(handmade.table(), unit="logit per unit of input"))
    sensitive = "capital gain = 15,024 US$, education = Masters and age = 23 years"
    assert found == f"> 50K, 87 %, most sensitive to {sensitive}{CAVEATS}."


def test_nothing_is_nothing():
    for explanation, part in (
        (handmade.image(), "part of the picture"),
        (handmade.text(), "word"),
        (handmade.table(), "column"),
    ):
        for values in (0 * explanation.values, 1e-9 * explanation.values):
            assert f"%: no {part} stands out" in sentence(replace(explanation, values=values))
