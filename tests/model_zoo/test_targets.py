"""Which class is meant: by name, by number, or by a number that is a name."""

import numpy as np
import pytest

from model_zoo import targets
from model_zoo.types import ModelCard, Prediction, UserError

CARD = ModelCard("m", "The model", "tabular", "classification", "logit", ("Zero", "7", "two"))


@pytest.mark.parametrize(
    ("given", "index"), [("zero", 0), ("TWO", 2), ("7", 1), ("2", 2), (2, 2), (np.int64(1), 1), ("-0", 0)]
)
def test_a_class_by_name_or_number(given, index):
    assert targets.index_of(CARD, given) == index
    found = targets.resolve(CARD, Prediction(np.zeros(3), np.ones(3) / 3, CARD.labels), given)
    assert (found.index, found.label, found.output) == (index, CARD.labels[index], "logit")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("twoo", "The model has no class 'twoo'; the nearest of its 3 are 'two'"),
        ("--1", "no class '--1'"),
        ("", "no class ''"),
        ("9" * 5000, "no class '999"),
        ("3", "The model has classes 0 to 2; class 3 came"),
        (-1, "classes 0 to 2; class -1 came"),
        (True, "a class name or its number; True came"),
        (1.0, "a class name or its number; 1.0 came"),
    ],
)
def test_what_is_no_class_is_a_sentence(given, message):
    with pytest.raises(UserError, match=message):
        targets.index_of(CARD, given)
