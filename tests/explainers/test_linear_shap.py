"""Linear SHAP against shap's own, and refused where a model is not linear."""

from __future__ import annotations

import numpy as np
import pytest
import shap
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPRegressor

import explainers
import model_zoo
from explainers.types import Verdict
from model_zoo.types import UserError

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(80, 4)) * [1, 100, 0.01, 1] + [0, 5, 3, 1]
VALUES = ROWS @ [1.0, 2.0, -30.0, 0.0]


def test_a_regressions_numbers_are_the_librarys() -> None:
    fitted = Ridge().fit(ROWS, VALUES)
    model = model_zoo.wrap(fitted, modality="tabular", background=ROWS[:10])
    found = explainers.explain(model, ROWS[20], "linear_shap")
    theirs = shap.LinearExplainer(fitted, shap.maskers.Independent(ROWS[:10])).shap_values(ROWS[20:21])[0]
    np.testing.assert_allclose(found.values, theirs, atol=1e-6 * np.ptp(theirs))
    assert {one.id: one.verdict for one in found.evidence}["settled"] is Verdict.EXACT
    assert found.cost.forward < 12


def test_a_logistic_regression_is_explained_by_its_log_odds_as_the_library_does() -> None:
    fitted = LogisticRegression(max_iter=5000).fit(ROWS, VALUES.mean() < VALUES)
    model = model_zoo.wrap(fitted, modality="tabular", background=ROWS[:10])
    found = explainers.explain(model, ROWS[20], "linear_shap", target=1)
    theirs = shap.LinearExplainer(fitted, shap.maskers.Independent(ROWS[:10])).shap_values(ROWS[20:21])[0]
    np.testing.assert_allclose(found.values, theirs, atol=1e-6 * np.ptp(theirs))
    assert found.unit == "log-odds"
    assert found.explained == pytest.approx(fitted.decision_function(ROWS[20:21])[0])


def test_a_column_of_one_hot_parts_is_one_player(linear_model) -> None:
    module = torch.nn.Linear(4, 2).double()
    columns = (model_zoo.Column("n"), model_zoo.Column("colour", "category", categories=("red", "green", "blue")))
    rows = np.array([[0.1, 1, 0, 0], [0.5, 0, 1, 0], [-2.0, 0, 1, 0]])
    from model_zoo.modalities.tabular import TableInput
    from model_zoo.model import Model

    card = model_zoo.ModelCard("m", "M", "tabular", "classification", "logit", ("a", "b"))
    model = Model(card, module, TableInput(columns, "onehot", background_rows=rows, dtype="float64"))
    found = explainers.explain(model, {"n": 1.0, "colour": "blue"}, "linear_shap", target=0)
    each = module.weight.detach().numpy()[0] * (np.array([1.0, 0, 0, 1]) - rows.mean(0))
    np.testing.assert_allclose(found.values, [each[0], each[1:].sum()], atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "estimator",
    [RandomForestRegressor(n_estimators=1, max_depth=1), MLPRegressor(hidden_layer_sizes=(3,), max_iter=50)],
)
def test_what_is_no_line_is_refused(estimator) -> None:
    model = model_zoo.wrap(estimator.fit(ROWS, VALUES), modality="tabular", background=ROWS[:10])
    with pytest.raises(UserError, match=r"right for linear models only, and .* is not one\. Use exact Shapley values"):
        explainers.explain(model, ROWS[20], "linear_shap")


def test_a_probability_of_linear_scores_is_refused_in_favour_of_the_logit(linear_model) -> None:
    model, _ = linear_model()
    with pytest.raises(UserError, match=r"is no linear function of the input here.*Explain the logit"):
        explainers.explain(model, np.arange(5.0), "linear_shap", output="probability", baseline=np.ones(5))
