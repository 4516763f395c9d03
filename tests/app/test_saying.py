"""What a person types or gives as a small file, read as they meant it."""

from __future__ import annotations

import json
import random

import pytest

from app import saying
from app.saying import rows
from model_zoo import catalogue
from model_zoo.facts import IMAGENET_MEAN, Facts
from model_zoo.types import Column, UserError


@pytest.mark.parametrize(
    "text",
    [
        "cat, dog, fish",
        "cat\ndog\nfish\n",
        "cat,\ndog,\nfish,",
        "0: cat\n1: dog\n2: fish",
        "index,label\n2,fish\n0,cat\n1,dog",
        '["cat", "dog", "fish"]',
        "['cat', 'dog', 'fish']",
        '{"0": "cat", "1": "dog", "2": "fish"}',
        '{"cat": 0, "fish": 2, "dog": 1}',
        '{"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "fish"]}',
        '{"model_type": "vit", "id2label": {"0": "cat", "1": "dog", "2": "fish"}}',
        b"\xef\xbb\xbfcat\r\ndog\r\nfish\r\n",
    ],
)
def test_class_names_however_they_are_written(text) -> None:
    assert saying.labels(text) == ("cat", "dog", "fish")


def test_names_with_commas_and_digits_stay_whole() -> None:
    assert saying.labels("tench, Tinca tinca\ngoldfish, Carassius") == ("tench, Tinca tinca", "goldfish, Carassius")
    assert saying.labels("0\n1\n2\n3") == ("0", "1", "2", "3")
    assert saying.labels("label\nother") == ("label", "other"), "two names, of which one is a usual header"
    assert saying.labels("\n".join(saying.imagenet())) == saying.imagenet()
    assert saying.labels("  ") == ()


PIECES = (
    "cat",
    "5 stars",
    "1 star",
    "0.5",
    "1.5",
    "1-door",
    "2-seater",
    "[PAD]",
    "{x}",
    "(none)",
    "name",
    "label",
    "0",
)
PIECES += ("class", "tench, Tinca", "½ full", "1:10", "#", ",", "d'or", '12" pipe', "a; b", "2026-11-22", "1. FC")


@pytest.mark.parametrize("seed", range(200))
def test_names_one_a_line_are_taken_as_they_stand(seed: int) -> None:
    rng = random.Random(seed)
    names = tuple(rng.choices(PIECES, k=rng.randint(2, 9)))
    assert saying.labels("\n".join(names)) == names


@pytest.mark.parametrize(
    "names",
    [
        tuple(f"{one} star{'s' * (one > 1)}" for one in range(1, 6)),
        ("name", "date", "place"),
        ("class, lecture", "name, first", "label, last"),
        ("1. Bundesliga", "2. Bundesliga"),
        ("0.0", "1.0", "2.0"),
        ("1:10", "2:30"),
        ("[PAD]", "[unused0]", "the"),
        ('"open', "closed"),
        ("x" * 200_000, "y"),
        ("9" * 5000 + ": a", "b"),
    ],
)
def test_what_looks_like_a_header_or_a_number_is_a_name(names: tuple[str, ...]) -> None:
    assert saying.labels("\n".join(names)) == tuple(one.strip('"') for one in names)


def test_a_header_is_one_of_a_csv_file() -> None:
    assert saying.labels(b"label\ncat\ndog\nfish", "names.csv") == ("cat", "dog", "fish")
    assert saying.labels(b"label\ncat\ndog\nfish", "names.txt") == ("label", "cat", "dog", "fish")


def test_numbers_of_the_field_s_thousand_names_are_taken_off_though_two_are_cranes() -> None:
    names = [f"thing {one}" for one in range(1000)]
    names[134] = names[517] = "crane"
    assert saying.labels("\n".join(f"{place}: {one}" for place, one in enumerate(names))) == tuple(names)


@pytest.mark.parametrize("text", ['{"cat": 5}', '{"0": "a", "2": "b"}', "[1, {}]", "{broken", '["a", ""]', "a,,b"])
def test_what_is_no_list_of_names_is_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"class name|Class name"):
        saying.labels(text, "names.json")


def test_usual_normalisations_are_known_again() -> None:
    for id, one in saying.NORMALISATIONS.items():
        for channels in (1, 3):
            assert saying.normalisation(Facts(channels=channels).over(one.facts(channels))) == id
    assert saying.NORMALISATIONS["imagenet"].facts(3).mean == IMAGENET_MEAN
    assert saying.normalisation(Facts(mean=(0.1, 0.2, 0.3))) == ""
    assert saying.normalisation(Facts()) == "zero-one"


