"""The form of a model's facts left as it is says what the file said, to the last digit and space."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import replace

import fake_runtime
import pytest
from test_add import drop, field, only, use
from visiting import html

from app.components.facts import image, outputs, tabular, text
from app.components.facts.fields import Fields
from model_zoo.facts import EMPTY, IMAGENET_MEAN, IMAGENET_STD, Facts
from model_zoo.files import Reading
from model_zoo.types import Column, UserError

STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")


class Untouched(Fields):
    """Fields that nobody has touched."""

    def __init__(self, values: dict[str, object]) -> None:
        object.__setattr__(self, "upload", "u")
        object.__setattr__(self, "values", values)

    def get(self, name: str, default: object = None) -> object:
        return self.values.get(name, default)  # type: ignore[attr-defined]


def kept(said: Facts, guessed: Facts) -> dict[str, tuple[object, object]]:
    """Facts that were guessed and came out otherwise; empty is the law."""
    pairs = {one.name: (getattr(guessed, one.name), getattr(said, one.name)) for one in dataclasses.fields(Facts)}
    return {name: pair for name, pair in pairs.items() if pair[0] not in EMPTY and pair[0] != pair[1]}


def picture(rng: random.Random) -> Facts:
    channels = rng.choice((1, 2, 3, 3, 4))
    numbers = [
        (tuple(rng.uniform(-3, 3) for _ in range(channels)), tuple(rng.uniform(0.1, 3) for _ in range(channels))),
        ((0.5,) * channels, (0.1 + 0.2,) * channels),
        ((), ()),
    ]
    mean, std = rng.choice(numbers)
    return Facts(
        modality="image",
        size=rng.choice((None, (224, 320), (8192, 28))),
        channels=channels,
        order=rng.choice(("RGB", "BGR", "")) if channels == 3 else "",
        scale=rng.choice((None, 1.0, 2.0, 255.0, 1 / 3)),
        mean=mean,
        std=std,
        crop=rng.choice((None, 0.0, 0.875, 1.0, 224 / 256, 0.95)),
        resample=rng.choice(("", "lanczos")),
    )


@pytest.mark.parametrize("seed", range(40))
def test_an_untouched_form_of_pictures_says_what_was_guessed(seed: int) -> None:
    guessed = picture(random.Random(seed))
    said = image.said(Untouched(image.start(guessed)))
    assert not kept(replace(said, modality="image"), guessed)
    assert said.channels == guessed.channels


def test_what_is_nearly_a_usual_normalisation_keeps_its_digits() -> None:
    guessed = Facts(channels=3, mean=(0.4851, 0.456, 0.406), std=IMAGENET_STD, scale=1.0)
    values = image.start(guessed)
    assert values["normalisation"] == "imagenet"
    assert image.said(Untouched(values)).mean == guessed.mean
    grey = image.said(Untouched({**values, "colours": "grey"}))
    assert grey.mean == (round(sum(IMAGENET_MEAN) / 3, 6),)


def test_a_file_that_says_how_it_takes_pictures_is_believed() -> None:
    guessed = Facts(modality="image", size=(384, 384), channels=3)
    said = image.said(Untouched({**image.start(guessed), "own_input": True, "height": 7}))
    assert said == replace(guessed, modality="")


@pytest.mark.parametrize("limit", [1, 512, 1_000_000])
def test_an_untouched_form_of_texts_says_what_was_guessed(limit: int) -> None:
    guessed = Facts(tokenizer='{"model": {}}', limit=limit, embedding="encoder.embed")
    values = text.start(guessed)
    assert text.said(Untouched(values)) == guessed
    assert values["most"] >= limit


@pytest.mark.parametrize("background", ["", "0 age, in years,the job\n31,\n,clerk\n"])
def test_an_untouched_form_of_tables_says_what_was_guessed(background: str) -> None:
    guessed = Facts(
        columns=(Column("0 age, in years", low=0.1, high=99.0), Column("the job", "category", categories=("clerk",))),
        background=background,
    )
    assert tabular.said(Untouched(tabular.start(guessed))) == guessed


@pytest.mark.parametrize(
    "labels",
    [STARS, ("name", "date", "place"), (" the", "the", "\n"), ("a, b",), ("a", "a"), ("[PAD]", "{"), ()],
)
def test_untouched_names_are_the_file_s(labels: tuple[str, ...]) -> None:
    guessed = Facts(labels=labels, task="classification", output="logit")
    count = len(labels) if len(labels) > 1 else None
    assert outputs.said(Untouched(outputs.start(guessed, count)), count) == guessed


def test_a_vocabulary_is_not_too_many_names() -> None:
    many = tuple(f"{one} token" for one in range(1_000_001))
    assert outputs.said(Untouched(outputs.start(Facts(labels=many), None)), None).labels == many


@pytest.mark.parametrize(("labels", "count"), [(("normality",), 1), (("x", "y", "z"), 3), (("x", "y"), None)])
def test_values_keep_their_names(labels: tuple[str, ...], count: int | None) -> None:
    guessed = Facts(task="regression", output="value", labels=labels, unit="mm")
    values = outputs.start(guessed, count)
    assert outputs.said(Untouched(values), count) == guessed


def test_names_typed_for_two_classes_are_not_those_of_one_value() -> None:
    values = {**outputs.start(Facts(), 1), "labels": "no, yes"}
    assert outputs.said(Untouched(values), 1).labels == ()


def test_the_stars_of_a_file_reach_the_model(runtime) -> None:
    guess = replace(fake_runtime.RESNET.guess, labels=STARS, scale=2.0)
    runtime.reading = replace(fake_runtime.RESNET, guess=guess, outputs=5)
    at = drop()
    assert "5 names for 5 classes" in html(at)
    assert at.text_input(key=field(runtime, "scale")).value == "2"
    use(at)
    (facts,) = runtime.described
    assert (facts.labels, facts.scale) == (STARS, 2.0)
    assert not kept(facts, guess)


def test_names_of_a_file_that_was_given_are_taken_as_they_are(runtime) -> None:
    runtime.reading = replace(fake_runtime.RESNET, outputs=3)
    at = drop()
    id = only(runtime)
    at.file_uploader(key=f"drop/{id}/labels/0").upload("n.json", b'[" the", "0: a", "name"]', "application/json").run()
    use(at)
    assert runtime.described[0].labels == (" the", "0: a", "name")


@pytest.mark.parametrize("text", ["0", "inf", "nan", "white", ""])
def test_white_is_a_number(text: str) -> None:
    values = {**image.start(Facts(scale=2.0)), "scale": text}
    with pytest.raises(UserError, match="White is"):
        image.said(Untouched(values))


def test_any_number_of_channels_where_the_file_says_another(runtime) -> None:
    runtime.reading = Reading("x", "X", "A net", Facts(modality="image", size=(64, 64), channels=4), outputs=7)
    at = drop()
    assert at.number_input(key=field(runtime, "channels")).value == 4
    at.number_input(key=field(runtime, "channels")).set_value(5).run()
    use(at)
    assert runtime.described[0].channels == 5
    assert len(runtime.described[0].mean) == 5


def test_a_file_with_its_own_input_is_not_asked_for_it(runtime) -> None:
    guess = Facts(modality="text", limit=128)
    runtime.reading = Reading("hf_folder", "Hugging Face folder", "BERT", guess, outputs=2, own_input=True)
    at = drop()
    assert not at.button_group
    assert "brings its own tokenizer" in html(at)
    assert not [one for one in at.file_uploader if "tokenizer" in one.label]
    use(at)
    assert (runtime.described[0].modality, runtime.described[0].limit) == ("text", 128)


def test_categories_of_the_model_and_of_a_csv_are_joined_and_the_form_says_whose_they_are(runtime) -> None:
    job = Column("job", "category", categories=("salaried", "none"))
    runtime.reading = Reading(
        "x", "X", "A pipeline", Facts(modality="tabular", columns=(job, Column("pay"))), outputs=2
    )
    at = drop()
    rows = b"job,pay\nfarmer,1\nNone,2\nbaker,3\n"
    at.file_uploader(key=f"drop/{only(runtime)}/rows/0").upload("rows.csv", rows, "text/csv").run()
    assert "file names, in its order; after them come others from the CSV" in html(at)
    use(at)
    assert runtime.described[0].columns[0].categories == ("salaried", "none", "baker", "farmer")


def test_categories_of_a_csv_alone_are_said_to_be_its(runtime) -> None:
    runtime.reading = Reading("x", "X", "A script", Facts(modality="tabular"), outputs=2)
    at = drop()
    rows = b"job,pay\nfarmer,1\nnone,2\nbaker,3\n"
    at.file_uploader(key=f"drop/{only(runtime)}/rows/0").upload("rows.csv", rows, "text/csv").run()
    assert "Categories come from the CSV, in alphabetical order." in html(at)
