"""Boosters' files: their predictions, their own tree SHAP and KernelSHAP over all coalitions are the answers."""

from __future__ import annotations

import re

import catboost
import lightgbm
import numpy as np
import pandas
import pytest
import scipy.special
import xgboost
from corpus_files import boosters as made

import explainers
from model_zoo import boosters, wrap
from model_zoo.facts import Facts
from model_zoo.files import ModelFile
from model_zoo.opening import CONTAINED, format_of, open_file, read
from model_zoo.types import Capability, UserError

ROWS = made.data()[0][:40]
X = ROWS[7]


def saved(own, tmp_path, ending: str) -> ModelFile:
    path = tmp_path / f"model{ending}"
    own.save_model(str(path))
    return ModelFile(path)


TRAINED = {
    "xgboost two": (lambda: made.xgboosted("binary:logistic", made.two()), ".ubj"),
    "xgboost three": (lambda: made.xgboosted("multi:softprob", made.three(), num_class=3), ".json"),
    "xgboost value": (lambda: made.xgboosted("reg:squarederror", made.number()), ".ubj"),
    "lightgbm two": (lambda: made.lightgbm_booster("binary", made.two()), ".txt"),
    "lightgbm three": (lambda: made.lightgbm_booster("multiclass", made.three(), num_class=3), ".txt"),
    "lightgbm value": (lambda: made.lightgbm_booster("regression", made.number()), ".txt"),
    "catboost two": (lambda: made.catboosted("Logloss", made.two()), ".cbm"),
    "catboost three": (lambda: made.catboosted("MultiClass", made.three()), ".cbm"),
    "catboost value": (lambda: made.catboosted("RMSE", made.number()), ".cbm"),
    "catboost depthwise": (lambda: made.catboosted("Logloss", made.two(), grow_policy="Depthwise"), ".cbm"),
    "catboost lossguide three": (lambda: made.catboosted("MultiClass", made.three(), grow_policy="Lossguide"), ".cbm"),
}


@pytest.mark.parametrize("name", TRAINED)
def test_the_interventional_game_is_that_of_kernel_shap(name: str, tmp_path) -> None:
    train, ending = TRAINED[name]
    model = open_file(saved(train(), tmp_path, ending), trusted=CONTAINED)
    for target in range(len(model.card.labels)):
        trees = explainers.explain(model, X, "tree_shap", target=target, background=ROWS)
        kernel = explainers.explain(model, X, "kernel_shap", target=target, background=ROWS)
        np.testing.assert_allclose(trees.values, kernel.values, atol=5e-5)
        assert trees.base_value == pytest.approx(kernel.base_value, abs=5e-5)
        assert np.abs(trees.values).max() > 1e-3


def own_shap(own) -> np.ndarray:
    """(outputs, features + 1) of X, by the library itself."""
    if isinstance(own, xgboost.Booster):
        rows = xgboost.DMatrix(X[None], feature_names=list(made.NAMES))
        return np.atleast_2d(own.predict(rows, pred_contribs=True)[0])
    if isinstance(own, lightgbm.Booster):
        return own.predict(X[None], pred_contrib=True)[0].reshape(-1, 5)
    return np.atleast_2d(own.get_feature_importance(catboost.Pool(X[None]), type="ShapValues")[0])


@pytest.mark.parametrize("name", TRAINED)
def test_the_path_dependent_flavour_is_the_librarys_own(name: str, tmp_path) -> None:
    train, ending = TRAINED[name]
    own = train()
    model = open_file(saved(own, tmp_path, ending), trusted=CONTAINED)
    for target, theirs in enumerate(own_shap(own)):
        index = 1 if model.card.task == "binary" else target
        found = explainers.explain(model, X, "tree_shap", target=index, feature_perturbation="tree_path_dependent")
        np.testing.assert_allclose(found.values, theirs[:-1], atol=1e-6)
        assert found.base_value == pytest.approx(theirs[-1], abs=1e-6)


