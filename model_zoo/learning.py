"""What a card can only say after the network has been run: how many outputs, of what kind, and what can be asked.

A callable is tried on tensors that want a gradient, then on arrays, then on tensors alone: the first that works is how
it is called from then on. One forward pass more looks for attention and for spatial maps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch.autograd.function import BackwardCFunction

from model_zoo import lookup
from model_zoo.modalities.text import TextInput
from model_zoo.model import Model, arranged
from model_zoo.probe.watch import graph
from model_zoo.types import Capability, Output, Task, UserError, quoted

Way = tuple[bool, torch.dtype, bool]  # on arrays rather than tensors, their type, with gradients
DIFFERENTIABLE: tuple[Way, ...] = ((False, torch.float64, True), (False, torch.float32, True))
ARRAYS: tuple[Way, ...] = ((True, torch.float64, False), (True, torch.float32, False))
TENSORS: tuple[Way, ...] = ((False, torch.float32, False), (False, torch.float64, False))


class CannotRun(UserError):
    """The network raised an error on the input that it was tried with."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """What the owner of a model said about its outputs; None where nothing was said."""

    task: Task | None
    output: Output | None
    names: tuple[str, ...] | None

    def learn(self, model: Model, x: np.ndarray) -> None:
        """Complete the model's card from a run on x; UserError if that contradicts what was said, or fails."""
        rows = np.stack([x, x if model.card.modality == "text" else x / 2]).astype(x.dtype)
        with model.frozen():
            scores, can = run(model, rows)
        title = model.card.title
        binary = self.task == "binary"
        width = 1 if binary else None if self.names is None else len(self.names)
        scores = arranged(scores, model.card.modality, width)
        if scores.ndim < 2 or len(scores) != 2 or not scores.numel():
            raise UserError(
                f"{title} is expected to return scores (n, outputs) for n inputs; for 2 inputs it returned the shape"
                f" {tuple(scores.shape)}. Return one row of scores for each input."
            )
        task, labels = self._labels(title, scores.shape[1])
        if task == "regression" and self.output == "probability":  # a logit without a task is taken for a value
            raise UserError(
                f"{title} has one output, said to be a probability; say task='binary' if it scores the second of two"
                " classes, or leave out output=."
            )
        output = self.output or ("probability" if task == "classification" and _are_chances(scores) else "logit")
        if task == "regression":
            output = "value"
        words = getattr(model.embedding, "num_embeddings", None)
        if isinstance(model.input, TextInput) and isinstance(words, int):
            model.input = dataclasses.replace(model.input, vocabulary=words)
        if model.trees is not None:
            can |= Capability.TREES
        model.card = dataclasses.replace(model.card, task=task, labels=labels, output=output, can=can)

    def _labels(self, title: str, width: int) -> tuple[Task, tuple[str, ...]]:
        task, names = self.task or ("regression" if self.output == "value" else "classification"), self.names
        if task == "binary":
            if width != 1:
                raise UserError(f"A binary model has one output; {title} has {width:,}. Say task='classification'.")
            return task, _fitting(title, "one output for two classes", 2, names or ("class 0", "class 1"))
        if task == "classification" and width == 1:
            if names is not None and len(names) == 2:
                raise UserError(f"{title} has one output and 2 class names; say task='binary' if it scores the second.")
            task = "regression"
        own = [f"{'value' if task == 'regression' else 'class'} {index}" for index in range(width)]
        if width == 1:
            own = ["value"]
        return task, _fitting(title, f"{width:,} output{'s' * (width != 1)}", width, names or tuple(own))


