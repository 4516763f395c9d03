"""The one place where a model is called: batched on its device, sized to what pays and to its memory.

The batch doubles on the real work while a sample gets cheaper by at least 3 %, and halves when memory runs out. On a
CPU memory seldom runs out in time to be caught, so a batch that would hold more than ROOM is not tried.
`schedule` fixes the sizes instead, so that a replay adds in the same order and returns the same bytes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch

from explainers.engine.compose import compose
from explainers.engine.run import Run
from model_zoo import targets
from model_zoo.probe.watch import Number
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from model_zoo.model import Model

Found = TypeVar("Found")
LARGEST = 4096
GAIN = 0.97  # a larger batch must cost at most this much a sample to be kept
FIRST = {False: 1, True: 64}  # batch to begin with, on a GPU: below it, starting a kernel costs more than the work
ROOM = 2 * 2**30  # bytes
TIMINGS = 2  # of each size, the better of which counts: a busy machine slows one batch and not the next

_learned: WeakKeyDictionary[Model, dict[tuple[str, int], _Size]] = WeakKeyDictionary()  # what pays, from run to run


class Evaluator:
    """Evaluate one model for one run; counts evaluations, reports progress, stops on cancel."""

    def __init__(self, model: Model, run: Run, schedule: tuple[int, ...] = (), elements: int = 0) -> None:
        self.model = model
        self.run = run
        self.forward = 0
        self.backward = 0
        self.batches: list[int] = []
        self._schedule = list(schedule)
        self._elements = elements  # of one input: what pays for a short text does not for a long one
        self._sizes = _learned.setdefault(model, {})

    # -- forward -------------------------------------------------------------------------------------------------

    def scores(self, inputs: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Raw scores (n, outputs) of inputs (n, *x.shape), on the CPU."""
        rows = torch.as_tensor(inputs)
        return self._forward(len(rows), lambda part: self.model.tensor(rows[part]), lambda scores: scores)

    def values(self, inputs: torch.Tensor | np.ndarray, target: Target) -> np.ndarray:
        """The target's number (n,), float64, of inputs (n, *x.shape)."""
        rows = torch.as_tensor(inputs)
        return self._select(len(rows), lambda part: self.model.tensor(rows[part]), target).numpy()

    def masked(
        self, sample: Sample, players: Players, coalitions: np.ndarray, reference: Reference, target: Target
    ) -> np.ndarray:
        """The target's number (n,), float64, with only the players of each coalition present.

        coalitions: bool (n, players). What is absent is taken from each row of the reference in turn and the
        numbers are averaged over the rows. A coalition that comes twice is evaluated once.
        """
        unique, back = np.unique(np.asarray(coalitions, dtype=bool), axis=0, return_inverse=True)
        x = self.model.tensor(sample.x)
        rows = self.model.tensor(reference.rows)
        owner = torch.as_tensor(players.owner, device=x.device)
        present = torch.as_tensor(unique, device=x.device)
        count = len(rows)

        def batch(part: slice) -> torch.Tensor:
            index = torch.arange(part.start, part.stop, device=x.device)
            return compose(x, rows[index % count], owner, present[index // count])

        found = self._select(len(unique) * count, batch, target).numpy()
        return found.reshape(len(unique), count).mean(1)[back.reshape(-1)]

    def composed(self, count: int, batch: Callable[[slice], torch.Tensor], target: Target) -> np.ndarray:
        """The target's number (count,), float64, of inputs that `batch(slice)` makes as they are needed."""
        return self._select(count, batch, target).numpy()

    def _select(self, count: int, batch: Callable[[slice], torch.Tensor], target: Target) -> torch.Tensor:
        card = self.model.card
        return self._forward(count, batch, lambda scores: targets.select(scores.cpu().double(), card, target))

    def _forward(
        self,
        count: int,
        batch: Callable[[slice], torch.Tensor],
        keep: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        parts: list[torch.Tensor] = []

        def work(part: slice) -> None:
            with torch.no_grad():
                parts.append(keep(self.model.forward(batch(part))).cpu())

        for size in self._batched("forward", count, work):
            self.forward += size
        return torch.cat(parts) if parts else torch.empty(0)

    # -- backward ------------------------------------------------------------------------------------------------

    def gradients(
        self, points: torch.Tensor, inputs: torch.Tensor, target: Target
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients (n, *entry) of the target at entry points (n, *entry), and its values (n,), float64 on the CPU.

        inputs: (n, *x.shape) or (1, *x.shape), the token ids behind the points; ignored for continuous inputs.
        """
        kept: list[torch.Tensor] = []

        def keep(gradient: torch.Tensor) -> None:
            kept.append(gradient.cpu().double())

        values = self._backward(len(points), lambda part: points[part], inputs, target, keep)
        return torch.cat(kept), values

    def gradient_sum(
        self,
        count: int,
        point: Callable[[slice], torch.Tensor],
        inputs: torch.Tensor,
        target: Target,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted sums of gradients at `count` points made on demand, never kept: (k, *entry) for weights (k, count).

        Also the target's values (count,) at the points. Both float64 on the CPU.
        """
        totals: list[torch.Tensor] = []
        seen = [0]

        def add(gradient: torch.Tensor) -> None:
            stop = seen[0] + len(gradient)
            exact = (gradient.cpu() if gradient.device.type == "mps" else gradient).double()  # MPS has no float64
            part = weights[:, seen[0] : stop].to(exact.device, torch.float64)
            total = torch.tensordot(part, exact, dims=1).cpu()
            totals[:] = [total if not totals else totals[0] + total]
            seen[0] = stop

        values = self._backward(count, point, inputs, target, add)
        return totals[0], values

    def _backward(
        self,
        count: int,
        point: Callable[[slice], torch.Tensor],
        inputs: torch.Tensor,
        target: Target,
        take: Callable[[torch.Tensor], None],
    ) -> torch.Tensor:
        values: list[torch.Tensor] = []

        def work(part: slice) -> None:
            entry = point(part).detach().to(self.model.device).requires_grad_(True)
            ids = inputs.expand(len(entry), *inputs.shape[1:]) if len(inputs) == 1 else inputs[part]
            with torch.enable_grad():
                number = self._number(entry, ids, target)
                (gradient,) = torch.autograd.grad(number.sum(), entry)
            values.append(number.detach().cpu().double())
            take(gradient)

        for size in self._batched("backward", count, work):
            self.forward += size
            self.backward += size
        return torch.cat(values)

    def _number(self, entry: torch.Tensor, inputs: torch.Tensor, target: Target) -> torch.Tensor:
        """The target's number (n,), differentiable in the entry points."""
        number = targets.select(self.model.forward_entry(entry, inputs), self.model.card, target)
        if entry.requires_grad and not number.requires_grad:
            raise UserError(
                f"{self.model.card.title} gives no gradient: its scores do not depend on its input through"
                " differentiable operations. Use a perturbation method, such as occlusion, LIME or KernelSHAP."
            )
        return number

    # -- inside --------------------------------------------------------------------------------------------------

    def inside(
        self,
        inputs: torch.Tensor,
        target: Target,
        look: Callable[[Callable[[torch.Tensor], torch.Tensor], torch.Tensor], Found],
        backward: bool = True,
    ) -> Found:
        """What `look(number, entry)` sees while inputs (1, *x.shape) go through the network once, and once back.

        number(entry) is the target's number (1,), differentiable in entry (1, *entry) unless `backward` is false.
        """
        found: list[Found] = []

        def work(part: slice) -> None:
            entry = self.model.entry(inputs).detach().requires_grad_(backward)
            with torch.set_grad_enabled(backward):
                found.append(look(lambda point: self._number(point, inputs, target), entry))

        for size in self._batched("inside", len(inputs), work):
            self.forward += size
            self.backward += size * backward
        return found[0]

    def pairs(self, count: int, inputs: torch.Tensor, target: Target, look: Callable[[slice, Number], None]) -> None:
        """Have `look(part, number)` compare `count` pairs of entry points, in batches: two passes forward, one back.

        inputs: (1, *x.shape), the token ids behind all of the points. number(points) is the target's number (n,),
        differentiable in points (n, *entry).
        """

        self.parts(count, inputs, target, look, forward=2)

    def parts(
        self,
        count: int,
        inputs: torch.Tensor,
        target: Target,
        look: Callable[[slice, Number], None],
        forward: int = 1,
        backward: int = 1,
    ) -> None:
        """Have `look(part, number)` do `count` evaluations in batches; each costs so many passes forward and back.

        inputs and number as in `pairs`; without a pass back, numbers are not differentiable.
        """

        def work(part: slice) -> None:
            ids = inputs.expand(part.stop - part.start, *inputs.shape[1:])
            with torch.set_grad_enabled(backward > 0):
                look(part, lambda points: self._number(points, ids, target))

        for size in self._batched(f"parts {forward} {backward}", count, work):
            self.forward += forward * size
            self.backward += backward * size

    # -- batches -------------------------------------------------------------------------------------------------

    def _batched(self, kind: str, count: int, work: Callable[[slice], None]) -> Iterator[int]:
        """Do `count` evaluations in batches; yields each batch's size once it is done."""
        first = FIRST[self.model.device.type == "cuda"] * (2 if kind == "forward" else 1)
        size = self._sizes.setdefault((kind, self._elements), _Size(first))
        start = 0
        while start < count:
            self.run.check()
            wanted = self._schedule.pop(0) if self._schedule else size.next
            stop = min(count, start + wanted)
            began, held = time.perf_counter(), _peak()
            try:
                work(slice(start, stop))
                if self.model.device.type == "cuda":
                    torch.cuda.synchronize(self.model.device)
            except (torch.OutOfMemoryError, MemoryError) as error:
                self._schedule = []
                size.shrink(stop - start)
                if stop - start == 1:
                    raise UserError(
                        f"{self.model.card.title} needs more memory for one input than the device has."
                        " Use a smaller input or another device."
                    ) from error
                if self.model.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            seconds, taken = time.perf_counter() - began, _peak() - held
            size.learn(stop - start, seconds, taken if self.model.device.type == "cpu" else 0)
            self.batches.append(stop - start)
            self.run.advance(stop - start)
            yield stop - start
            start = stop


def _peak() -> int:
    """The most memory that this process ever held, in bytes; 0 where the system does not say."""
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class _Size:
    """The batch size that pays: doubles while a sample gets cheaper, then stays."""

    def __init__(self, start: int) -> None:
        self.next = start
        self._cap = LARGEST
        self._best = start
        self._cost = float("inf")
        self._held = 0  # bytes by which batches raised the most that this process ever held
        self._times: list[float] = []  # seconds a sample, of batches of this size
        self._cold = True
        self._settled = False

    def learn(self, size: int, seconds: float, taken: int) -> None:
        self._held += taken
        if 2 * self._held > ROOM:
            self._cap = max(size, 1)
        if self._settled or size != self.next:
            return
        if self._cold:  # the first batch of all pays for lazy initialisation
            self._cold = False
            return
        self._times.append(seconds / size)
        if len(self._times) < TIMINGS:
            return
        cost, self._times = min(self._times), []
        if cost < self._cost * GAIN:
            self._best, self._cost = size, cost
            self.next = min(size * 2, self._cap)
            self._settled = self.next == size
        elif size <= self._best * 2 and size * 2 <= self._cap:
            self.next = size * 2  # one more try: some sizes are odd ones out
        else:
            self.next, self._settled = self._best, True

    def shrink(self, failed: int) -> None:
        self._cap = max(1, failed // 2)
        self._best = min(self._best, self._cap)
        self.next = self._cap
        self._settled = True