@pytest.mark.parametrize("name", [name for name in TRAINED if name.endswith("two")])
def test_both_classes_and_the_probability_of_two_are_explained(name: str, tmp_path) -> None:
    train, ending = TRAINED[name]
    model = open_file(saved(train(), tmp_path, ending), trusted=CONTAINED)
    yes, no = (explainers.explain(model, X, "tree_shap", target=index, background=ROWS) for index in (1, 0))
    np.testing.assert_allclose(yes.values, -no.values)
    chance = explainers.explain(model, X, "tree_shap", target=1, output="probability", background=ROWS)
    assert chance.values.sum() + chance.base_value == pytest.approx(model.predict(model.sample(X)).probabilities[1])


CATEGORICAL = {
    "xgboost": (lambda: made.xgboosted("binary:logistic", made.two(), True), ".json"),
    "lightgbm": (lambda: made.lightgbm_booster("binary", made.two(), True), ".txt"),
    "catboost": (lambda: made.catboosted("Logloss", made.two(), True), ".cbm"),
}


@pytest.mark.parametrize("name", CATEGORICAL)
def test_categories_are_said_in_words(name: str, tmp_path) -> None:
    train, ending = CATEGORICAL[name]
    own = train()
    file = saved(own, tmp_path, ending)
    model = open_file(file, Facts(background=made.csv()), trusted=CONTAINED)
    colour = model.card.columns[-1]
    assert (colour.kind, colour.categories) == ("category", made.COLOURS)
    red, blue = (model.predict(model.sample({**made.ROW, "colour": one})).raw[0] for one in ("red", "blue"))
    assert red > blue + 0.1
    found = explainers.explain(
        model, made.ROW, "tree_shap", target=1, feature_perturbation="tree_path_dependent", background=made.csv()
    )
    assert dict(zip((cell.name for cell in found.sample.view.cells), found.values, strict=True))["colour"] > 0.05
    assert found.values.sum() + found.base_value == pytest.approx(red, abs=1e-5)
    itself = explainers.explain(model, made.ROW, "tree_shap", target=1)
    np.testing.assert_array_equal(itself.values, found.values)
    assert itself.flavour == "tree path dependent"
    assert itself.provenance.parameters["feature_perturbation"] == "tree_path_dependent"
    with pytest.raises(UserError, match="categor"):
        explainers.explain(model, made.ROW, "tree_shap", target=1, feature_perturbation="interventional")


def test_categories_that_the_file_does_not_keep_are_asked_for(tmp_path) -> None:
    file = saved(CATEGORICAL["catboost"][0](), tmp_path, ".cbm")
    assert "'colour' are not in the file" in read(file, trusted=CONTAINED).problem
    with pytest.raises(UserError, match="give rows of its data as a CSV"):
        open_file(file, trusted=CONTAINED)


def test_lightgbm_says_the_ranges_of_its_columns(tmp_path) -> None:
    file = saved(made.lightgbm_booster("regression", made.number()), tmp_path, ".txt")
    age = open_file(file, trusted=CONTAINED).card.columns[0]
    numbers = made.data()[0][:, 0]
    assert (age.low, age.high) == pytest.approx((numbers.min(), numbers.max()))


def test_catboost_keeps_its_class_names(tmp_path) -> None:
    own = made.catboosted("Logloss", np.where(made.two(), "yes", "no"))
    assert open_file(saved(own, tmp_path, ".cbm"), trusted=CONTAINED).card.labels == ("no", "yes")


@pytest.mark.parametrize("package", ["lightgbm", "catboost", "xgboost"])
def test_wrappers_for_scikit_learn_keep_their_categories(package: str) -> None:
    frame = made.frame()
    if package == "lightgbm":
        own = lightgbm.LGBMClassifier(n_estimators=5, num_leaves=5, n_jobs=1, verbose=-1).fit(frame, made.two())
    elif package == "xgboost":
        own = xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1, enable_categorical=True).fit(
            frame, made.two()
        )
    else:
        frame["colour"] = frame["colour"].astype(str)
        own = catboost.CatBoostClassifier(iterations=5, depth=3, verbose=0, allow_writing_files=False)
        own.fit(frame, made.two(), cat_features=["colour"])
    background = frame.head(20)
    columns = wrap(made.xgboosted("binary:logistic", made.two(), True)).card.columns if package == "catboost" else None
    model = wrap(own, background=background, columns=columns)
    expected = own.predict_proba(frame.iloc[[3]])[0]
    np.testing.assert_allclose(model.predict(model.sample(frame.iloc[3])).probabilities, expected, atol=1e-6)


