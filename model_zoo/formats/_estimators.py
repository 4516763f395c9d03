"""A fitted estimator as an Opened: what it says of its columns, its task and its classes."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from model_zoo import estimators
from model_zoo.facts import Facts
from model_zoo.files import Opened
from model_zoo.formats import _vectorised
from model_zoo.types import Column, UserError

MOST_WORDS = 2_000  # of a text that are read


def opened(estimator: Any, name: str, origin: str = "") -> Opened:
    """The estimator, or the function of it that can be explained; UserError if it answers nothing."""
    kind = _called(estimator)
    what = f"{kind} of {type(estimator).__module__.partition('.')[0]}{origin}"
    if not hasattr(estimator, "predict"):
        lacks = "prepares data and predicts nothing" if hasattr(estimator, "transform") else "is no model"
        raise UserError(f"{name} holds a {kind}, which {lacks}; save the fitted pipeline that ends with a model.")
    if _is(estimator, "clusterer"):
        raise UserError(f"{name} holds a {kind}, which sorts rows into groups without scores; none can be explained.")
    network, guess, notes = _answers(estimator, kind.rpartition(" ")[2])
    if _vectorised.vectoriser(estimator) is not None:
        return _of_texts(estimator, network, guess, notes, what)
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
            f"{name} does not say how many columns it takes, so it was not fitted; save a fitted pipeline that takes a"
            " table."
        )
    guess = dataclasses.replace(guess, modality="tabular", columns=columns, labels=guess.labels or known.classes or ())
    return Opened(network, guess, f"{what}, {len(columns):,} columns", notes)


def _answers(estimator: Any, kind: str) -> tuple[Any, Facts, tuple[str, ...]]:
    """What is explained of it: itself, or its margins where it gives no probabilities."""
    margin = getattr(estimator, "decision_function", None)
    if margin is not None and _is(estimator, "outlier_detector"):
        guess = Facts(task="regression", output="value", labels=("normality",))
        return margin, guess, ("Explained is how normal a row is: below 0 it is an outlier.",)
    if margin is not None and _is(estimator, "classifier") and not hasattr(estimator, "predict_proba"):
        classes = tuple(map(estimators.spelt, getattr(estimator, "classes_", ())))
        labels = (f"margin of {classes[1]}",) if len(classes) == 2 else classes
        guess = Facts(task="regression", output="value", labels=labels)
        return margin, guess, (f"{kind} gives margins and no probabilities, so its margins are explained.",)
    return estimator, Facts(), ()


def _of_texts(estimator: Any, network: Any, guess: Facts, notes: tuple[str, ...], what: str) -> Opened:
    """A pipeline that reads texts by itself."""
    from model_zoo.modalities.text import TextInput

    pieces = _vectorised.Pieces()
    if network is estimator:
        chances = hasattr(estimator, "predict_proba")
        network = estimator.predict_proba if chances else estimator.predict
        labels = tuple(map(estimators.spelt, getattr(estimator, "classes_", ())))
        guess = Facts(
            task="classification" if chances else "regression",
            output="probability" if chances else "value",
            labels=labels if chances else (),
        )
    guess = dataclasses.replace(guess, modality="text")
    return Opened(
        _vectorised.Texts(network, pieces),
        guess,
        f"{what}, reads texts",
        notes,
        input=TextInput(pieces, limit=MOST_WORDS),
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
