"""Straight paths seen from a layer: of its output, of what moved it, and of the input through it.

Each is followed by the nested rule of integrated gradients (`refined`), which needs no more than `shares`: sums of
gradients at the points of the rule, already as values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch

from explainers.engine.credit import credit
from explainers.engine.layers import Layer
from explainers.engine.run import Run
from model_zoo.model import Model
from model_zoo.probe.watch import Number
from model_zoo.types import Players, Sample, Target, UserError


class _Straight:
    """From the entry point of one baseline to that of the input."""

    def __init__(self, model: Model, sample: Sample, target: Target, layer: Layer, row: np.ndarray, run: Run) -> None:
        self.layer, self.target, self.run = layer, target, run
        self.inputs = model.tensor(sample.x[None])
        self.end, self.starts = model.entry(self.inputs), model.entry(model.tensor(row))
        self.axes, self.embedded = sample.x.ndim, model.embedding is not None

    def points(self, times: np.ndarray) -> torch.Tensor:
        """Entry points (n, *entry) at times (n,)."""
        change = self.end - self.starts
        return self.starts + torch.as_tensor(times).to(change).reshape(-1, *[1] * (change.ndim - 1)) * change

    def follow(
        self,
        times: np.ndarray,
        weights: np.ndarray,
        visit: Callable[[np.ndarray, Number], tuple[torch.Tensor, torch.Tensor | None]],
    ) -> tuple[torch.Tensor, np.ndarray]:
        """Sums of what `visit(times, number)` gives, a value (n,) and a gradient (n, ...) each: (k, ...) and (1, n)."""
        totals: list[torch.Tensor] = []
        values: list[torch.Tensor] = []

        def look(part: slice, number: Number) -> None:
            value, gradient = visit(times[part], number)
            values.append(value.detach().cpu().double())
            if gradient is not None:
                mine = torch.as_tensor(weights[:, part], dtype=torch.float64)
                total = torch.tensordot(mine, gradient.cpu().double(), dims=1)
                totals[:] = [total if not totals else totals[0] + total]

        self.run.evaluator.parts(len(times), self.inputs, self.target, look)
        return totals[0], torch.cat(values).numpy()[None]

    def brought(self, sums: torch.Tensor, players: Players) -> np.ndarray:
        """Values (k, players) from sums of gradients at the entry (k, *entry)."""
        change = (self.end - self.starts)[0].cpu().double()
        return credit(change * sums, players, self.axes, embedded=self.embedded)


class Inner(_Straight):
    """The path of a layer's output from the baseline's to the input's, while all else is the input's."""

    def __init__(self, model: Model, sample: Sample, target: Target, layer: Layer, row: np.ndarray, run: Run) -> None:
        super().__init__(model, sample, target, layer, row, run)
        kept: list[torch.Tensor] = []

        def look(part: slice, number: Number) -> None:
            kept.append(layer.at(number, torch.cat([self.starts, self.end])[part])[1].detach())

        run.evaluator.parts(2, self.inputs, target, look, backward=0)
        self.low, self.high = torch.cat(kept)
        count = self.low.numel()
        self.players = Players("units", np.arange(count), count)
        self.base = 0.0  # F with the layer as it is for the baseline, once the path has been followed

    def shares(self, points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares (k, units) for weights (k, points), and F at (1, points)."""
        change = self.high - self.low

        def visit(times: np.ndarray, number: Number) -> tuple[torch.Tensor, torch.Tensor]:
            t = torch.as_tensor(times).to(change).reshape(-1, *[1] * change.ndim)
            given = (self.low + t * change).requires_grad_(True)
            said = self.layer.instead(number, self.end.expand(len(given), *self.end.shape[1:]), given)
            if not said.requires_grad:
                raise UserError(f"The output does not depend on {self.layer.title}; choose another layer.")
            return said, torch.autograd.grad(said.sum(), given)[0]

        sums, said = self.follow(points, weights, visit)
        if points[0] == 0.0:
            self.base = float(said[0, 0])
        return (sums * change.cpu().double()).flatten(1).numpy(), said

    def slopes(self, shares: np.ndarray) -> torch.Tensor:
        """The mean gradients (*shape) behind shares; of a unit that did not move nothing is asked."""
        change = (self.high - self.low).cpu().double()
        found = torch.as_tensor(shares).reshape(change.shape) / torch.where(change == 0, 1.0, change)
        return torch.where(change == 0, 0.0, found).to(self.end)


class Back(_Straight):
    """The path of the input, along which Σ_j m_j y_j(x) is followed back to what moved the units."""

    def __init__(
        self,
        model: Model,
        sample: Sample,
        target: Target,
        players: Players,
        layer: Layer,
        row: np.ndarray,
        slopes: torch.Tensor,
        run: Run,
    ) -> None:
        super().__init__(model, sample, target, layer, row, run)
        self.players, self.slopes = players, slopes

    def shares(self, points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (k, players) for weights (k, points), and Σ_j m_j y_j at (1, points)."""

        def visit(times: np.ndarray, number: Number) -> tuple[torch.Tensor, torch.Tensor]:
            entry = self.points(times).requires_grad_(True)
            said = (self.layer.at(number, entry)[1] * self.slopes).flatten(1).sum(1)
            return said, torch.autograd.grad(said.sum(), entry)[0]

        sums, said = self.follow(points, weights, visit)
        return self.brought(sums, self.players), said


class Through(_Straight):
    """The path of the input, of which only what goes through the layer is counted."""

    def __init__(
        self,
        model: Model,
        sample: Sample,
        target: Target,
        players: Players,
        layer: Layer,
        row: np.ndarray,
        run: Run,
    ) -> None:
        super().__init__(model, sample, target, layer, row, run)
        self.players = players
        self.seen: dict[float, tuple[torch.Tensor, torch.Tensor]] = {}  # y and dF/dy, by time
        self.said: dict[float, float] = {}

    def shares(self, points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (k, players) for weights (k, points), and F at (1, points)."""

        def visit(times: np.ndarray, number: Number) -> tuple[torch.Tensor, torch.Tensor]:
            entry = self.points(times).requires_grad_(True)
            said, gave = self.layer.at(number, entry)
            (slope,) = torch.autograd.grad(said.sum(), gave, retain_graph=True, allow_unused=True)
            if slope is None:
                raise UserError(f"The output does not depend on {self.layer.title}; choose another layer.")
            down = slope if gave is entry else torch.autograd.grad(gave, entry, slope)[0]
            for t, y, g, f in zip(times, gave.detach().cpu(), slope.cpu(), said.detach().cpu(), strict=True):
                self.seen[float(t)], self.said[float(t)] = (y, g), float(f)
            return said, down

        sums, said = self.follow(points, weights, visit)
        return self.brought(sums, self.players), said

    def conductance(self) -> np.ndarray:
        """Σ over steps of the mean of dF/dy_j at both ends times the change of y_j: (*shape), float64."""
        times = sorted(self.seen)
        found = torch.zeros(self.layer.shape, dtype=torch.float64)
        for before, after in itertools.pairwise(times):
            (low, slope), (high, other) = self.seen[before], self.seen[after]
            found += (slope.double() + other.double()) / 2 * (high.double() - low.double())
        return found.numpy()