COUNT = np.abs(np.rint(made.number())) + 1
LINKED = {
    "xgboost poisson": (lambda: made.xgboosted("count:poisson", COUNT), ".ubj", np.exp),
    "xgboost gamma": (lambda: made.xgboosted("reg:gamma", COUNT), ".ubj", np.exp),
    "xgboost tweedie": (lambda: made.xgboosted("reg:tweedie", COUNT), ".json", np.exp),
    "lightgbm poisson": (lambda: made.lightgbm_booster("poisson", COUNT), ".txt", np.exp),
    "catboost poisson": (lambda: made.catboosted("Poisson", COUNT), ".cbm", np.exp),
    "catboost tweedie": (lambda: made.catboosted("Tweedie:variance_power=1.5", COUNT), ".cbm", np.exp),
    "lightgbm each class": (
        lambda: made.lightgbm_booster("multiclassova", made.three(), num_class=3),
        ".txt",
        scipy.special.expit,
    ),
    "catboost each class": (
        lambda: made.catboosted("MultiClassOneVsAll", made.three()),
        ".cbm",
        scipy.special.expit,
    ),
    "catboost labels": (
        lambda: made.catboosted("MultiLogloss", np.stack([made.two(), made.three() > 0], 1)),
        ".cbm",
        scipy.special.expit,
    ),
}


@pytest.mark.parametrize("flavour", ["automatic", "tree_path_dependent"])
@pytest.mark.parametrize("name", LINKED)
def test_what_a_link_follows_is_explained_before_it(name: str, flavour: str, tmp_path) -> None:
    train, ending, link = LINKED[name]
    model = open_file(saved(train(), tmp_path, ending), trusted=CONTAINED)
    raw = model.predict(model.sample(X)).raw
    for target in range(len(model.card.labels)):
        found = explainers.explain(model, X, "tree_shap", target=target, background=ROWS, feature_perturbation=flavour)
        margin = found.values.sum() + found.base_value
        assert link(margin) == pytest.approx(raw[target], rel=1e-4)
        assert found.explained == pytest.approx(margin, abs=1e-4)
        assert found.unit == ("log" if link is np.exp else "log-odds")
        assert any("is what is shared" in one for one in found.notes)
        assert np.abs(found.values).max() > 1e-3
        assert {one.id: one.verdict.value for one in found.evidence}["adds_up"] == "by_construction"


@pytest.mark.parametrize("flavour", ["automatic", "tree_path_dependent"])
@pytest.mark.parametrize("package", ["xgboost", "lightgbm", "catboost"])
def test_a_classifier_of_probabilities_has_its_logits_explained(package: str, flavour: str) -> None:
    kinds = {
        "xgboost": lambda: xgboost.XGBClassifier(n_estimators=4, max_depth=3, n_jobs=1),
        "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=4, num_leaves=5, n_jobs=1, verbose=-1),
        "catboost": lambda: catboost.CatBoostClassifier(iterations=4, depth=3, verbose=0, allow_writing_files=False),
    }
    own = kinds[package]().fit(made.data()[0], made.three())
    model = wrap(own, background=ROWS)
    starts = []
    for target in range(3):
        found = explainers.explain(model, X, "tree_shap", target=target, feature_perturbation=flavour)
        assert (found.unit, found.explained) == (
            "logit",
            pytest.approx(found.values.sum() + found.base_value, abs=1e-5),
        )
        starts.append(found.explained)
    np.testing.assert_allclose(scipy.special.softmax(starts), own.predict_proba(X[None])[0], atol=1e-5)


