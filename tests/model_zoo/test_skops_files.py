"""skops files beyond the corpus: what a pipeline knows of its raw columns, and every file that is refused."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from corpus_files import skops_files as made
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import explainers
from app import saying
from model_zoo import wrap
from model_zoo.facts import Facts, parse
from model_zoo.files import ModelFile
from model_zoo.formats.skops_file import TRUSTED
from model_zoo.opening import CONTAINED, format_of, open_file, read
from model_zoo.types import Capability, UserError


class Stranger(BaseEstimator):
    """An estimator of a package that nobody trusts."""

    def fit(self, rows, y):
        self.fitted_ = True
        return self

    def predict(self, rows):
        return np.zeros(len(rows))


def saved(own, tmp_path) -> ModelFile:
    skops.io.dump(own, tmp_path / "model.skops")
    return ModelFile(tmp_path / "model.skops")


def opened(own, tmp_path, **facts):
    return open_file(saved(own, tmp_path), Facts(**facts), trusted=CONTAINED)


# -- raw columns -------------------------------------------------------------------------------------------------


def test_a_pipeline_knows_its_columns_categories_and_what_fills_gaps(tmp_path) -> None:
    age, income, city, plan, rooms = opened(made.logistic(), tmp_path).card.columns
    table = made.people()
    assert (age.kind, age.default, income.default) == ("number", table["age"].median(), table["income"].median())
    assert (city.kind, city.categories, city.default) == ("category", made.CITIES, table["city"].mode()[0])
    assert (plan.categories, rooms.categories, rooms.default) == (made.PLANS, ("1", "2", "3"), None)


@pytest.mark.parametrize("row", range(5))
def test_every_row_is_predicted_as_the_pipeline_does(row: int, tmp_path) -> None:
    own = made.logistic()
    model = opened(own, tmp_path)
    given = made.people().iloc[row]
    expected = own.predict_proba(made.people().iloc[[row]])[0]
    np.testing.assert_allclose(model.predict(model.sample(given.to_dict())).raw, expected, atol=1e-9)
    np.testing.assert_allclose(model.predict(model.sample(given)).raw, expected, atol=1e-9)


def test_missing_and_unseen_values_are_what_the_pipeline_makes_of_them(tmp_path) -> None:
    own = made.logistic()
    model = opened(own, tmp_path)
    gap = model.sample({**made.ROW, "age": None, "city": "Rome"})
    table = made.decoded(model.sample(made.ROW).x).assign(age=np.nan, city="Rome")
    np.testing.assert_allclose(model.predict(gap).raw, own.predict_proba(table)[0], atol=1e-9)
    assert any("never seen in training" in note for note in gap.notes)


ENCODERS = {
    "one-hot": lambda: make_column_transformer(
        (OneHotEncoder(), make_column_selector(dtype_include=["object", "str"])), remainder="passthrough"
    ),
    "ordinal by number": lambda: make_column_transformer((OrdinalEncoder(), [2, 3]), remainder=StandardScaler()),
    "by slice": lambda: make_column_transformer((OneHotEncoder(), slice(2, 4)), remainder="passthrough"),
    "target": lambda: make_column_transformer((TargetEncoder(cv=2), ["city", "plan"]), remainder="passthrough"),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_categories_are_found_behind_any_encoder(name: str, tmp_path) -> None:
    own = make_pipeline(ENCODERS[name](), LogisticRegression(max_iter=2000)).fit(made.people(), made.churn() == "left")
    model = opened(own, tmp_path)
    assert [one.name for one in model.card.columns if one.kind == "category"] == ["city", "plan"]
    expected = own.predict_proba(made.people().iloc[[4]])[0]
    np.testing.assert_allclose(model.predict(model.sample(made.people().iloc[4])).raw, expected, atol=1e-9)


def test_missing_categories_have_a_name(tmp_path) -> None:
    table = pd.DataFrame({"size": ["s", None, "l", "s", None, "l"] * 5, "n": np.arange(30.0)})
    own = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["size"]), remainder="passthrough"), LinearRegression()
    )
    own.fit(table, np.arange(30) % 6)
    model = opened(own, tmp_path)
    assert model.card.columns[0].categories == ("l", "s", "missing")
    assert model.predict(model.sample({"size": None, "n": 1.0})).raw[0] == pytest.approx(
        own.predict(table.iloc[[1]])[0]
    )


def test_what_fills_a_gap_of_numbers_that_are_categories_is_one_of_them(tmp_path) -> None:
    table = pd.DataFrame({"rooms": [1, 2, 3] * 10, "size": np.arange(30.0)})
    encoder = make_column_transformer((OneHotEncoder(), ["rooms"]), remainder="passthrough")
    own = make_pipeline(encoder, LinearRegression()).fit(table, np.arange(30) % 7)
    said = saying.table("rooms,size\n1,2\n,3\n2,4\n3,5\n", "rooms.csv")  # the gap makes it a column of numbers
    model = opened(own, tmp_path, columns=said.columns, background=said.background)
    assert model.card.columns[0].categories == ("1", "2", "3")
    (cell, _) = model.sample({"rooms": None, "size": 9}).view.cells
    assert (cell.used, cell.note) == ("2", "imputed")
    expected = own.predict(pd.DataFrame({"rooms": [2], "size": [9.0]}))
    np.testing.assert_allclose(model.predict(model.sample({"rooms": None, "size": 9})).raw, expected, atol=1e-6)


WORK = ("salaried", "self-employed", "none")


def test_a_category_called_none_is_no_gap_when_a_csv_was_given(tmp_path) -> None:
    table = pd.DataFrame({"employment": [*WORK] * 20, "income": np.arange(60.0)})
    repaid = (table["employment"] != "none").map({True: "repaid", False: "defaulted"})
    encoder = make_column_transformer((OneHotEncoder(categories=[WORK]), ["employment"]), remainder=StandardScaler())
    own = make_pipeline(encoder, LogisticRegression()).fit(table, repaid)
    file = saved(own, tmp_path)
    rows = table.assign(employment=table["employment"].str.title().where(table.index > 30, table["employment"]))
    csv = rows.to_csv(index=False)
    columns = read(file, trusted=CONTAINED).guess.columns
    for known in (columns, ()):  # as the form gives them, and where nobody knew the model yet
        said = saying.table(csv, "people.csv", known)
        model = open_file(file, Facts(columns=said.columns, background=said.background), trusted=CONTAINED)
        assert set(model.card.columns[0].categories) >= set(WORK)
        assert model.card.columns[0].categories[:3] == WORK or not known
        for text in ("none", "None"):
            sample = model.sample({"employment": text, "income": 30.0})
            assert sample.notes == ()
            expected = own.predict_proba(pd.DataFrame({"employment": ["none"], "income": [30.0]}))[0]
            np.testing.assert_allclose(model.predict(sample).raw, expected, atol=1e-9)
        background = model.input.background(sample).rows
        np.testing.assert_allclose(
            model.outputs(model.tensor(background)), own.predict_proba(table.iloc[: len(background)]), atol=1e-6
        )


def test_a_cards_columns_may_be_in_any_order_and_say_more(tmp_path) -> None:
    file = saved(made.logistic(), tmp_path)
    plain = open_file(file, trusted=CONTAINED)
    card = {
        "kind": "assay model card",
        "columns": ["plan", "city", {"name": "age", "unit": "years"}, "income", "rooms"],
    }
    model = open_file(file, parse(json.dumps(card)), trusted=CONTAINED)
    assert model.card.columns[0].unit == "years"
    assert model.card.columns[2].categories == made.CITIES
    np.testing.assert_allclose(model.predict(model.sample(made.ROW)).raw, plain.predict(plain.sample(made.ROW)).raw)


def test_background_rows_are_read_with_their_categories(tmp_path) -> None:
    model = opened(made.logistic(), tmp_path, background=made.people().head(12).to_csv(index=False))
    found = explainers.explain(model, made.ROW, "kernel_shap", target="stayed")
    assert found.values.sum() + found.base_value == pytest.approx(found.explained, abs=1e-6)
    assert len(found.reference.rows) == 12


def test_wrap_takes_the_pipeline_itself_the_same_way() -> None:
    own = made.logistic()
    model = wrap(own, background=made.people().head(12))
    assert model.card.columns[2].categories == made.CITIES
    expected = own.predict_proba(made.people().iloc[[2]])[0]
    np.testing.assert_allclose(model.predict(model.sample(made.people().iloc[2])).raw, expected, atol=1e-9)


# -- what is explained -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, GradientBoostingClassifier])
def test_boosting_of_several_classes_is_explained_by_tree_shap(kind, tmp_path) -> None:
    short = {"max_iter": 6} if kind is HistGradientBoostingClassifier else {"n_estimators": 6, "loss": "exponential"}
    y = made.bands() if kind is HistGradientBoostingClassifier else made.churn()
    model = opened(kind(**short, random_state=0).fit(made.numbers(), y), tmp_path)
    assert Capability.TREES in model.can
    rows = made.numbers()[:20]
    trees = explainers.explain(model, rows[3] + 0.5, "tree_shap", target=1, background=rows)
    kernel = explainers.explain(model, rows[3] + 0.5, "kernel_shap", target=1, background=rows)
    np.testing.assert_allclose(trees.values, kernel.values, atol=1e-5)


def test_margins_and_normality_are_said_to_be_such(tmp_path) -> None:
    vectors = opened(made.vectors(), tmp_path)
    assert (vectors.card.task, vectors.card.labels) == ("regression", ("margin of stayed",))
    assert "SVC gives margins and no probabilities" in vectors.card.notes[0]
    assert "below 0 it is an outlier" in opened(made.isolation(), tmp_path).card.notes[0]


def test_what_is_read_crosses_the_wire(tmp_path) -> None:
    found = read(saved(made.perceptron(), tmp_path), trusted=CONTAINED)
    assert (found.outputs, found.problem, found.guess.modality) == (3, "", "tabular")


def test_texts_are_explained_by_the_words_that_the_pipeline_counts(tmp_path) -> None:
    own = made.texts()
    model = opened(own, tmp_path)
    found = explainers.explain(model, "A good film.", "occlusion", target="good")
    without = own.predict_proba(["A film."])[0, 1]
    assert dict(zip(found.players.names, found.values, strict=True))["good"] == pytest.approx(found.explained - without)
    svm = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(made.TEXTS, [1, 0, 1, 0, 0, 1])
    margins = opened(svm, tmp_path)
    assert margins.card.labels == ("margin of class 1",)
    raw = margins.predict(margins.sample("bad film")).raw
    np.testing.assert_allclose(raw, svm.decision_function(["bad film"]))


# -- what is refused ---------------------------------------------------------------------------------------------


REFUSED = {
    "a transformer": (lambda: StandardScaler().fit(made.numbers()), "prepares data and predicts nothing"),
    "a clusterer": (lambda: KMeans(2, n_init=1, random_state=0).fit(made.numbers()), "sorts rows into groups"),
    "several questions": (
        lambda: MultiOutputClassifier(DecisionTreeClassifier()).fit(made.numbers(), np.stack([made.bands()] * 2, 1)),
        "answers 2 questions at once",
    ),
    "not fitted": (LogisticRegression, "does not say how many columns it takes"),
    "a table": (lambda: {"a": 1}, "is no model"),
    "a stranger": (lambda: Stranger().fit(made.numbers(), None), "none of the types that are opened"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_explained_is_told(name: str, tmp_path) -> None:
    build, sentence = REFUSED[name]
    with pytest.raises(UserError, match=sentence):
        opened(build(), tmp_path)


def test_at_most_three_untrusted_types_are_named(tmp_path) -> None:
    makers = [type(f"Stranger{index}", (Stranger,), {"__module__": __name__}) for index in range(5)]
    for one in makers:
        globals()[one.__name__] = one
    with pytest.raises(UserError, match=r"Stranger0, .*Stranger1, .*Stranger2 and 2 more"):
        opened([one() for one in makers], tmp_path)


def test_no_trusted_type_calls_a_system() -> None:
    assert not any(
        one.startswith(("os.", "posix.", "subprocess.", "builtins.eval", "builtins.exec")) for one in TRUSTED
    )
    assert not {"builtins.getattr", "operator.methodcaller", "sklearn.utils.fixes.parse_version"} & set(TRUSTED)


def test_a_file_that_was_cut_off_is_no_known_format(tmp_path) -> None:
    file = saved(made.ridge(), tmp_path)
    file.path.write_bytes(file.path.read_bytes()[: file.size // 2])
    with pytest.raises(UserError, match="cut off"):
        open_file(ModelFile(file.path), trusted=CONTAINED)


def changed(file: ModelFile, change) -> ModelFile:
    """The archive with its parts, a dict of bytes, changed."""
    with zipfile.ZipFile(file.path) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(file.path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return ModelFile(file.path)


def header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": "<f8"})
    return stream.getvalue()


def nested(parts) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", header((64 << 17,)) + bytes(64 << 20))
    parts["sparse.npz"] = stream.getvalue()


def deep(parts) -> None:
    parts["schema.json"] = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


HOSTILE = {
    "zeros": (lambda parts: parts.update({"zeros.npy": header((64 << 17,)) + bytes(64 << 20)}), "unpacks to more than"),
    "nested zeros": (nested, "unpacks to more than"),
    "claims": (lambda parts: parts.update({"more.npy": header((1 << 40,))}), "damaged or cut off"),
    "no json": (lambda parts: parts.update({"schema.json": b"[1, 2"}), "no skops file, or is damaged"),
    "deep": (deep, "no skops file, or is damaged"),
    "another schema": (lambda parts: parts.update({"schema.json": b"{}"}), "no skops file, or is damaged"),
    "missing array": (lambda parts: parts.pop(next(one for one in parts if one.endswith(".npy"))), "could not load"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused(name: str, tmp_path) -> None:
    change, sentence = HOSTILE[name]
    file = changed(saved(made.forest(), tmp_path), change)
    assert format_of(file).id == "skops_file"
    with pytest.raises(UserError, match=sentence):
        open_file(file, trusted=CONTAINED)
