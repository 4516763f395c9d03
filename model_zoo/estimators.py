"""Fitted estimators of scikit-learn, XGBoost, LightGBM and CatBoost as functions from rows to scores.

They are recognised by what they can do and by the package that their class comes from; none is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_zoo import boosters, frames
from model_zoo.frames import Knowledge
from model_zoo.types import Column, Output, Task, UserError

TREES = ("xgboost", "lightgbm", "catboost")
SKLEARN_TREES = re.compile(
    r"(Forest|ExtraTrees?|DecisionTree|(Hist)?GradientBoosting)(Classifier|Regressor)|IsolationForest"
)


@dataclass(frozen=True)
class Framed:
    """A function of tables as one of rows of x (rows, features)."""

    function: Callable[[Any], Any]
    knowledge: Knowledge

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Scores of rows (rows, features)."""
        return np.asarray(self.function(self.knowledge.table(rows)))


@dataclass(frozen=True)
class Fitted:
    """An estimator as a function (rows, features) -> (rows, outputs), and what it says about itself."""

    function: Framed
    task: Task | None = None
    output: Output | None = None
    classes: tuple[str, ...] | None = None
    trees: Any = None  # the estimator, where its trees can be read
    width: int = 0  # features; 0 where it does not say

    @property
    def names(self) -> tuple[str, ...]:
        """Of its features, if it was fitted on a table."""
        return self.function.knowledge.names

    @property
    def columns(self) -> tuple[Column, ...]:
        """As far as it knows more of them than their names."""
        return self.function.knowledge.columns


def fitted(
    network: Any, task: Task | None, output: Output | None, columns: Sequence[Column] | None = None
) -> Fitted | None:
    """A fitted estimator, or a method of one, as a function; None for any other network.

    A classifier gives probabilities unless output is "logit"; UserError if it has no logits. `columns` are its owner's.
    """
    if hasattr(network, "named_parameters"):
        return None
    owner: Any = getattr(network, "__self__", None)
    if callable(network) and hasattr(owner, "n_features_in_"):  # a method such as predict_proba
        return Fitted(Framed(network, _knowledge(owner, columns)), width=int(owner.n_features_in_))
    if not hasattr(network, "predict"):
        return None
    own = boosters.booster(network)
    if own is not None:
        return _boosted(own, output, columns)
    known = _knowledge(network, columns)
    if _answers_in_numbers(network):
        return Fitted(Framed(network.predict, known), "regression", "value", None, *_about(network, known))
    return _classifier(network, task, output, known)


def _answers_in_numbers(estimator: Any) -> bool:
    if hasattr(estimator, "predict_proba"):
        return False
    return getattr(estimator, "classes_", None) is None


def _boosted(own: boosters.Booster, output: Output | None, columns: Sequence[Column] | None) -> Fitted:
    known = own.knowledge().over(columns)
    width = len(known.columns)
    trees = own.own if own.trees else None
    if own.task != "regression" and output == "logit" and not own.logits:
        raise UserError("This model gives probabilities and no logits; leave out output='logit'.")
    wanted: Output = "logit" if output == "logit" else "probability"
    kind = wanted if wanted in own.outputs else own.outputs[0]
    return Fitted(Framed(lambda table: own.scores(table, kind), known), own.task, kind, own.classes, trees, width)


def _classifier(estimator: Any, task: Task | None, output: Output | None, known: Knowledge) -> Fitted:
    classes = getattr(estimator, "classes_", ())
    if isinstance(classes, list):  # scikit-learn's way to say that there are several questions
        raise UserError(
            f"{type(estimator).__name__} answers {len(classes):,} questions at once, and one is explained at a time;"
            " give a callable that returns the probabilities of one: lambda rows: model.predict_proba(rows)[0]."
        )
    names = tuple(map(spelt, classes)) if np.ndim(classes) == 1 and len(classes) else None
    two = names is not None and len(names) == 2
    margin = _margin(estimator)
    about = _about(estimator, known)
    if output == "logit":
        if margin is None:
            raise UserError(
                f"{type(estimator).__name__} gives probabilities and no logits; leave out output='logit', or say"
                " output='probability'."
            )
        return Fitted(Framed(margin, known), "binary" if two else "classification", "logit", names, *about)
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

    return Fitted(Framed(chances, known), "binary" if binary else "classification", "probability", names, *about)


def _knowledge(estimator: Any, columns: Sequence[Column] | None) -> Knowledge:
    own = boosters.inside(estimator)
    return (frames.known(estimator) if own is None else own.knowledge()).over(columns)


def _about(estimator: Any, known: Knowledge) -> tuple[Any, int]:
    """The trees or None, and the number of features or 0."""
    trees = estimator if _has_trees(estimator) else None
    return trees, int(getattr(estimator, "n_features_in_", 0) or len(known.names))


def _margin(estimator: Any) -> Callable[[Any], Any] | None:
    """The function that gives log-odds, if there is one."""
    if _from(estimator, "xgboost"):
        return lambda rows: estimator.predict(rows, output_margin=True)
    if _from(estimator, "lightgbm"):
        return lambda rows: estimator.predict(rows, raw_score=True)
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


def spelt(one: Any) -> str:
    """A class as a person calls it: its name, or its number after the word."""
    text = str(one)
    return text if isinstance(one, (str, np.str_)) else f"class {text}"