def run(model: Model, rows: np.ndarray) -> tuple[torch.Tensor, Capability]:
    """Scores of rows (n, *x.shape), and what the network can do; settles how a callable is called."""
    module = isinstance(model.network, torch.nn.Module)
    try:
        if model.card.modality == "text":
            return _run_text(model, rows)
        if module:
            return _run_module(model, rows)
    except UserError:
        raise
    except Exception as error:  # a stranger's network may raise anything
        raise _cannot(model, rows, error) from error
    first: Exception | None = None
    for way in ARRAYS if model.arrays else (*DIFFERENTIABLE, *ARRAYS, *TENSORS):
        model.arrays, model.dtype, differentiable = way
        try:
            return _run_on(model, rows, way, needs_gradient=differentiable)
        except Exception as error:  # as above; the next way may do
            first = first or error
    found = _run_ids(model, rows, first)
    if found is not None:
        return found
    if isinstance(first, UserError):  # an estimator's own words: the categories of a column are not known
        raise first
    raise _cannot(model, rows, first) from first


def _run_module(model: Model, rows: np.ndarray) -> tuple[torch.Tensor, Capability]:
    """As the module's own numbers are; float64 where it has none of its own and does not work in float32."""
    hidden = model.dtype == torch.float32 and not _has_numbers(cast(torch.nn.Module, model.network))
    first: Exception | None = None
    for dtype in (torch.float32, torch.float64) if hidden else (model.dtype,):
        model.dtype = dtype
        try:
            return _run_on(model, rows, (False, dtype, True), needs_gradient=False)
        except Exception as error:  # a stranger's network may raise anything
            first = first or error
    model.dtype = torch.float32 if hidden else model.dtype
    assert first is not None
    found = _run_ids(model, rows, first)
    if found is not None:
        return found
    raise first


def _run_ids(model: Model, rows: np.ndarray, error: Exception | None) -> tuple[torch.Tensor, Capability] | None:
    """On whole numbers, for a table of ids (a user, an item) that an embedding looks up; None where that fails too."""
    if model.card.modality != "tabular" or "Long" not in str(error):
        return None
    way: Way = (False, torch.long, False)
    before = model.arrays, model.dtype
    model.arrays, model.dtype, _ = way
    try:
        return _run_on(model, np.floor(rows), way, needs_gradient=False)
    except Exception:  # a stranger's network may raise anything; what it said first is told
        model.arrays, model.dtype = before
        return None


def _has_numbers(network: torch.nn.Module) -> bool:
    return any(one.is_floating_point() for one in (*network.parameters(), *network.buffers()))


def _run_on(model: Model, rows: np.ndarray, way: Way, needs_gradient: bool) -> tuple[torch.Tensor, Capability]:
    arrays, _, differentiable = way
    inputs = model.tensor(rows)
    with torch.set_grad_enabled(differentiable), _unwarned():
        scores = model.outputs(inputs.requires_grad_(differentiable))
    if needs_gradient and not scores.requires_grad:
        raise TypeError("no gradient flows")
    can = Capability.GRADIENTS if scores.requires_grad and _flows(scores, inputs) else Capability.NONE
    return scores.detach(), can if arrays else can | _seen(model, inputs.detach())


