"""From a model's scores to the one number that is explained.

A binary model has one column z: its class 1 has logit z and probability sigmoid(z), its class 0 logit -z. Scores of
(n, outputs, *positions) say something of every token, pixel or step; the number is then summed over chosen positions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from model_zoo.types import ModelCard, Output, Prediction, Target, UserError

if TYPE_CHECKING:
    import torch

RUNNER_UP = "runner_up"


def select(scores: torch.Tensor, card: ModelCard, target: Target) -> torch.Tensor:
    """The target's number (n,) for each row of scores (n, outputs) or (n, outputs, *positions); differentiable."""
    if scores.ndim > 2:
        scores = scores.flatten(2)
        scores = scores[:, :, list(target.places)] if target.places else scores
    numbers = _numbers(scores, card, target.output)
    found = numbers[:, target.index]
    for one in target.also:
        found = found + numbers[:, one]
    if target.against is not None and not _is_margin(card, target.output):
        found = found - numbers[:, target.against]
    return found.sum(-1) if found.ndim > 1 else found


def _numbers(scores: torch.Tensor, card: ModelCard, output: Output) -> torch.Tensor:
    """The number of each class (n, classes, ...), or of each output of a regression."""
    if card.task == "binary":
        score = scores[:, :1]
        if card.output == "probability":
            return _pair(1 - score, score)
        return _pair((-score).sigmoid(), score.sigmoid()) if output == "probability" else _pair(-score, score)
    return scores.softmax(1) if output == "probability" and card.output == "logit" else scores


def _pair(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat([first, second], 1)


def _is_margin(card: ModelCard, output: Output) -> bool:
    """Whether a class's own number is the margin over the other: the log-odds of one of two."""
    return card.task == "binary" and output == "logit"


def prediction(raw: np.ndarray, card: ModelCard) -> Prediction:
    """Class probabilities beside the raw scores (outputs,); UserError if the model returned no finite number.

    raw: (outputs,), or (outputs, *positions), of which the mean is told.
    """
    if not np.isfinite(raw).all():
        raise UserError(
            f"{card.title} returned a value that is not a finite number for this input,"
            " so there is nothing to explain. Check the input and the weights."
        )
    raw = raw.reshape(len(raw), -1).mean(1)
    if card.task == "regression":
        return Prediction(raw, None, card.labels)
    if card.output == "probability":
        shares = np.array([1 - raw[0], raw[0]]) if card.task == "binary" else raw
    else:
        logits = np.array([0.0, raw[0]]) if card.task == "binary" else raw
        shares = np.exp(logits - logits.max())
        shares = shares / shares.sum()
    return Prediction(raw, shares, card.labels)


def resolve(
    card: ModelCard,
    found: Prediction,
    target: Any = None,
    output: str | None = None,
    against: Any = None,
    places: tuple[int, ...] = (),
    where: str = "",
) -> Target:
    """The target asked for: an index, a label, several of them to be added, a Target, or None for the predicted class.

    against: the class that it is compared with, or "runner_up". places: flat positions of the output; `where` in words.
    """
    if isinstance(target, Target):
        return target
    if output is None:
        output = card.outputs[0]
    if output not in card.outputs:
        raise UserError(f"output is one of {', '.join(card.outputs)} for {card.title}; {output!r} came.")
    several = isinstance(target, (tuple, list)) and len(target) > 0
    named = [index_of(card, one) for one in (target if several else [found.top if target is None else target])]
    if len(set(named)) < len(named):
        raise UserError(f"Outputs that are added are named once each; {', '.join(map(str, target))} came.")
    index, also = named[0], tuple(named[1:])
    other = None if against is None else _other(card, found, named, against)
    return Target(
        index,
        _label(card, named, other) + where,
        cast(Output, output),
        _unit(card, cast(Output, output), other is not None),
        other,
        also,
        places,
    )


def _other(card: ModelCard, found: Prediction, named: list[int], against: Any) -> int:
    """The output that the target is compared with."""
    if card.task == "regression" and len(card.labels) == 1:
        raise UserError(f"{card.title} has one output, so there is none to compare it with; leave out against=.")
    if against == RUNNER_UP:
        scores = found.raw if found.probabilities is None else found.probabilities
        return next(int(one) for one in np.argsort(-scores, kind="stable") if one not in named)
    other = index_of(card, against)
    if other in named:
        raise UserError(f"A margin compares two outputs; {card.labels[other]} came on both sides.")
    return other


def _label(card: ModelCard, named: list[int], other: int | None) -> str:
    names = [card.labels[one] for one in named]
    said = names[0] if len(names) == 1 else " + ".join(names) if len(names) <= 3 else f"the sum of {len(names)} outputs"
    return said if other is None else f"{said} rather than {card.labels[other]}"


def _unit(card: ModelCard, output: Output, margin: bool) -> str:
    """A difference of two logits is the logarithm of the odds, as a binary model's logit is; one logit is not."""
    if output == "logit":
        return "log-odds" if margin or card.task == "binary" else ""
    return card.unit if output == "value" else ""


def places(at: Any, shape: tuple[int, ...], card: ModelCard) -> tuple[tuple[int, ...], str]:
    """Flat positions in an output's own axes, and where they are in words; none for None.

    at: a position (an integer, or one an axis), a span (slice, or range), one slice an axis, or a mask of this shape.
    """
    if at is None:
        return (), ""
    if not shape:
        raise UserError(f"{card.title} returns one number an output, without positions; leave out at=.")
    size = int(np.prod(shape))
    numbered = np.arange(size).reshape(shape)
    said = f"at is a position, a slice (one an axis) or a mask of shape {shape} for {card.title}; {at!r} came."
    try:
        if isinstance(at, np.ndarray) and at.dtype == bool:
            if at.shape != shape:
                raise UserError(f"at is a mask of shape {shape} for {card.title}; one of shape {at.shape} came.")
            found = numbered[at]
        elif isinstance(at, range):
            found = numbered.reshape(-1)[list(at)] if len(shape) == 1 else numbered[list(at)]
        else:
            found = numbered[tuple(at) if isinstance(at, (tuple, list)) else at]
    except (IndexError, TypeError, ValueError) as error:
        raise UserError(said) from error
    chosen = tuple(int(one) for one in np.atleast_1d(found).reshape(-1))
    if not chosen:
        raise UserError(f"at chooses no position of {shape}; name at least one.")
    if len(chosen) == 1:
        spot = np.unravel_index(chosen[0], shape)
        return chosen, f" at position {', '.join(str(int(one)) for one in spot)}"
    return chosen, f" over {len(chosen):,} of {size:,} positions"


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