def test_both_classes_of_a_categorical_classifier_are_explained() -> None:
    frame = made.frame()
    own = xgboost.XGBClassifier(n_estimators=5, max_depth=3, max_cat_to_onehot=1, n_jobs=1, enable_categorical=True)
    model = wrap(own.fit(frame, made.two()), background=frame.head(20))
    for target, chance in enumerate(own.predict_proba(frame.iloc[[3]])[0]):
        found = explainers.explain(model, frame.iloc[3], "tree_shap", target=target)
        assert (found.unit, found.flavour) == ("log-odds", "tree path dependent")
        assert scipy.special.expit(found.values.sum() + found.base_value) == pytest.approx(chance, abs=1e-5)


def test_labels_that_do_not_exclude_one_another_have_a_probability_each(tmp_path) -> None:
    own = LINKED["catboost labels"][0]()
    model = open_file(saved(own, tmp_path, ".cbm"), trusted=CONTAINED)
    found = model.predict(model.sample(X))
    assert (model.card.task, model.card.unit, model.card.labels) == (
        "regression",
        "probability",
        ("label 0", "label 1"),
    )
    np.testing.assert_allclose(found.raw, scipy.special.expit(own.predict(X[None], prediction_type="RawFormulaVal"))[0])
    assert found.probabilities is None


def test_rounds_after_the_best_one_predict_nothing(tmp_path) -> None:
    rows, noise = made.data()[0], np.random.default_rng(0).integers(0, 2, 400)
    own = xgboost.XGBClassifier(n_estimators=60, max_depth=3, n_jobs=1, early_stopping_rounds=4)
    own.fit(rows[:200], made.two()[:200] ^ noise[:200], eval_set=[(rows[200:], made.two()[200:])], verbose=False)
    assert own.best_iteration + 1 < own.get_booster().num_boosted_rounds()
    model = open_file(saved(own, tmp_path, ".ubj"), trusted=CONTAINED)
    expected = own.predict_proba(X[None])[0, 1]
    assert "stopped early" in model.card.notes[0]
    assert model.predict(model.sample(X)).probabilities[1] == pytest.approx(expected, abs=1e-6)
    for one in (model, wrap(own, background=ROWS, output="logit")):
        for flavour in ("interventional", "tree_path_dependent"):
            found = explainers.explain(one, X, "tree_shap", target=1, feature_perturbation=flavour, background=ROWS)
            assert scipy.special.expit(found.values.sum() + found.base_value) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("package", ["xgboost", "lightgbm", "catboost"])
def test_columns_without_names_are_called_as_in_the_background(package: str, tmp_path) -> None:
    rows = made.data()[0]
    if package == "xgboost":
        own, ending = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, made.number()), 4), ".ubj"
    elif package == "lightgbm":
        own = lightgbm.train({"num_threads": 1, "verbose": -1}, lightgbm.Dataset(rows, made.number()), 4)
        ending = ".txt"
    else:
        own = catboost.CatBoost({"iterations": 4, "verbose": 0, "allow_writing_files": False}).fit(rows, made.number())
        ending = ".cbm"
    file = saved(own, tmp_path, ending)
    table = pandas.DataFrame(rows[:9], columns=list(made.NAMES))
    model = open_file(file, Facts(background=table.to_csv(index=False)), trusted=CONTAINED)
    assert [one.name for one in model.card.columns] == list(made.NAMES)
    found = explainers.explain(model, dict(zip(made.NAMES, rows[20], strict=True)), "tree_shap")
    assert found.players.names == made.NAMES
    with pytest.raises(UserError, match="takes 4 columns, whose names it does not say, and 5 came"):
        open_file(file, Facts(background=table.assign(target=1).to_csv(index=False)), trusted=CONTAINED)


def test_a_booster_without_trees_is_told() -> None:
    with pytest.raises(UserError, match="has no trees"):
        boosters.booster(made.xgboosted("binary:logistic", made.two(), rounds=0))


