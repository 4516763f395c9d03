"""The one sentence: what a person would say, and no more than the method can tell."""

from __future__ import annotations

from dataclasses import replace

import handmade
import numpy as np

from explainers.sentence import sentence
from model_zoo.types import Target


def test_a_picture_is_told_by_its_places():
    assert sentence(handmade.image("segments")) == (
        "Espresso, 78 %, mainly because of the lower left of the picture; the right spoke against it."
    )


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
        " age = 23 years spoke against it."
    )


def test_a_regression_has_its_unit():
    found = sentence(handmade.regression())
    assert found.startswith("Median house value 231,400 US$, mainly because of")
    assert found.endswith("age = 23 years lowered it.")


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
    found = sentence(replace(handmade.table(), unit="log-odds (logit) per unit of input"))
    assert found == "> 50K, 87 %, most sensitive to capital gain = 15,024 US$ and education = Masters."


def test_nothing_is_nothing():
    for explanation in (handmade.image(), handmade.text(), handmade.table()):
        found = sentence(replace(explanation, values=0 * explanation.values))
        assert "nothing in the input stands out" in found
