"""What a check of evidence may ask besides the values: the model, the input, and the method once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from explainers.engine.run import Run
from explainers.types import Family
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.evaluator import Evaluator
    from model_zoo.model import Model

Reading = Literal["for", "matters", "either"]
Redo = Callable[["Model", Sample, Run], np.ndarray]  # the values (players,) of the same method


@dataclass(frozen=True, eq=False)
class Case:
    """One explanation before the checks; `values` are (players.count,) as they were found.

    reading: what a large value claims. "for": the part speaks for the target; "matters": the target depends on the
    part, one way or the other; "either": nobody said which.
    """

    model: Model
    sample: Sample
    target: Target
    players: Players
    reference: Reference
    values: np.ndarray
    family: Family | None  # None: values that no method of ours made
    title: str
    reading: Reading
    run: Run
    redo: Redo | None = None  # None: nobody can make these values once more

    @property
    def evaluator(self) -> Evaluator:
        """Where the model is asked."""
        return self.run.evaluator

    def spent(self) -> int:
        """Evaluations so far, a backward pass counted as two more."""
        return self.evaluator.forward + 2 * self.evaluator.backward

    def again(self, seed: int, model: Model | None = None, sample: Sample | None = None) -> np.ndarray:
        """The values (players,) with another seed, model or input; what it takes is counted as this case's."""
        from explainers.engine.evaluator import Evaluator

        assert self.redo is not None
        run = self.run.branch(seed)
        run.evaluator = Evaluator(model or self.model, run, elements=self.sample.x.size)
        with (model or self.model).frozen():
            found = self.redo(model or self.model, sample or self.sample, run)
        self.evaluator.forward += run.evaluator.forward
        self.evaluator.backward += run.evaluator.backward
        return np.asarray(found, dtype=np.float64)

    def on(self, model: Model) -> Case:
        """The same case before another model, counted as this one's run."""
        from explainers.engine.evaluator import Evaluator

        run = self.run.branch(self.run.seed)
        run.evaluator = Evaluator(model, run, elements=self.sample.x.size)
        return replace(self, model=model, run=run)