def test_a_linear_booster_has_no_trees_to_follow(tmp_path) -> None:
    own = made.xgboosted("reg:squarederror", made.number(), booster="gblinear")
    assert Capability.TREES not in open_file(saved(own, tmp_path, ".json"), trusted=CONTAINED).can


@pytest.mark.parametrize("name", CATEGORICAL)
def test_a_file_that_was_cut_off_is_told_in_a_sentence(name: str, tmp_path) -> None:
    train, ending = CATEGORICAL[name]
    file = saved(train(), tmp_path, ending)
    file.path.write_bytes(file.path.read_bytes()[: file.size * 3 // 5])
    cut = ModelFile(file.path)
    assert format_of(cut).id == f"{name}_file"
    with pytest.raises(UserError, match="cut off") as told:
        open_file(cut, trusted=CONTAINED)
    assert not re.search(r"\d\d:\d\d:\d\d|Stack|\.(so|cc|cpp|h)\b|/", str(told.value))


def test_the_old_binary_format_of_xgboost_is_known(tmp_path) -> None:
    path = tmp_path / "old.model"
    path.write_bytes(b"binf" + bytes(200))
    with pytest.raises(UserError, match="no longer reads since"):
        open_file(ModelFile(path), trusted=CONTAINED)


def test_only_the_sandbox_opens_them(tmp_path) -> None:
    file = saved(made.xgboosted("binary:logistic", made.two()), tmp_path, ".json")
    with pytest.raises(UserError, match="sandboxed worker"):
        open_file(file)


def with_a_constant_category() -> tuple[pandas.DataFrame, np.ndarray]:
    """A table with a category of one word alone before the one that matters."""
    frame = made.frame().assign(country=pandas.Categorical(["here"] * 400))
    frame = frame[["age", "country", "colour"]]
    return frame, (frame.colour == "red") * 3.0 + frame.age


def test_a_category_of_one_word_does_not_shift_the_others(tmp_path) -> None:
    rows, y = with_a_constant_category()
    own = lightgbm.train({"num_threads": 1, "verbose": -1}, lightgbm.Dataset(rows, y), 8)
    model = open_file(saved(own, tmp_path, ".txt"), trusted=CONTAINED)
    assert [one.categories for one in model.card.columns] == [(), ("here",), made.COLOURS]
    row = {"age": 0.3, "country": "here", "colour": "red"}
    given = pandas.DataFrame([row]).assign(
        country=pandas.Categorical(["here"]), colour=pandas.Categorical(["red"], made.COLOURS)
    )
    assert model.predict(model.sample(row)).raw[0] == pytest.approx(own.predict(given)[0])


def test_categories_that_may_be_anybodys_are_not_guessed(tmp_path) -> None:
    rows, y = with_a_constant_category()
    rows["size"] = pandas.Categorical(
        ["small", "large"] * 200, ["small", "large"], ordered=True
    )  # a number to LightGBM
    own = lightgbm.train({"num_threads": 1, "verbose": -1}, lightgbm.Dataset(rows, y), 8)
    found = boosters.LightGBM(own).knowledge().columns
    assert [(one.kind, one.categories) for one in found if one.kind == "category"] == [("category", ())] * 2
    assert "are not in the file" in read(saved(own, tmp_path, ".txt"), trusted=CONTAINED).problem


def test_a_hinge_margin_is_a_value(tmp_path) -> None:
    own = made.xgboosted("binary:hinge", made.two())
    model = open_file(saved(own, tmp_path, ".json"), trusted=CONTAINED)
    rows = xgboost.DMatrix(X[None], feature_names=list(made.NAMES))
    assert (model.card.task, model.card.output) == ("regression", "value")
    margin = own.predict(rows, output_margin=True)[0]
    assert model.predict(model.sample(X)).raw[0] == pytest.approx(margin)
    found = explainers.explain(model, X, "tree_shap", background=ROWS)
    assert found.values.sum() + found.base_value == pytest.approx(margin, abs=1e-5)
    assert wrap(own).card.output == "value"
