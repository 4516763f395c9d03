"""Tree SHAP gives shap's numbers, for the class that was asked for, and they add up to the model's own prediction."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import shap
import sklearn.datasets
import sklearn.ensemble
import sklearn.tree
import xgboost

import explainers
from model_zoo import wrap
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
        explainers.explain(one, row, "tree_shap", feature_perturbation="interventional")
    found = explainers.explain(one, row, "tree_shap")
    assert found.flavour == "tree path dependent"
    assert found.values.sum() + found.base_value == pytest.approx(found.explained, abs=2e-5)
    with pytest.raises(UserError, match="shap cannot read these trees"):
        explainers.explain(model(object(), one.network, "binary", "logit", ("no", "yes")), X, "tree_shap")


def test_it_evaluates_the_background_alone_and_says_that_nothing_was_sampled() -> None:
    found = explainers.explain(boosted(), X, "tree_shap")
    assert found.cost.forward == 122  # the background, and x for our own check and the evidence's
    assert next(check for check in found.evidence if check.id == "settled").verdict == "exact"


# -- against the definition --------------------------------------------------------------------------------------


def enumerated(score, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Shapley values (features,) of v(S) = mean score of the rows with x on S, from all coalitions."""
    count = len(x)
    worth = {}
    for kept in itertools.product([False, True], repeat=count):
        worth[kept] = float(np.mean(score(np.where(kept, x, rows))))
    values = np.zeros(count)
    for kept, value in worth.items():
        size = sum(kept)
        for one in range(count):
            if not kept[one]:
                weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                values[one] += weight * (worth[(*kept[:one], True, *kept[one + 1 :])] - value)
    return values


IRIS, KIND = sklearn.datasets.load_iris(return_X_y=True)


@pytest.mark.parametrize(
    "trees",
    [
        sklearn.tree.DecisionTreeClassifier(random_state=0),
        sklearn.ensemble.ExtraTreesClassifier(5, random_state=0),
        xgboost.XGBClassifier(n_estimators=4, max_depth=3, n_jobs=1),
    ],
    ids=["tree", "extra trees", "xgboost"],
)
def test_data_on_a_decimal_grid_take_the_branches_that_the_model_takes(trees) -> None:
    trees.fit(IRIS, KIND)
    boosted_here = isinstance(trees, xgboost.XGBClassifier)
    one = wrap(trees, background=IRIS[::5], output="logit" if boosted_here else None)
    for row in range(0, 150, 6):
        found = explainers.explain(one, IRIS[row], "tree_shap", target=1)

        def score(rows: np.ndarray) -> np.ndarray:
            return (trees.predict(rows, output_margin=True) if boosted_here else trees.predict_proba(rows))[:, 1]

        np.testing.assert_allclose(found.values, enumerated(score, IRIS[row], IRIS[::5]), atol=1e-5)


@pytest.mark.parametrize(
    "kind", [sklearn.ensemble.RandomForestRegressor, sklearn.ensemble.HistGradientBoostingRegressor]
)
def test_a_threshold_on_the_grid_is_compared_whole(kind) -> None:
    grid = DRAW.integers(0, 5, size=(200, 4)) * 0.1  # thresholds such as (0.2 + 0.4) / 2 lie beside the value 0.3
    height = grid[:, 0] * grid[:, 1] + grid[:, 2]
    trees = kind(random_state=0, **({"n_estimators": 8} if "Forest" in kind.__name__ else {"max_iter": 8}))
    one = wrap(trees.fit(grid, height), background=grid[:20])
    for row in range(50, 60):
        found = explainers.explain(one, grid[row], "tree_shap")
        np.testing.assert_allclose(found.values, enumerated(trees.predict, grid[row], grid[:20]), atol=1e-6)


def test_a_tree_gives_what_enumeration_gives_for_the_row_that_was_wrong_once() -> None:
    one = wrap(sklearn.tree.DecisionTreeClassifier(random_state=0).fit(IRIS, KIND), background=IRIS[::5])
    found = explainers.explain(one, IRIS[126], "tree_shap", target=1)
    np.testing.assert_allclose(found.values, [0, -4 / 15, 1 / 12, -0.15], atol=1e-12)


@pytest.mark.parametrize("flavour", ["interventional", "tree_path_dependent"])
def test_the_exponential_loss_adds_up_half_the_log_odds_and_is_doubled(flavour: str) -> None:
    trees = sklearn.ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=9, random_state=0)
    trees.fit(ROWS, TWO)

    def log_odds(rows: np.ndarray) -> np.ndarray:
        shares = trees.predict_proba(rows)
        return np.log(shares[:, 1] / shares[:, 0])

    one = wrap(trees, background=ROWS[:30], output="logit")
    for target, sign in ((1, 1), (0, -1)):
        found = explainers.explain(one, X, "tree_shap", target=target, feature_perturbation=flavour)
        assert found.explained == pytest.approx(sign * log_odds(X[None])[0])
        assert found.values.sum() + found.base_value == pytest.approx(found.explained)
        if flavour == "interventional":
            exact = enumerated(log_odds, X, ROWS[:30])
            np.testing.assert_allclose(found.values, sign * exact, atol=1e-6)
            np.testing.assert_allclose(explainers.explain(one, X, "kernel_shap", target=target).values, sign * exact)
    if flavour == "interventional":
        chance = explainers.explain(wrap(trees, background=ROWS[:30]), X, "tree_shap", target=1)
        change = trees.predict_proba(X[None])[0, 1] - trees.predict_proba(ROWS[:30])[:, 1].mean()
        assert chance.values.sum() == pytest.approx(change)