def test_numbers_a_channel() -> None:
    assert saying.numbers("[0.5, 0.4; 0.3]", "The mean", 3) == (0.5, 0.4, 0.3)
    assert saying.numbers("0.5", "The mean", 3) == (0.5, 0.5, 0.5)
    for text in ("0.5, 0.5", "half", ""):
        with pytest.raises(UserError, match="expected to be 3 numbers"):
            saying.numbers(text, "The mean", 3)


CSV = "age;job;income\n31;clerk;1,5\n;farmer;2\n40;;3\n"


def test_a_table_says_its_columns() -> None:
    found = saying.table(CSV, "people.csv")
    age, job, income = found.columns
    assert age == Column("age", low=31.0, high=40.0, default=40.0)
    assert (job.kind, job.categories, job.default) == ("category", ("clerk", "farmer"), "clerk")
    assert income.kind == "category", "a decimal comma is no number here"
    assert found.rows == 3
    assert found.background.splitlines()[:2] == ["age,job,income", '31,clerk,"1,5"']
    assert saying.narrowed(found, ("job", "age")).background.splitlines()[0] == "age,job"


def test_a_table_follows_the_model_s_own_order_and_leaves_out_what_it_does_not_take() -> None:
    found = saying.table("y,b,a\n0,1,2\n", "rows.csv", wanted=(Column("a"), Column("b")))
    assert [one.name for one in found.columns] == ["a", "b"]
    assert found.background == "a,b\n2,1\n"


def test_a_large_table_is_thinned() -> None:
    found = saying.table("x\n" + "\n".join(map(str, range(30_000))), "rows.csv")
    assert found.rows == rows.MOST_ROWS
    assert found.background.count("\n") - 1 == rows.KEPT_ROWS
    assert found.columns[0].high == rows.MOST_ROWS - 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2\n3,4\n", "begins with a row of numbers"),
        ("a,b\n", "no rows"),
        ("id\n" + "\n".join(f"x{one}" for one in range(2000)), "2,000 different values"),
        (b"\xff\xfe", "not a UTF-8 text"),
    ],
)
def test_what_is_no_table_is_a_sentence(text, says: str) -> None:
    with pytest.raises(UserError, match=says):
        saying.table(text, "rows.csv")


def test_a_first_row() -> None:
    columns = (
        Column("a", low=0.0, high=10.0),
        Column("b", "category", categories=("x", "y")),
        Column("c", default=3.0),
    )
    assert saying.first_row(Facts(), columns) == {"a": 5.0, "b": "x", "c": 3.0}
    assert saying.first_row(Facts(background="c,b,a\n1,y,2\n"), columns) == {"a": "2", "b": "y", "c": "1"}


def test_feature_names_or_how_many() -> None:
    assert [one.name for one in saying.columns("3")] == ["feature 0", "feature 1", "feature 2"]
    assert [one.name for one in saying.columns("age, income")] == ["age", "income"]
    with pytest.raises(UserError, match="named twice"):
        saying.columns("age, age")
    with pytest.raises(UserError, match="1 to 2,000"):
        saying.columns("0")


def test_a_tokenizer_is_told_from_other_files() -> None:
    good = json.dumps({"version": "1.0", "model": {"type": "WordPiece", "vocab": {}}})
    assert saying.tokenizer(good.encode(), "tokenizer.json") == good
    for data in (b"{}", b"[", b'{"model": 3}', b"\xff"):
        with pytest.raises(UserError):
            saying.tokenizer(data, "vocab.txt")


def test_imagenet_has_its_thousand_names() -> None:
    assert len(saying.imagenet()) == 1000
    assert saying.imagenet() == catalogue.card("squeezenet").labels


def test_a_category_that_the_model_knows_is_no_gap() -> None:
    text = "job,pay\nnone,1\nsalaried,NA\nNone,2\nfarmer,none\n,4\n"
    known = (Column("job", "category", categories=("salaried", "self-employed", "none")), Column("pay"))
    job, pay = saying.table(text, "people.csv", known).columns
    assert (job.categories, job.default) == (("salaried", "self-employed", "none", "farmer"), "none")
    assert pay == Column("pay", low=1.0, high=4.0, default=2.0)
    job, _ = saying.table(text, "people.csv").columns
    assert job.categories == ("farmer", "salaried"), "nothing says that none is a category"


def test_what_the_model_puts_into_a_gap_is_kept() -> None:
    known = (Column("job", "category", categories=("a", "b", "missing"), default="missing"), Column("pay", default=7.0))
    job, pay = saying.table("job,pay\nb,1\n,\n", "people.csv", known).columns
    assert (job.default, pay.default) == ("missing", 7.0)


def test_numbers_may_be_categories_of_the_model() -> None:
    known = (Column("rooms", "category", categories=("1", "2", "none")),)
    (rooms,) = saying.table("rooms\n1.0\nnone\n3\n", "rows.csv", known).columns
    assert (rooms.categories, rooms.default) == (("1", "2", "none", "3"), None)