def _flows(scores: torch.Tensor, inputs: torch.Tensor) -> bool:
    """Whether a gradient comes back to the inputs: some fused operators promise one and have none.

    The graph tells, without a backward pass, unless somebody's own function or an operator without a gradient is in it.
    """
    nodes = graph(scores.grad_fn)
    if not any(getattr(one, "variable", None) is inputs for one in nodes):
        return False
    if not any("NotImplemented" in one.name() or isinstance(one, BackwardCFunction) for one in nodes):
        return True
    try:
        with _unwarned():
            (found,) = torch.autograd.grad(scores.sum(), inputs, allow_unused=True)
    except (RuntimeError, NotImplementedError):
        return False
    return found is not None


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """Without torch's warning that an operator has no gradient: whether one comes back is what is found out here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*autograd kernel was not registered", category=UserWarning)
        yield


def _run_text(model: Model, rows: np.ndarray) -> tuple[torch.Tensor, Capability]:
    ids = model.tensor(rows)
    if model.embedding is None and isinstance(model.network, torch.nn.Module):
        model.embedding = _embedding_of(model, ids)
    with torch.no_grad():
        try:
            scores = model.outputs(ids)
        except Exception:
            if isinstance(model.network, torch.nn.Module) or model.arrays:
                raise
            model.arrays = True  # a callable that takes no tensors may take arrays
            scores = model.outputs(ids)
    if model.embedding is not None and not _reached(model, ids):
        model.embedding = None
    can = Capability.NONE if model.embedding is None else Capability.EMBEDDINGS | Capability.GRADIENTS
    return scores, can if model.arrays else can | _seen(model, ids)


def _reached(model: Model, ids: torch.Tensor) -> bool:
    """Whether a gradient comes back to the vectors of the ids: a quantised layer after them has none."""
    entry = model.entry(ids).detach().requires_grad_()
    for same in (torch.equal, lambda seen, ours: True):
        with lookup.replaced(model.embedding, entry, ids, same) as count, torch.enable_grad(), _unwarned():
            scores = model.outputs(ids)
            if count():
                return scores.requires_grad and _flows(scores, entry)
    return True  # forward_entry says in a sentence that the embedding was never given the ids


def _seen(model: Model, inputs: torch.Tensor) -> Capability:
    """Whether attention, or for images a spatial map, was seen in a forward pass."""
    from model_zoo.probe import capabilities

    at_once = getattr(model.network, "batch", None)  # of a compiled graph: it takes so many rows, and no others
    if isinstance(at_once, int) and at_once > 1:
        return Capability.NONE  # what is seen inside would be that of other rows, too
    found = capabilities(model.network, inputs[:1] if at_once == 1 else inputs)
    return found if model.card.modality == "image" else found & ~Capability.SPATIAL


def _embedding_of(model: Model, ids: torch.Tensor) -> torch.nn.Module | lookup.Lookup | None:
    """The one nn.Embedding that is given the token ids themselves, else the one table that they are looked up in."""
    seen: list[torch.nn.Module] = []

    def look(part: torch.nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if given and isinstance(given[0], torch.Tensor) and torch.equal(given[0], ids) and part not in seen:
            seen.append(part)

    parts = [one for one in cast(torch.nn.Module, model.network).modules() if isinstance(one, torch.nn.Embedding)]
    handles = [one.register_forward_hook(look) for one in parts]
    try:
        with torch.no_grad():
            model.outputs(ids)
    finally:
        for handle in handles:
            handle.remove()
    if len(seen) > 1:
        return None
    return seen[0] if seen else lookup.find(model.outputs, ids)


def _fitting(title: str, what: str, count: int, names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) != count:
        raise UserError(f"{title} has {what}, so {count:,} class names are expected; {len(names):,} came.")
    return names


def _are_chances(scores: torch.Tensor) -> bool:
    inside = bool(((scores >= 0) & (scores <= 1)).all())
    rounding = max(1e-4, torch.finfo(scores.dtype).eps * scores.shape[1]) if scores.is_floating_point() else 0.0
    return inside and bool(((scores.cpu().double().sum(1) - 1).abs() <= rounding).all())


def _cannot(model: Model, rows: np.ndarray, error: Exception | None) -> CannotRun:
    taken = getattr(model.network, "columns", None)  # of a compiled graph
    if isinstance(taken, int) and model.card.modality == "tabular" and rows.shape[1:] != (taken,):
        return CannotRun(
            f"{model.card.title} takes {taken:,} columns; {rows[0].size:,} came. Name as many columns, and give one"
            " value in each row for each of them."
        )
    shape = ", ".join(map(str, rows.shape[1:]))
    said = "nothing" if error is None else quoted(error)
    return CannotRun(
        f"{model.card.title} could not be run on inputs of shape (n, {shape}); it said: {said}."
        " Give inputs of the shape and kind that it was trained on."
    )
