"""From a model's scores to the one number that is explained.

A binary model has one column z: its class 1 has logit z and probability sigmoid(z), its class 0 logit -z.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from model_zoo.types import ModelCard, Output, Prediction, Target, UserError

if TYPE_CHECKING:
    import torch


def select(scores: torch.Tensor, card: ModelCard, target: Target) -> torch.Tensor:
    """The target's number for each row of scores (n, outputs); differentiable."""
    index = target.index
    if card.task == "binary":
        score = scores[:, 0]
        if card.output == "probability":
            return score if index == 1 else 1 - score
        logit = score if index == 1 else -score
        return logit.sigmoid() if target.output == "probability" else logit
    if target.output == "probability" and card.output == "logit":
        return scores.softmax(-1)[:, index]
    return scores[:, index]


def prediction(raw: np.ndarray, card: ModelCard) -> Prediction:
    """Class probabilities beside the raw scores (outputs,); UserError if the model returned no finite number."""
    if not np.isfinite(raw).all():
        raise UserError(
            f"{card.title} returned a value that is not a finite number for this input,"
            " so there is nothing to explain. Check the input and the weights."
        )
    if card.task == "regression":
        return Prediction(raw, None, card.labels)
    if card.output == "probability":
        shares = np.array([1 - raw[0], raw[0]]) if card.task == "binary" else raw
    else:
        logits = np.array([0.0, raw[0]]) if card.task == "binary" else raw
        shares = np.exp(logits - logits.max())
        shares = shares / shares.sum()
    return Prediction(raw, shares, card.labels)


def resolve(card: ModelCard, found: Prediction, target: Any = None, output: str | None = None) -> Target:
    """The target asked for: an index, a label, a Target, or None for the predicted class."""
    if isinstance(target, Target):
        return target
    if output is None:
        output = card.outputs[0]
    if output not in card.outputs:
        raise UserError(f"output is one of {', '.join(card.outputs)} for {card.title}; {output!r} came.")
    kind = cast(Output, output)
    if target is None:
        return _target(card, found.top, kind)
    return _target(card, index_of(card, target), kind)


def _target(card: ModelCard, index: int, output: Output) -> Target:
    """A binary model's logit is the logarithm of the odds; one logit of several classes is not."""
    unit = "log-odds" if output == "logit" and card.task == "binary" else card.unit if output == "value" else ""
    return Target(index, card.labels[index], output, unit)


def index_of(card: ModelCard, target: Any) -> int:
    """The class meant by a name or a number, which may be written in digits; names go first, since one may be 7."""
    names = [label.casefold() for label in card.labels]
    if isinstance(target, str) and target.casefold() in names:
        return names.index(target.casefold())
    if isinstance(target, str) and not re.fullmatch(r"-?\d{1,18}", target):
        near = _nearest(target, card.labels)
        raise UserError(f"{card.title} has no class {target!r}; the nearest of its {len(names)} are {near}.")
    if isinstance(target, bool) or not isinstance(target, (str, int, np.integer)):
        raise UserError(f"target is a class name or its number; {target!r} came.")
    if not 0 <= int(target) < len(names):
        raise UserError(f"{card.title} has classes 0 to {len(names) - 1}; class {target} came.")
    return int(target)


def _nearest(word: str, labels: tuple[str, ...]) -> str:
    import difflib

    near = difflib.get_close_matches(word, labels, n=3, cutoff=0.0)
    return ", ".join(repr(one) for one in near)
