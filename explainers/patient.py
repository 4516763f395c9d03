"""A model on the doctor's table: what several exams ask of it, computed once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from explainers.diagnosis import Finding
from model_zoo import targets
from model_zoo.types import Capability, Prediction, Sample, UserError

if TYPE_CHECKING:
    from model_zoo.model import Model


@dataclass(frozen=True)
class Exam:
    """One thing that is looked at; a file in findings/ that has EXAM is discovered. None: nothing to say."""

    id: str
    label: str
    order: int  # its line in the report
    look: Callable[[Patient], Finding | None]


@dataclass(frozen=True, eq=False)
class Patient:
    """A model with one input, frozen and in evaluation mode, and what several exams ask."""

    model: Model
    sample: Sample
    training: tuple[str, ...]  # modules that were in training mode when the model came

    @functools.cached_property
    def inputs(self) -> torch.Tensor:
        """The input as a batch of one, (1, *x.shape)."""
        return self.model.tensor(self.sample.x[None])

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """What the model returns for it, (outputs,)."""
        return self.run(self.inputs)[0]

    @functools.cached_property
    def prediction(self) -> Prediction:
        """Scores and class probabilities; UserError where they are not finite."""
        return targets.prediction(self.scores, self.model.card)

    @property
    def module(self) -> torch.nn.Module | None:
        """The network, where it is made of modules."""
        return self.model.network if isinstance(self.model.network, torch.nn.Module) else None

    def run(self, inputs: torch.Tensor) -> np.ndarray:
        """Scores (n, outputs) in double precision, without gradients."""
        with torch.no_grad():
            return self.model.forward(inputs.clone()).detach().cpu().double().numpy()

    def number(self, entry: torch.Tensor) -> torch.Tensor:
        """The predicted class's number (1,), differentiable from the entry point."""
        scores = self.model.forward_entry(entry, self.inputs)
        target = targets.resolve(self.model.card, self.prediction)
        return targets.select(scores, self.model.card, target)

    @functools.cached_property
    def gradient(self) -> torch.Tensor | str:
        """The gradient of that number at the entry point; a sentence where there is none."""
        if Capability.GRADIENTS not in self.model.can:
            blind = self.module is None
            return "it is a function that gives numbers and no gradient" if blind else "none comes back from its scores"
        entry = self.model.entry(self.inputs).detach().clone().requires_grad_(True)
        try:
            (found,) = torch.autograd.grad(self.number(entry).sum(), entry, allow_unused=True)
        except (RuntimeError, NotImplementedError, UserError) as error:
            return " ".join(str(error).split())[:160].rstrip(".")
        return "its score does not depend on its input by any differentiable way" if found is None else found
