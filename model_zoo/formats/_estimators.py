"""A fitted estimator as an Opened: what it says of its columns, its task and its classes."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from model_zoo import estimators
from model_zoo.facts import Facts
from model_zoo.files import Opened
from model_zoo.types import Column, UserError


def opened(estimator: Any, name: str, origin: str = "") -> Opened:
    """The estimator, or the function of it that can be explained; UserError if it answers nothing."""
    kind = _called(estimator)
    if not hasattr(estimator, "predict"):
        what = "prepares data and predicts nothing" if hasattr(estimator, "transform") else "is no model"
        raise UserError(f"{name} holds a {kind}, which {what}; save the fitted pipeline that ends with a model.")
    notes: tuple[str, ...] = ()
    network, guess = estimator, Facts(modality="tabular")
    if _is(estimator, "clusterer"):
        raise UserError(f"{name} holds a {kind}, which sorts rows into groups without scores; none can be explained.")
    margin = getattr(estimator, "decision_function", None)
    if _is(estimator, "outlier_detector") and margin is not None:
        network = margin
        guess = Facts(modality="tabular", task="regression", output="value", labels=("normality",))
        notes = ("Explained is how normal a row is: below 0 it is an outlier.",)
    elif _is(estimator, "classifier") and not hasattr(estimator, "predict_proba") and margin is not None:
        network = margin
        classes = tuple(map(estimators.spelt, getattr(estimator, "classes_", ())))
        labels = (f"margin of {classes[1]}",) if len(classes) == 2 else classes
        guess = Facts(modality="tabular", task="regression", output="value", labels=labels)
        notes = (f"{kind.rpartition(' ')[2]} gives margins and no probabilities, so its margins are explained.",)
    known = estimators.fitted(network, None, None)
    assert known is not None
    if known.trees is not None and known.task != "regression":  # their margins explain both, logits and probabilities
        with contextlib.suppress(UserError):
            estimators.fitted(network, None, "logit")
            guess = dataclasses.replace(guess, output="logit")
    columns = known.columns or tuple(Column(one) for one in known.names)
    columns = columns or tuple(Column(f"feature {place}") for place in range(known.width))
    if not columns:
        raise UserError(
            f"{name} does not say how many columns it takes: it was not fitted, or it takes texts. Save a fitted"
            " pipeline that takes a table."
        )
    return Opened(
        network,
        dataclasses.replace(guess, columns=columns, labels=guess.labels or known.classes or ()),
        f"{kind} of {type(estimator).__module__.partition('.')[0]}{origin}, {len(columns):,} columns",
        notes,
    )


def noted(found: Opened, note: str) -> Opened:
    """With one more note."""
    return dataclasses.replace(found, notes=(*found.notes, note))


def _is(estimator: Any, kind: str) -> bool:
    """Whether it is a "classifier", "clusterer" or "outlier_detector", as far as it says."""
    if getattr(estimator, "_estimator_type", "") == kind:
        return True
    try:
        from sklearn.utils import get_tags

        return get_tags(estimator).estimator_type == kind
    except Exception:  # an object of another library, or an older scikit-learn
        return False


def _called(estimator: Any) -> str:
    steps = getattr(estimator, "steps", None)
    if not steps:
        return type(estimator).__name__
    return " → ".join([*("pipeline" for _ in steps[:1]), type(steps[-1][1]).__name__])
