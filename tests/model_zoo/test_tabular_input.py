"""Rows on their way in and back: encodings by hand, everything that comes in files, every correction and refusal."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from model_zoo.modalities.tabular import TableInput
from model_zoo.types import Column, UserError

COLUMNS = (
    Column("age", unit="years", low=17, high=90, default=37.0),
    Column("work", "category", categories=("Private", "State", "other"), default="Private"),
    Column("hours", unit="h"),
)
ROWS = ({"age": 20, "work": "State", "hours": 10}, {"age": 40, "work": "Private", "hours": 30})
ONEHOT = TableInput(
    COLUMNS, "onehot", mean=(30, 0, 20), std=(10, 1, 10), background_rows=ROWS, rows_name="training rows"
)
ORDINAL = TableInput(COLUMNS, "ordinal")
ROW = {"age": 45, "work": "State", "hours": 38.5}
CSV = b"age,work,hours\n45,State,38.5\n"


def test_encodings():
    np.testing.assert_allclose(ONEHOT.read(ROW).x, [1.5, 0, 1, 0, 1.85], rtol=1e-6)
    np.testing.assert_allclose(ORDINAL.read(ROW).x, [45, 1, 38.5])
    assert ONEHOT.read(ROW).x.dtype == np.float32
    raw = TableInput(encoding="raw", dtype="float64").read(np.array([0.1, 1 / 3]))
    assert raw.x.tolist() == [0.1, 1 / 3]
    assert [cell.name for cell in raw.view.cells] == ["feature 0", "feature 1"]


@pytest.mark.parametrize(
    "raw",
    [
        ROW,
        {"hours": "38.5", "age": np.int64(45), "work": " state "},
        b'{"age": 45, "work": "State", "hours": 38.5}',
        '[{"age": 45, "work": "State", "hours": 38.5}]',
        CSV,
        CSV.decode(),
        b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n"),
        CSV.replace(b",", b";"),
        CSV.replace(b",", b"\t"),
        b'hours,"age",work\r"38.5",45,"State"\r\r',
        [45, "State", 38.5],
        np.array([45, "State", 38.5], dtype=object),
        pd.Series(ROW),
        pd.DataFrame([ROW]),
    ],
    ids=lambda raw: type(raw).__name__,
)
def test_one_row_however_it_comes(raw, tmp_path):
    sample = ONEHOT.read(raw)
    np.testing.assert_array_equal(sample.x, ONEHOT.read(ROW).x)
    assert [cell.used for cell in sample.view.cells] == [45, "State", 38.5]
    assert [cell.shown for cell in sample.view.cells] == ["45 years", "State", "38.5 h"]
    assert (sample.notes, len(sample.digest)) == ((), 71)
    if isinstance(raw, bytes):
        path = tmp_path / "row.csv"
        path.write_bytes(raw)
        assert ONEHOT.read(path).name == ONEHOT.read(str(path)).name == "row.csv"
        np.testing.assert_array_equal(ONEHOT.read(path).x, sample.x)


def test_an_array_holds_categories_by_their_place():
    assert ORDINAL.read(np.array([45, 1, 38.5])).view.cells[1].used == "State"
    assert ORDINAL.read([45, 7, 38.5]).view.cells[1].note == "never seen in training"


@pytest.mark.parametrize("missing", [None, "", " ", "NA", "nan", "?", math.nan, pd.NA])
def test_missing_values_are_imputed_and_told(missing):
    sample = ONEHOT.read({"age": missing, "work": missing, "hours": 20})
    np.testing.assert_allclose(sample.x, [0.7, 1, 0, 0, 0], rtol=1e-6)
    age, work, _ = sample.view.cells
    assert (age.given, age.used, age.note, work.used, work.note) == (None, 37.0, "imputed", "Private", "imputed")
    assert sample.notes == (
        "age was empty; 37 years was put in its place.",
        "work was empty; Private was put in its place.",
    )


def test_a_year_has_no_comma():
    cells = TableInput(tuple(map(Column, ("Year built", "area", "yearly")))).read([1997, 1997, 3500.5]).view.cells
    assert [one.shown for one in cells] == ["1997", "1,997", "3,500.5"]


def test_a_category_may_be_called_like_a_missing_value():
    taken = TableInput((Column("work", "category", categories=("?", "Private")),))
    assert taken.read({"work": "?"}).view.cells[0].note == ""


@pytest.mark.parametrize("given", ["none", "None", " none ", "NONE"])
def test_a_known_category_is_never_missing(given: str):
    taken = TableInput((Column("work", "category", categories=("salaried", "none"), default="salaried"),), "ordinal")
    (cell,) = taken.read({"work": given}).view.cells
    assert (cell.used, cell.note) == ("none", "")
    table = pd.DataFrame({"work": [given, "salaried", "null", None]})
    sample = taken.read({"work": "salaried"})
    assert taken.background(sample, table).rows.ravel().tolist() == [1, 0, 0, 0]
    assert taken.background(sample, table.to_dict("records")).rows.ravel().tolist() == [1, 0, 0, 0]


def test_case_and_spaces_decide_between_categories_that_differ_in_nothing_else():
    taken = TableInput((Column("c", "category", categories=(" a", "A", "b", "1"), default="b"),))
    read = [taken.read({"c": one}).view.cells[0] for one in ("A", " a", "a", "B ", "1.0")]
    assert [(one.used, one.note) for one in read] == [
        ("A", ""), (" a", ""), ("a", "never seen in training"), ("b", ""), ("1", ""),
    ]  # fmt: skip


def test_unseen_categories_and_numbers_out_of_range_are_marked():
    sample = ONEHOT.read({"age": 95, "work": "Privat", "hours": 20})
    assert sample.x.tolist() == [6.5, 0, 0, 0, 0]
    assert [cell.note for cell in sample.view.cells] == [
        "outside the training range 17 to 90",
        "never seen in training",
        "",
    ]
    assert sample.notes == (
        "age 95 years is outside the training range 17 to 90.",
        "work 'Privat' was never seen in training; the nearest that was is 'Private'.",
    )
    assert ORDINAL.read({"age": 20, "work": "Privat", "hours": 20}).x[1] == 2  # the code of 'other'
    bare = TableInput((Column("c", "category", categories=("a", "b")),), "ordinal")
    assert bare.read({"c": "z"}).x.tolist() == [-1]
    only = TableInput((Column("a", low=0),))
    assert only.read({"a": -1}).view.cells[0].note == "outside the training range, from 0"


def test_a_column_too_many_is_left_out_and_told():
    sample = ONEHOT.read({**ROW, "income": 1})
    assert sample.notes == ("The model does not take the column 'income', left out here.",)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            {"age": 1, "wrok": "State", "hours": 1},
            "The row has no column 'work'; expected are 'age', 'work', 'hours'.*'wrok'",
        ),
        ({}, "no columns 'age', 'work', 'hours'"),
        ({**ROW, "age": "old"}, "age is a number in years; 'old' came."),
        ({**ROW, "age": math.inf}, "age is a finite number in years; inf came."),
        (
            {**ROW, "hours": math.nan},
            r"hours is empty or not a number \(NaN\), and there is nothing to put in its place",
        ),
        ({**ROW, "hours": [1]}, "hours is one value; list came."),
        ([1, 2], r"3 values in column order \('age', 'work', 'hours'\); 2 came."),
        (np.zeros((2, 3)), r"one dimension, a value a column; an array of shape \(2, 3\) came"),
        ([[1], [2, 3]], "ragged"),
        (b"", r"row.csv is empty \(0 bytes\)"),
        (b"age,work,hours\n", "row.csv has a header and no rows"),
        (CSV + b"1,State,2\n", "row.csv has 2 rows; one is explained at a time. Choose one."),
        (b"age,work,hours\n1,State\n", "row.csv has 3 columns, but row 1 has 2 values"),
        (b"age,age,hours\n1,1,1\n", "row.csv has the column 'age' more than once"),
        (b'age,work,hours\n"1,State,2\n', "cannot be read as a CSV"),
        (b"age,wage,hours\n1,1,1\n", "no column 'work'.* Nearest to 'work' comes 'wage'"),
        (b"{", "looks like JSON but cannot be read"),
        (b"[1, 2]", "one JSON object of column names and values; a list came"),
        (b"\x89PNG\0\0", "row.csv is not a text file"),
        (b"age,work,hours\n1,Caf\xe9,2\n", "row.csv is not a UTF-8 text"),
        ("/no/such.csv", "could not be opened"),
        (pd.DataFrame([ROW, ROW]), "a table of 2 rows came"),
        (7, "A row is a dict of columns, .*; int came."),
    ],
    ids=repr,
)
def test_refusals(raw, sentence):
    with pytest.raises(UserError, match=sentence):
        ONEHOT.read(raw, "row.csv")


# -- many rows ---------------------------------------------------------------------------------------------------


def test_all_rows_of_a_table():
    rows = ONEHOT.rows(b"work,age,hours,name\nState,45,38.5,Ann\n\nPrivate,,1,Bo\n")
    assert rows == (
        {"work": "State", "age": "45", "hours": "38.5", "name": "Ann"},
        {"work": "Private", "age": "", "hours": "1", "name": "Bo"},
    )
    np.testing.assert_array_equal(ONEHOT.read(rows[0]).x, ONEHOT.read(ROW).x)
    assert ONEHOT.encode(rows).shape == (2, 5)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"age,wrok,hours\n1,1,1\n", "no column 'work'"),
        (b"x" * 1_100_000, "header line of more than 1 MB"),
        (b",".join(b"c%d" % one for one in range(2001)) + b"\n", "has 2,001 columns; at most 2,000 are read"),
        (b"age,work,hours\n" + b"1,State,2\n" * 10_001, "more than 10,000 rows; give a part of it"),
    ],
    ids=["wrong", "header", "columns", "rows"],
)
def test_tables_too_large_or_wrong_are_refused(raw, sentence):
    with pytest.raises(UserError, match=sentence):
        ONEHOT.rows(raw, "table.csv")


# -- players and references --------------------------------------------------------------------------------------


def test_a_category_is_one_player():
    players = ONEHOT.players(ONEHOT.read(ROW))
    assert players.owner.tolist() == [0, 1, 1, 1, 2]
    assert (players.count, players.names, players.kind) == (3, ("age", "work", "hours"), "columns")
    assert ORDINAL.players(ORDINAL.read(ROW)).owner.tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="players of a table are columns; 'words' came"):
        ONEHOT.players(ONEHOT.read(ROW), "words")


def test_baselines():
    sample = ONEHOT.read(ROW)
    mean = ONEHOT.reference(sample)
    assert (mean.kind, mean.sentence) == ("mean", "the mean of 2 training rows")
    np.testing.assert_allclose(mean.rows, [[0, 0.5, 0.5, 0, 0]])
    assert ONEHOT.reference(sample, "zero").sentence == "the training mean of each number, and no category"
    assert ORDINAL.reference(ORDINAL.read(ROW)).sentence == "zero in every column"
    np.testing.assert_array_equal(ONEHOT.reference(sample, ROW).rows[0], sample.x)
    np.testing.assert_array_equal(ONEHOT.reference(sample, 2).rows, [[2] * 5])
    np.testing.assert_array_equal(ONEHOT.reference(sample, [1, 0, 0, 1, 2]).rows, [[1, 0, 0, 1, 2]])
    assert TableInput(COLUMNS, baseline=ROW).reference(sample).sentence == "the row given"


@pytest.mark.parametrize(
    ("baseline", "sentence"),
    [
        ("median", "one of mean, zero, a number or an array; 'median' came"),
        ([1, 2], r"the input's shape \(5,\); one of shape \(2,\) came"),
        (math.nan, "finite numbers"),
        ({"age": 1}, "no columns 'work', 'hours'"),
    ],
)
def test_wrong_baselines_are_refused(baseline, sentence):
    with pytest.raises(UserError, match=sentence):
        ONEHOT.reference(ONEHOT.read(ROW), baseline)


def test_backgrounds():
    sample = ONEHOT.read(ROW)
    own = ONEHOT.background(sample)
    assert (own.kind, own.sentence, own.rows.shape) == ("background", "2 training rows", (2, 5))
    np.testing.assert_allclose(own.rows[0], [-1, 0, 1, 0, -1])
    for rows in ([ROW], pd.DataFrame([ROW]), sample.x[None]):
        found = ONEHOT.background(sample, rows)
        assert found.sentence == "1 row given"
        np.testing.assert_array_equal(found.rows[0], sample.x)
    assert ORDINAL.background(ORDINAL.read(ROW)).kind == "zero"
    for wrong, sentence in (
        ([], "background is empty"),
        (np.full((2, 5), np.nan), "finite"),
        (np.ones((2, 4)), "values"),
    ):
        with pytest.raises(UserError, match=sentence):
            ONEHOT.background(sample, wrong)


# -- backgrounds and baselines in the shapes in which people have them -----------------------------------------------


PEOPLE = (Column("age", default=30.0), Column("job", "category", categories=("cook", "Other")), Column("pay"))


def people() -> TableInput:
    return TableInput(PEOPLE, "onehot", mean=(40.0, 0.0, 10.0), std=(10.0, 1.0, 5.0), dtype="float64")


def test_a_pandas_table_is_encoded_as_its_rows_are_one_by_one():
    import pandas as pd

    table = pd.DataFrame({"pay": [1, 2, 3], "extra": "x", "job": ["cook", "clown", None], "age": [50.0, np.nan, 20.0]})
    table["job"] = table["job"].fillna("Cook")
    taken = people()
    one_by_one = np.stack([taken.read(row).x for row in table.to_dict("records")])
    sample = taken.read({"age": 1, "job": "cook", "pay": 2})
    np.testing.assert_array_equal(taken.background(sample, table).rows, one_by_one)
    np.testing.assert_array_equal(one_by_one[:, 0], [1, -1, -2])  # (age - 40) / 10, with 30 for the missing one
    with pytest.raises(UserError, match="pay is empty or not a number"):
        taken.background(sample, table.assign(pay=[1, np.nan, 2]))
    with pytest.raises(UserError, match="pay is a number; 'much' came"):
        taken.background(sample, table.assign(pay="much"))
    with pytest.raises(UserError, match="job is one value; list came"):
        taken.background(sample, table.assign(job=[["cook"], ["cook"], ["cook"]]))
    with pytest.raises(UserError, match="has no column 'pay'"):
        taken.background(sample, table.drop(columns="pay"))
    with pytest.raises(UserError, match="the column 'age' more than once"):
        taken.background(sample, pd.concat([table, table[["age"]]], axis=1))


def test_a_wide_table_is_encoded_in_well_under_a_second():
    import time

    import pandas as pd

    numbers = np.random.default_rng(0).normal(size=(5000, 300))
    taken = TableInput(tuple(Column(f"c{index}") for index in range(300)), "raw", dtype="float64")
    table = pd.DataFrame(numbers, columns=[column.name for column in taken.columns])
    began = time.perf_counter()
    rows = taken.background(taken.read(numbers[0]), table[table.columns[::-1]]).rows
    assert time.perf_counter() - began < 1
    np.testing.assert_array_equal(rows, numbers)


@pytest.mark.parametrize("columns", [(Column("a"), Column("b"), Column("c")), ()], ids=["named", "plain"])
def test_rows_with_names_are_matched_by_name_and_rows_without_by_place(columns, tmp_path):
    import pandas as pd
    import torch

    taken = TableInput(columns, "raw", dtype="float64")
    sample = taken.read({"a": 7, "b": 8, "c": 9})
    shuffled = pd.Series([3.0, 1.0, 2.0], index=["c", "a", "b"])
    path = tmp_path / "rows.csv"
    path.write_text("c,a,b\n3,1,2\n", encoding="utf-8")
    wish = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    plain = (np.array([1, 2, 3]), [1, 2, 3], wish, wish.detach().bfloat16(), [wish], wish[None])
    for given in (shuffled, dict(shuffled), shuffled.to_frame().T, *plain, str(path), path):
        assert taken.background(sample, given).rows.tolist() == [[1, 2, 3]], given
    for given in (shuffled, dict(shuffled), shuffled.to_frame().T, *plain[:4], wish[None]):
        assert taken.reference(sample, given).rows.tolist() == [[1, 2, 3]], given
    for given, sentence in (
        (5, "A background is an array .* or a CSV; int came"),
        (np.float64(5), "A background is an array .* float64 came"),
        ({1, 2}, "set came"),
        ("no such.csv", "could not be opened"),
        ([], "background is empty"),
    ):
        with pytest.raises(UserError, match=sentence):
            taken.background(sample, given)


UNNAMED = TableInput(tuple(Column(f"feature {place}") for place in range(3)), "raw")


@pytest.mark.parametrize("raw", [{"age": 1, "income": 2, "debt": 3}, "age,income,debt\n1,2,3\n"])
def test_columns_that_nobody_named_take_a_rows_own_names(raw):
    found = UNNAMED.read(raw)
    assert [cell.name for cell in found.view.cells] == ["age", "income", "debt"]
    assert found.x.tolist() == [1, 2, 3]
    assert "'age', 'income', 'debt' were taken in that order" in found.notes[0]
    assert UNNAMED.players(found).names == ("age", "income", "debt")
    assert UNNAMED.reference(found, {"age": 4, "income": 5, "debt": 6}).rows.tolist() == [[4, 5, 6]]
    table = pd.DataFrame({"age": [1, 7], "income": [2, 8], "debt": [3, 9]})
    for rows in (table, table.to_csv(index=False), table.to_dict("records")):
        assert UNNAMED.background(found, rows).rows.tolist() == [[1, 2, 3], [7, 8, 9]]


def test_columns_that_nobody_named_say_how_many_they_are():
    with pytest.raises(UserError, match=r"takes 3 columns, whose names it does not say, and 4 came .* without"):
        UNNAMED.rows("age,income,debt,paid\n1,2,3,0\n")
    with pytest.raises(UserError, match="no column 'feature 1'"):
        UNNAMED.read({"feature 0": 1, "feature 2": 1, "other": 3})
    assert UNNAMED.read({"feature 2": 3, "feature 1": 2, "feature 0": 1, "paid": 0}).x.tolist() == [1, 2, 3]


def test_one_row_in_words_is_one_row():
    taken = people()
    sample = taken.read({"age": 1, "job": "cook", "pay": 2})
    assert taken.background(sample, [50, "cook", 15]).rows.tolist() == [[1, 1, 0, 1]]
