"""What the engine hands a method: the evaluator, seeded randomness, and the line back to the person."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from explainers.types import Attribution, Cancelled

if TYPE_CHECKING:
    from explainers.engine.evaluator import Evaluator
    from explainers.types import Explanation


class Run:
    """One run of one method. In a script it does nothing but count.

    on_progress(done, total) and on_partial(attribution) are called on the thread that computes; stop() is asked
    before each batch.
    """

    evaluator: Evaluator  # set by explain, since it needs the model
    outline: Callable[[Attribution], Explanation]  # set by explain: a partial result as it would be shown, unjudged

    def __init__(
        self,
        seed: int = 0,
        on_progress: Callable[[int, int], None] | None = None,
        on_partial: Callable[[Attribution], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.seed = seed
        self.done = 0
        self.total = 0
        self._on_progress = on_progress
        self._on_partial = on_partial
        self._stop = stop

    def generator(self) -> np.random.Generator:
        """A fresh numpy generator of this run's seed."""
        return np.random.default_rng(self.seed)

    @property
    def wants_partial(self) -> bool:
        """Whether somebody watches; spares the work of partial results otherwise."""
        return self._on_partial is not None

    def branch(self, seed: int) -> Run:
        """A run within this one: other randomness, its evaluations counted here, stopped when this one is."""
        return _Branch(self, seed)

    def expect(self, total: int) -> None:
        """Say how many evaluations are coming in all; may be called again when a method refines."""
        self.total = total
        self._tell()

    def advance(self, count: int) -> None:
        """Count evaluations done; called by the evaluator after each batch."""
        self.done += count
        self._tell()

    def publish(self, partial: Attribution) -> None:
        """Show what is known so far."""
        if self._on_partial is not None:
            self._on_partial(partial)

    def check(self) -> None:
        """Raise Cancelled if the person asked to stop."""
        if self._stop is not None and self._stop():
            raise Cancelled

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.done, max(self.total, self.done))


class _Branch(Run):
    """What a check asks besides: its progress is its parent's, and what it expects is part of what that expects."""

    def __init__(self, parent: Run, seed: int) -> None:
        super().__init__(seed)
        self._parent = parent

    def expect(self, total: int) -> None:
        self.total = total

    def advance(self, count: int) -> None:
        self.done += count
        self._parent.advance(count)

    def check(self) -> None:
        self._parent.check()
