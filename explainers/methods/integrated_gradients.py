"""Integrated gradients: attribution gathered on the straight path from a baseline.

For output F, input x and baseline b, element i receives, in units of F,
    IG_i = (x_i - b_i) · mean over t in [0, 1] of dF/dx_i at b + t (x - b),
so the attributions add up to F(x) - F(b); what the finite sum misses is reported as evidence. For token ids the path
runs through the embedding. By default the mean is a nested Clenshaw–Curtis rule, which doubles its points until its
own half agrees with it; captum's rules are there for parity. Several baselines are averaged.
Reference: Sundararajan, Taly and Yan (2017), arXiv:1703.01365. Numbers: captum IntegratedGradients for the same rule
and steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from explainers.engine.credit import credit
from explainers.engine.quadrature import Ladder
from explainers.engine.run import Run
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target

if TYPE_CHECKING:
    import torch

    from model_zoo.model import Model

FIRST = 16  # the coarsest rule; its picture is shown while finer ones are computed
NESTED = "clenshaw_curtis"
MANY = 1000  # players
HELD = 2**24  # numbers: gradient sums, or weights, held at a time


@dataclass(frozen=True)
class Params:
    """How finely the path is followed."""

    steps: int = knob(64, low=8, high=1024, help="Intervals on the path to begin with; cost grows with them.")
    most: int = knob(
        512, low=8, high=4096, label="At most", help="Keep doubling up to this many while the values still move."
    )
    tolerance: float = knob(
        0.01, low=0.0, high=0.5, help="Settled once doubling moves the values by less than this share.", advanced=True
    )
    rule: str = knob(
        NESTED,
        choices=(NESTED, "gausslegendre", "riemann_trapezoid", "riemann_middle", "riemann_left", "riemann_right"),
        help="How the path is averaged; those after the first are captum's and take exactly the steps given.",
        advanced=True,
    )


class Followed(Protocol):
    """Paths that can be averaged along: values of players from every start."""

    players: Players
    starts: torch.Tensor

    def shares(self, points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (k, players) for weights (k, points), and the number at (starts, points)."""