@pytest.mark.parametrize("flavour", ["interventional", "tree_path_dependent"])
@pytest.mark.parametrize("objective", ["reg:logistic", "isolation"])
def test_a_prediction_behind_a_link_is_refused(objective: str, flavour: str) -> None:
    if objective == "isolation":
        trees = sklearn.ensemble.IsolationForest(n_estimators=5, random_state=0).fit(ROWS)
    else:
        trees = xgboost.XGBRegressor(n_estimators=4, max_depth=3, objective=objective, n_jobs=1).fit(ROWS, TWO)
    with pytest.raises(UserError, match=r"passes their sum through a function, .* Use KernelSHAP"):
        explainers.explain(wrap(trees, background=ROWS[:30]), X, "tree_shap", feature_perturbation=flavour)


@pytest.mark.parametrize("objective", ["count:poisson", "reg:gamma", "reg:tweedie"])
def test_the_margin_behind_an_exponential_is_explained(objective: str) -> None:
    trees = xgboost.XGBRegressor(n_estimators=4, max_depth=3, objective=objective, n_jobs=1)
    trees.fit(ROWS, np.exp(NUMBER / 4))
    found = explainers.explain(wrap(trees, background=ROWS[:30]), X, "tree_shap")
    exact = enumerated(lambda rows: np.log(trees.predict(rows)), X, ROWS[:30])
    np.testing.assert_allclose(found.values, exact, atol=1e-5)
    assert (found.unit, found.explained) == ("log", pytest.approx(np.log(trees.predict(X[None])[0]), abs=1e-5))


@pytest.mark.parametrize("objective", ["reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"])
def test_a_prediction_without_a_link_is_explained(objective: str) -> None:
    trees = xgboost.XGBRegressor(n_estimators=6, max_depth=3, objective=objective, n_jobs=1).fit(ROWS, 1e3 + NUMBER)
    found = explainers.explain(wrap(trees, background=ROWS[:30]), X, "tree_shap")
    np.testing.assert_allclose(found.values, enumerated(trees.predict, X, ROWS[:30]), atol=1e-3)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_histogram_boosting_is_read_where_it_splits_numbers(classes: int) -> None:
    kind = (
        sklearn.ensemble.HistGradientBoostingClassifier if classes else sklearn.ensemble.HistGradientBoostingRegressor
    )
    trees = kind(max_iter=6, random_state=0).fit(ROWS, {0: NUMBER, 2: TWO, 3: THREE}[classes])
    one = wrap(trees, background=ROWS[:30], output="logit" if classes else None)
    for target in range(classes or 1):

        def score(rows: np.ndarray, target: int = target) -> np.ndarray:
            if classes == 0:
                return trees.predict(rows)
            found = trees.decision_function(rows)
            return found[:, target] if classes == 3 else found * (2 * target - 1)

        found = explainers.explain(one, X, "tree_shap", target=target)
        np.testing.assert_allclose(found.values, enumerated(score, X.astype(float), ROWS[:30]), atol=1e-6)


def test_a_class_that_no_row_has_a_chance_of_gets_nothing() -> None:
    trees = sklearn.tree.DecisionTreeClassifier(max_depth=4, random_state=0).fit(IRIS, KIND)
    found = explainers.explain(wrap(trees, background=IRIS[:20]), IRIS[25], "tree_shap", target=2)
    np.testing.assert_allclose(found.values, 0, atol=1e-15)


def test_histogram_boosting_with_categories_or_a_link_says_why_not() -> None:
    colours = np.hstack([np.digitize(ROWS[:, :1], [-0.5, 0.5]), ROWS[:, 1:]])
    trees = sklearn.ensemble.HistGradientBoostingRegressor(max_iter=4, categorical_features=[0]).fit(colours, NUMBER)
    with pytest.raises(
        UserError, match=r"shap reads categorical splits of HistGradientBoostingRegressor .* KernelSHAP"
    ):
        explainers.explain(wrap(trees, background=colours[:30]), colours[3], "tree_shap")
    trees = sklearn.ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=4).fit(ROWS, np.exp(NUMBER / 4))
    with pytest.raises(UserError, match="passes their sum through a function"):
        explainers.explain(wrap(trees, background=ROWS[:30]), X, "tree_shap")
