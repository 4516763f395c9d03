"""Tree SHAP gives shap's numbers, for the class that was asked for, and they add up to the model's own prediction."""

from __future__ import annotations

import numpy as np
import pytest
import shap
import sklearn.ensemble
import xgboost

import explainers
from model_zoo.modalities.tabular import TableInput
from model_zoo.model import Model
from model_zoo.types import Capability, Column, ModelCard, UserError

FEATURES = 5
DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(160, FEATURES)).astype(np.float32)
TWO = (ROWS[:, 0] + ROWS[:, 1] * ROWS[:, 2] > 0).astype(int)
THREE = np.digitize(ROWS[:, 0] - ROWS[:, 3], [-0.7, 0.7])
NUMBER = ROWS[:, 0] * 3 + ROWS[:, 1] ** 2
X = ROWS[7] + 0.1


def model(trees, forward, task: str, output: str, labels: tuple[str, ...]) -> Model:
    columns = tuple(Column(f"f{index}") for index in range(FEATURES))
    card = ModelCard("m", "M", "tabular", task, output, labels, Capability.TREES)
    return Model(card, forward, TableInput(columns, "raw", background_rows=ROWS[:120]), trees=trees, arrays=True)


def boosted() -> Model:
    trees = sklearn.ensemble.GradientBoostingClassifier(n_estimators=12, random_state=0).fit(ROWS, TWO)
    return model(trees, trees.decision_function, "binary", "logit", ("no", "yes"))


def histogram() -> Model:
    trees = sklearn.ensemble.HistGradientBoostingClassifier(max_iter=12, random_state=0).fit(ROWS, TWO)
    return model(trees, trees.decision_function, "binary", "logit", ("no", "yes"))


def boosted_three() -> Model:
    trees = xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(ROWS, THREE)
    return model(
        trees, lambda x: trees.predict(x, output_margin=True), "classification", "logit", ("low", "middle", "high")
    )


def xgb_two() -> Model:
    trees = xgboost.XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1).fit(ROWS, TWO)
    return model(trees, lambda x: trees.predict(x, output_margin=True), "binary", "logit", ("no", "yes"))


def forest() -> Model:
    trees = sklearn.ensemble.RandomForestClassifier(n_estimators=12, random_state=0).fit(ROWS, TWO)
    return model(trees, trees.predict_proba, "classification", "probability", ("no", "yes"))


def regression() -> Model:
    trees = sklearn.ensemble.RandomForestRegressor(n_estimators=12, random_state=0).fit(ROWS, NUMBER)
    return model(trees, trees.predict, "regression", "value", ("y",))


ALL = (boosted, histogram, boosted_three, xgb_two, forest, regression)


@pytest.mark.parametrize("flavour", ["interventional", "tree_path_dependent"])
@pytest.mark.parametrize("build", ALL, ids=lambda build: build.__name__)
def test_every_output_adds_up_to_the_models_own_prediction(build, flavour: str) -> None:
    one = build()
    for index in range(len(one.card.labels)):
        found = explainers.explain(one, X, "tree_shap", target=index, feature_perturbation=flavour)
        assert found.values.sum() + found.base_value == pytest.approx(found.explained, abs=2e-5)
        assert np.abs(found.values).max() > 1e-3
        assert flavour.replace("_", " ") in found.flavour


@pytest.mark.parametrize("build", ALL, ids=lambda build: build.__name__)
def test_the_interventional_game_is_that_of_kernel_shap_over_all_coalitions(build) -> None:
    one = build()
    for index in range(len(one.card.labels)):
        trees = explainers.explain(one, X, "tree_shap", target=index)
        kernel = explainers.explain(one, X, "kernel_shap", target=index)
        np.testing.assert_allclose(trees.values, kernel.values, atol=2e-5)
        assert trees.base_value == pytest.approx(kernel.base_value, abs=2e-5)


def test_numbers_are_the_librarys_and_all_120_rows_are_used() -> None:
    one = boosted()
    rows = shap.maskers.Independent(ROWS[:120], max_samples=120)
    explainer = shap.TreeExplainer(one.trees, rows, feature_perturbation="interventional")
    theirs = explainer.shap_values(X[None])[0]
    yes = explainers.explain(one, X, "tree_shap", target="yes")
    no = explainers.explain(one, X, "tree_shap", target="no")
    np.testing.assert_array_equal(yes.values, theirs)
    np.testing.assert_array_equal(no.values, -theirs)
    assert "120 background rows" in yes.flavour


@pytest.mark.parametrize("build", [boosted, histogram, xgb_two], ids=lambda build: build.__name__)
@pytest.mark.parametrize("index", [0, 1])
def test_a_binary_probability_is_explained_interventionally(build, index: int) -> None:
    one = build()
    found = explainers.explain(one, X, "tree_shap", target=index, output="probability")
    rows = shap.maskers.Independent(ROWS[:120], max_samples=120)
    theirs = shap.TreeExplainer(one.trees, rows, model_output="probability").shap_values(X[None])[0]
    np.testing.assert_allclose(found.values, theirs if index else -theirs, atol=1e-12)
    assert any("rescales" in note for note in found.notes)
    assert found.values.sum() + found.base_value == pytest.approx(found.explained, abs=2e-5)
    with pytest.raises(UserError, match="interventional"):
        explainers.explain(one, X, "tree_shap", output="probability", feature_perturbation="tree_path_dependent")


def test_a_probability_of_three_classes_is_refused_with_a_way_out() -> None:
    with pytest.raises(UserError, match="Explain the logit instead"):
        explainers.explain(boosted_three(), X, "tree_shap", output="probability")


def test_what_the_library_cannot_read_is_a_sentence() -> None:
    colours = np.digitize(ROWS[:, :1], [-0.5, 0.5])
    trees = xgboost.XGBClassifier(
        n_estimators=4, max_cat_to_onehot=1, enable_categorical=True, feature_types=["c"] + ["q"] * 4, n_jobs=1
    ).fit(np.hstack([colours, ROWS[:, 1:]]), TWO)
    one = model(trees, lambda x: trees.predict(x, output_margin=True), "binary", "logit", ("no", "yes"))
    row = np.array([1, *X[1:]])
    with pytest.raises(UserError, match="categorical splits only in the tree_path_dependent"):
        explainers.explain(one, row, "tree_shap")
    found = explainers.explain(one, row, "tree_shap", feature_perturbation="tree_path_dependent")
    assert found.values.sum() + found.base_value == pytest.approx(found.explained, abs=2e-5)
    with pytest.raises(UserError, match="shap cannot read these trees"):
        explainers.explain(model(object(), one.network, "binary", "logit", ("no", "yes")), X, "tree_shap")


def test_it_evaluates_the_background_alone_and_says_that_nothing_was_sampled() -> None:
    found = explainers.explain(boosted(), X, "tree_shap")
    assert found.cost.forward == 121
    assert next(check for check in found.evidence if check.id == "settled").verdict == "exact"