class Path:
    """The straight paths from each baseline to the input, and sums of gradients along them."""

    def __init__(
        self, model: Model, sample: Sample, target: Target, players: Players, rows: np.ndarray, run: Run
    ) -> None:
        self.model, self.sample, self.target, self.players, self.run = model, sample, target, players, run
        self.inputs = model.tensor(sample.x[None])
        self.end = model.entry(self.inputs)
        self.starts = model.entry(model.tensor(rows))

    def sums(self, points: np.ndarray, weights: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """Weighted gradient sums (k, baselines, *entry) and values (baselines, points) for weights (k, points)."""
        import torch

        count, k = len(self.starts), len(weights)
        times = torch.as_tensor(points, device=self.end.device, dtype=self.end.dtype)

        def point(part: slice) -> torch.Tensor:
            index = torch.arange(part.start, part.stop, device=self.end.device)
            start = self.starts[index // len(points)]
            t = times[index % len(points)].reshape(-1, *[1] * (self.end.ndim - 1))
            return start + t * (self.end - start)

        spread = torch.zeros(k, count, count, len(points), dtype=torch.float64)
        for row in range(count):
            spread[:, row, row] = torch.as_tensor(weights)
        total, values = self.run.evaluator.gradient_sum(
            count * len(points), point, self.inputs, self.target, spread.reshape(k * count, -1)
        )
        return total.reshape(k, count, *self.end.shape[1:]), values.reshape(count, -1).numpy()

    def shares(self, points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (k, players) for weights (k, points), over all baselines, and F at (baselines, points).

        A few baselines at a time, so that the memory does not grow with their number.
        """
        every, k = self.starts, len(weights)
        size = max(1, min(HELD // (k * self.end.numel()), int((HELD // (k * len(points))) ** 0.5)))
        total, values = np.zeros((k, self.players.count)), []
        try:
            for first in range(0, len(every), size):
                self.starts = every[first : first + size]
                sums, at = self.sums(points, weights)
                total += [len(self.starts) / len(every) * self.attribute(one) for one in sums]
                values.append(at)
        finally:
            self.starts = every
        return total, np.concatenate(values)

    def attribute(self, mean_gradients: torch.Tensor) -> np.ndarray:
        """(players,) from mean gradients (baselines, *entry)."""
        change = (self.end - self.starts).cpu().double()
        elements = (change * mean_gradients).mean(0)
        return credit(elements, self.players, self.sample.x.ndim, embedded=self.model.embedding is not None)


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    path = Path(model, sample, target, players, reference.rows, run)
    return refined(path, params, run) if params.rule == NESTED else _captum(path, params, run)


def refined(path: Followed, params: Any, run: Run) -> Attribution:
    """By ever finer rules, until doubling moves the values by less than the tolerance, or at most allowed."""
    steps, most, tolerance = params.steps, params.most, params.tolerance
    first = min(FIRST, 2 ** int(np.log2(steps)))
    ladder = Ladder(first // 2, max(most, steps))
    enough = next((n for n in ladder.levels if n >= steps), ladder.levels[-1])
    baselines = len(path.starts)
    totals = np.zeros((len(ladder.levels), path.players.count))
    for level, intervals in enumerate(ladder.levels):
        run.expect(baselines * (max(intervals, enough) + 1))
        part, values = path.shares(ladder.fresh(level), ladder.weights(level))
        totals += part
        if level == 0:
            base, top = float(values[:, 0].mean()), float(values[0, -1])
            continue
        found = totals[level]
        moved = _share(found - totals[level - 1], found)
        gap = abs(found.sum() - (top - base)) / (np.abs(found).sum() or 1.0)
        attribution = Attribution(
            found.copy(),
            settled=Settled("nested", moved),
            flavour=f"Clenshaw–Curtis, {intervals + 1} points"
            + (f" from {baselines} baselines" if baselines > 1 else ""),
        )
        if intervals >= enough and max(moved, gap) <= tolerance:
            break
        run.publish(attribution)
    return attribution


def _captum(path: Path, params: Params, run: Run) -> Attribution:
    from captum.attr._utils.approximation_methods import approximation_parameters

    sizes, alphas = approximation_parameters(params.rule)
    points, weights = np.array(alphas(params.steps)), np.array(sizes(params.steps))
    run.expect(len(path.starts) * params.steps)
    totals, _ = path.sums(points, weights[None])
    found = path.attribute(totals[0])
    ends = path.sums(np.array([0.0, 1.0]), np.zeros((1, 2)))[1]
    base, top = float(ends[:, 0].mean()), float(ends[0, 1])
    delta = abs(found.sum() - (top - base)) / (np.abs(found).sum() or 1.0)
    return Attribution(found, settled=Settled("delta", delta), flavour=f"{params.rule}, {params.steps} steps")


def _share(change: np.ndarray, whole: np.ndarray) -> float:
    return float(np.abs(change).sum() / (np.abs(whole).sum() or 1.0))


def _evaluations(params: Params, players: int, rows: int) -> int:
    """Pixels keep moving until nearly the last doubling; words and columns settle at once."""
    doubled = max(params.steps, params.most) if params.rule == NESTED and players > MANY else params.steps
    return rows * (doubled + 1)


METHOD: Method = Method(
    id="integrated_gradients",
    title="Integrated gradients",
    family="gradient",
    summary="Follows the input from a baseline to what it is and adds up how each part moved the output on the way.",
    source="Sundararajan, Taly and Yan (2017), arXiv:1703.01365",
    library="captum",
    aliases=("ig",),
    explain=explain,
    needs=Capability.GRADIENTS,
    params=Params,
    players={"text": "words"},
    absence="baseline",
    completeness="approximate",
    effort="most",
    evaluations=_evaluations,
)
