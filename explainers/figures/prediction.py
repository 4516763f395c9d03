"""What the model says: its most probable classes, or the values of a regression. Not a picture of an explanation."""

from __future__ import annotations

import numpy as np

from model_zoo.types import Prediction


def classes(prediction: Prediction, count: int = 5) -> tuple[tuple[str, float], ...]:
    """The `count` most probable classes with their probabilities, or the outputs of a regression with their values."""
    if prediction.probabilities is None:
        return tuple((label, float(value)) for label, value in zip(prediction.labels, prediction.raw, strict=True))
    order = np.argsort(-prediction.probabilities, kind="stable")[:count]
    return tuple((prediction.labels[index], float(prediction.probabilities[index])) for index in order)
