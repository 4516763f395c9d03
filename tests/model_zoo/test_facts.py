"""What an owner says of a model: gaps filled, written and read again, wrong cards told in a sentence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from model_zoo.facts import KIND, Facts, parse
from model_zoo.types import Column, UserError

texts = some.text(max_size=12)
numbers = some.floats(-1e6, 1e6)
columns = some.builds(Column, name=texts, unit=texts, low=some.none() | numbers, description=texts)
facts = some.builds(
    Facts,
    title=texts,
    modality=some.sampled_from(["", "image", "text", "tabular", "series", "audio"]),
    task=some.sampled_from([None, "classification", "binary", "regression"]),
    labels=some.lists(texts, max_size=4).map(tuple),
    size=some.none() | some.tuples(some.integers(1, 999), some.integers(1, 999)),
    channels=some.none() | some.integers(1, 4),
    order=some.sampled_from(["", "RGB", "BGR"]),
    mean=some.lists(numbers, max_size=3).map(tuple),
    scale=some.none() | numbers,
    limit=some.none() | some.integers(1, 9999),
    rate=some.none() | numbers,
    time_axis=some.none() | some.integers(-3, 3),
    columns=some.lists(columns, max_size=3).map(tuple),
    background=texts,
)


@given(facts)
def test_a_card_says_again_what_was_said(said):
    assert parse(said.dump()) == said


@given(facts, facts)
def test_what_is_said_goes_before_what_is_guessed(said, guessed):
    both = said.over(guessed)
    for name in Facts.__dataclass_fields__:
        value = getattr(said, name)
        assert getattr(both, name) == (value if value not in ("", None, ()) else getattr(guessed, name))


WRONG = {
    "nothing": ("", "is not a model card"),
    "another JSON": ('{"labels": []}', "is not a model card"),
    "a list": ("[1]", "is not a model card"),
    "deep": ("[" * 100_000, "is not a model card"),
    "unknown": ({"colour": 1}, "has a field 'colour'; expected some of: title"),
    "task": ({"task": "guess"}, "task is expected to be one of classification, binary, regression; 'guess' came"),
    "size": ({"size": [224]}, r"size is expected to be \[height, width\] in pixels"),
    "mean": ({"mean": ["a"]}, "mean is expected to be a list of numbers"),
    "labels": ({"labels": "cat"}, "labels is expected to be a list"),
    "limit": ({"limit": 0}, "limit is expected to be a whole number from 1 upwards"),
    "scale": ({"scale": True}, "scale is expected to be a number"),
    "title": ({"title": 3}, "title is expected to be a text"),
    "column": ({"columns": [{"unit": "m"}]}, "a column is a name, or has some of"),
    "low": ({"columns": [{"name": "a", "low": "x"}]}, "low and high are numbers"),
    "categories": ({"columns": [{"name": "a", "categories": "x"}]}, "categories are a list"),
    "kind": ({"columns": [{"name": "a", "kind": "x"}]}, "the kind of a column is number or category; 'x' came"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_card_is_told_in_a_sentence(case):
    text, wanted = WRONG[case]
    if isinstance(text, dict):
        text = json.dumps({"kind": KIND, **text})
    with pytest.raises(UserError, match=wanted):
        parse(text, "card.json")
