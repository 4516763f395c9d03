"""Fitted estimators of scikit-learn, XGBoost, LightGBM and CatBoost as functions from rows to scores.

They are recognised by what they can do and by the package that their class comes from; none is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_zoo.types import Output, Task, UserError

Function = Callable[[np.ndarray], np.ndarray]
TREES = ("xgboost", "lightgbm", "catboost")
SKLEARN_TREES = re.compile(
    r"(Forest|ExtraTrees?|DecisionTree|(Hist)?GradientBoosting)(Classifier|Regressor)|IsolationForest"
)


@dataclass(frozen=True)
class Fitted:
    """An estimator as a function (rows, features) -> (rows, outputs), and what it says about itself."""

    function: Function
    task: Task | None = None
    output: Output | None = None
    classes: tuple[str, ...] | None = None
    trees: Any = None  # the estimator, where shap.TreeExplainer reads it
    width: int = 0  # features; 0 where it does not say
    names: tuple[str, ...] = ()


def fitted(network: Any, task: Task | None, output: Output | None) -> Fitted | None:
    """A fitted estimator, or a method of one, as a function; None for any other network.

    A classifier gives probabilities unless output is "logit"; UserError if it has no logits.
    """
    if hasattr(network, "named_parameters"):
        return None
    owner: Any = getattr(network, "__self__", None)
    if callable(network) and hasattr(owner, "n_features_in_"):  # a method such as predict_proba
        names = _names(owner)
        return Fitted(framed(network, names), width=int(owner.n_features_in_), names=names)
    if not hasattr(network, "predict"):
        return None
    if _from(network, "xgboost") and type(network).__name__ == "Booster":
        return _booster(network, output)
    if not hasattr(network, "predict_proba") and getattr(network, "classes_", None) is None:
        return Fitted(framed(network.predict, _names(network)), "regression", "value", None, *_about(network))
    return _classifier(network, task, output)


def _classifier(estimator: Any, task: Task | None, output: Output | None) -> Fitted:
    classes = getattr(estimator, "classes_", ())
    if isinstance(classes, list):  # scikit-learn's way to say that there are several questions
        raise UserError(
            f"{type(estimator).__name__} answers {len(classes):,} questions at once, and one is explained at a time;"
            " give a callable that returns the probabilities of one: lambda rows: model.predict_proba(rows)[0]."
        )
    spelt = tuple(map(_spelt, classes)) if np.ndim(classes) == 1 and len(classes) else None
    two = spelt is not None and len(spelt) == 2
    margin = _margin(estimator)
    about = _about(estimator)
    if output == "logit":
        if margin is None:
            raise UserError(
                f"{type(estimator).__name__} gives probabilities and no logits; leave out output='logit', or say"
                " output='probability'."
            )
        return Fitted(framed(margin, _names(estimator)), "binary" if two else "classification", "logit", spelt, *about)
    if not hasattr(estimator, "predict_proba"):
        raise UserError(
            f"{type(estimator).__name__} has no predict_proba; fit it with probabilities, or give a callable that"
            " returns its scores."
        )
    # Boosted trees of two classes have one margin; as a binary model its probability is what tree SHAP explains.
    binary = two and (task == "binary" or (about[0] is not None and margin is not None))

    def chances(rows: Any) -> Any:
        found = np.asarray(estimator.predict_proba(rows))
        return found[:, 1] if binary else found

    return Fitted(
        framed(chances, _names(estimator)), "binary" if binary else "classification", "probability", spelt, *about
    )


def framed(function: Callable[[Any], Any], names: tuple[str, ...]) -> Function:
    """The function with rows as a table of these columns, for an estimator that was fitted on one."""

    def call(rows: np.ndarray) -> np.ndarray:
        if not names or rows.shape[1] != len(names):
            return np.asarray(function(rows))
        import pandas as pd

        return np.asarray(function(pd.DataFrame(rows, columns=list(names))))

    return call


def _booster(booster: Any, output: Output | None) -> Fitted:
    import json

    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    names = tuple(booster.feature_names or ())
    width = booster.num_features()
    chances = objective in ("binary:logistic", "multi:softprob")
    two = objective.startswith("binary:") or objective == "reg:logistic"
    task: Task = "binary" if two else "classification" if objective.startswith("multi:") else "regression"
    raw = output == "logit" or (
        task != "regression" and not chances
    )  # binary:logitraw and multi:softmax have no chances

    def call(rows: np.ndarray) -> np.ndarray:
        import xgboost

        given = xgboost.DMatrix(rows, feature_names=list(names) or None, feature_types=booster.feature_types)
        return booster.predict(given, output_margin=raw)

    if task == "regression":
        return Fitted(call, task, "value", None, booster, width, names)
    return Fitted(call, task, "logit" if raw else "probability", None, booster, width, names)


def _about(estimator: Any) -> tuple[Any, int, tuple[str, ...]]:
    """The trees or None, the number of features or 0, and their names."""
    names = _names(estimator)
    trees = estimator if _has_trees(estimator) else None
    return trees, int(getattr(estimator, "n_features_in_", 0) or len(names)), names


def _names(estimator: Any) -> tuple[str, ...]:
    return tuple(map(str, getattr(estimator, "feature_names_in_", ())))


def _margin(estimator: Any) -> Callable[[Any], Any] | None:
    """The function that gives log-odds, if there is one."""
    if _from(estimator, "xgboost"):
        return lambda rows: estimator.predict(rows, output_margin=True)
    if _from(estimator, "lightgbm"):
        return lambda rows: estimator.predict(rows, raw_score=True)
    if _from(estimator, "catboost"):
        return lambda rows: estimator.predict(rows, prediction_type="RawFormulaVal")
    named = type(estimator).__name__
    logit = "LogisticRegression" in named or "GradientBoosting" in named
    if logit and getattr(estimator, "loss", None) == "exponential":  # its decision is half the log-odds
        return lambda rows: 2 * estimator.decision_function(rows)
    return estimator.decision_function if logit and hasattr(estimator, "decision_function") else None


def _has_trees(estimator: Any) -> bool:
    if any(_from(estimator, package) for package in TREES):
        return getattr(estimator, "booster", None) != "gblinear"
    return any(
        base.__module__.startswith("sklearn.") and SKLEARN_TREES.fullmatch(base.__name__)
        for base in type(estimator).__mro__
    )


def _from(estimator: Any, package: str) -> bool:
    return any(base.__module__.split(".")[0] == package for base in type(estimator).__mro__)


def _spelt(one: Any) -> str:
    text = str(one)
    return text if isinstance(one, (str, np.str_)) else f"class {text}"
