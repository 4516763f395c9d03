"""What an owner says to wrap() about a model, checked and completed before anything is built.

Each function takes one thing that was said, and raises UserError with one sentence where it cannot be so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from model_zoo.estimators import Fitted
from model_zoo.types import Column, Output, Task, UserError


def agree(task: Task | None, output: Output | None) -> None:
    """UserError where task and output contradict each other; a regression's logit is taken for its value."""
    wrong = output == "probability" if task == "regression" else output == "value"
    if task is not None and wrong:
        expected = "its value" if task == "regression" else "a logit or a probability"
        raise UserError(
            f"The output of a {task} model is {expected}; output={output!r} came with task={task!r}. Leave one out."
        )


def of_estimator(
    network: Any, known: Fitted, task: Task | None, output: Output | None
) -> tuple[Task | None, Output | None]:
    """What a fitted estimator says about itself; UserError where its owner said otherwise."""
    name = type(network).__name__
    if known.task is not None and task is not None and (known.task == "regression") != (task == "regression"):
        kind = "regression" if known.task == "regression" else "classification"
        raise UserError(f"{name} is a {kind} model; task={task!r} came. Leave out task=.")
    if known.output is not None and output is not None and known.output != output:
        raise UserError(f"{name} gives a {known.output}; output={output!r} came. Leave out output=.")
    return known.task or task, known.output or output


def device(device: Any) -> torch.device | None:
    """The device named, tried; UserError if this computer has none of that name."""
    if device is None:
        return None
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise UserError(
            f"device is where torch can compute here, such as 'cpu'; {device!r} is not there. Leave it out, or give"
            " another."
        ) from error
    return found


def height_and_width(size: Any) -> tuple[int, int] | None:
    """size as (height, width); one number is a square."""
    if size is None:
        return None
    pair = (size, size) if is_count(size) else size
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(map(is_count, pair)):
        raise UserError(f"size is (height, width) in pixels, or one number for a square; {size!r} came.")
    return int(pair[0]), int(pair[1])


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 1 upwards."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value > 0)


def limit(limit: Any) -> None:
    """UserError unless the most tokens that are read are a count, or nothing was said."""
    if limit is not None and not is_count(limit):
        raise UserError(f"limit is a whole number of tokens from 1 upwards; {limit!r} came.")


def baseline(baseline: Any, names: tuple[str, ...]) -> None:
    """UserError where a baseline is called by a name that the input does not have."""
    if isinstance(baseline, str) and baseline not in names:
        raise UserError(f"The baseline is one of {', '.join(names)}, a number or an array; {baseline!r} came.")


def one_of(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """UserError unless the value is one of the choices."""
    if value not in choices:
        raise UserError(f"{name} is one of {', '.join(str(one) for one in choices if one)}; {value!r} came.")


def columns(
    columns: Sequence[Column] | None, names: Sequence[str] | None, background: Any, known: Fitted | None
) -> tuple[Column, ...]:
    """The columns as far as anybody said: given, named, those of the background or of the estimator."""
    if columns is not None:
        return known.columns if known is not None and len(known.columns) == len(columns) else tuple(columns)
    told = names is not None
    if names is None and hasattr(background, "columns"):
        names = [str(one) for one in background.columns]
    if names is None and isinstance(background, (list, tuple)) and background and isinstance(background[0], Mapping):
        names = list(map(str, background[0]))
    if known is not None and known.columns and (names is None or tuple(map(str, names)) == known.names):
        return known.columns
    if names is None and known is not None and known.names:
        names = known.names
    if names is None:
        width = 0 if known is None else known.width
        names = [f"feature {index}" for index in range(width or width_of(background))]
    found = tuple(map(str, names))
    for whose, width in (
        ("the estimator", 0 if known is None else known.width),
        ("the background", width_of(background)),
    ):
        if told and width and width != len(found):
            raise UserError(
                f"{len(found):,} feature names came, and {whose} has {width:,} feature{'s' * (width != 1)};"
                " give one name for each feature."
            )
    twice = [one for one in dict.fromkeys(found) if found.count(one) > 1]
    if twice:
        raise UserError(f"Every feature has its own name; '{twice[0]}' came more than once.")
    return tuple(Column(name) for name in found)


def width_of(background: Any) -> int:
    """How many features an array, tensor or list of numbers has in a row; 0 for anything else."""
    shape = getattr(background, "shape", None)
    if shape is None and isinstance(background, (list, tuple)) and len(background):
        first = background[0]
        numeric = isinstance(first, (int, float, np.number))
        return len(background) if numeric else len(first) if isinstance(first, (list, tuple)) else width_of(first)
    named = hasattr(background, "iloc")
    return int(shape[-1]) if shape is not None and not named and len(shape) in (1, 2) else 0
