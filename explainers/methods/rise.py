"""RISE: the output averaged over random masks, wherever each part is visible.

Masks m cover the input, x · m + baseline · (1 - m), and part i receives, in units of F,
    E[F(m) m_i] / E[m_i] - E[F(m)]:
how far the output lies above its mean over all masks when part i is visible. 0 is no effect; what speaks against the
target is negative. The paper keeps the first term alone, where an idle part gets the mean output (signed=False), and
divides by the expected E[m_i]; here the masks' own sum divides, so that a constant output gets exactly 0.
A picture's masks are soft: a coarse grid of cells, each visible with probability `keep`, enlarged bilinearly and
shifted at random by up to a cell. Other players (segments, words, columns) are visible each with probability `keep`;
few of them are enumerated, and the values are exact: (1 - keep) times what a part adds on average over the others, so
(1 - keep) · w_i (x_i - b_i) for a linear F.
Standard errors: of this ratio of means over masks, by the delta method.
Reference: Petsiuk, Das and Saenko (2018), arXiv:1806.07421.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.libraries import largest_error
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run
    from model_zoo.model import Model

FEW = 12  # players whose masks are enumerated
AT_ONCE = 256  # masks between two partial results
KEPT = 2**22  # numbers of masks held at a time for the sums


@dataclass(frozen=True)
class Params:
    """How many masks, and how they look."""

    masks: int = knob(
        4000, low=10, high=100_000, help="Random masks at most; fewer where the values have settled before."
    )
    tolerance: float = knob(
        0.02,
        low=0.0,
        high=1.0,
        help="Stop when the largest standard error over the range of the values is below this; 0 uses every mask.",
    )
    keep: float = knob(0.5, low=0.05, high=0.95, help="Probability that a cell or a part stays visible.")
    cells: int = knob(7, low=2, high=32, help="For images: cells of a mask along each side.")
    signed: bool = knob(
        True,
        help="Values are differences from the mean over all masks, so that 0 means no effect; off: as in the paper.",
        advanced=True,
    )
    segments: int = knob(
        70, low=5, high=300, help="For images by segments: about how many the picture is divided into.", advanced=True
    )
    spans: int = knob(
        20, low=2, high=300, help="For series and sounds: how many spans of time there are.", advanced=True
    )


Masks = Callable[[slice], np.ndarray]  # (masks, players) of numbers from 0 to 1
Ask = Callable[[slice], np.ndarray]  # the target's number under each (masks,)


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Mask at random and average; values (players,) in the target's unit."""
    soft = np.array_equal(np.sort(players.owner, axis=None), np.arange(players.count)) and players.kind == "pixels"
    if not soft and players.count <= FEW and 2**players.count <= params.masks:
        return _enumerated(sample, target, players, reference, params, run)
    run.expect(params.masks)
    make = _soft if soft else _coalitions
    masks, ask = make(sample, target, players, reference, params, run)
    sums = _Sums(players.count)
    for start in range(0, params.masks, AT_ONCE):
        stop = min(params.masks, start + AT_ONCE)
        numbers = ask(slice(start, stop))
        step = max(1, KEPT // players.count)
        for first in range(start, stop, step):
            part = slice(first, min(first + step, stop))
            sums.add(masks(part), numbers[first - start : part.stop - start])
        found = _attribution(sums, params)
        assert found.settled is not None
        if found.settled.value < params.tolerance:
            break
        if stop < params.masks:
            run.publish(found)
    return found


def _soft(
    sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Masks, Ask]:
    import torch

    model, draw = run.evaluator.model, run.generator()
    x, cover = model.tensor(sample.x), model.tensor(reference.rows)[0]
    height, width = players.owner.shape
    down, across = math.ceil(height / params.cells), math.ceil(width / params.cells)
    grids = draw.random((params.masks, params.cells, params.cells)) < params.keep
    shifts = draw.integers(0, (down, across), (params.masks, 2))

    def masks(part: slice) -> torch.Tensor:
        """(masks, height, width) on the device."""
        cells = torch.as_tensor(grids[part], device=x.device).to(x.dtype)
        return enlarged(cells, torch.as_tensor(shifts[part], device=x.device), (height, width))

    def ask(part: slice) -> np.ndarray:
        def batch(inner: slice) -> torch.Tensor:
            visible = masks(slice(part.start + inner.start, part.start + inner.stop))[:, None]
            return visible * x + (1 - visible) * cover

        return run.evaluator.composed(part.stop - part.start, batch, target)

    order = np.argsort(players.owner, axis=None)

    def flat(part: slice) -> np.ndarray:
        return masks(part).cpu().double().numpy().reshape(part.stop - part.start, -1)[:, order]

    return flat, ask


def enlarged(cells: torch.Tensor, shifts: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Grids (n, side, side) as masks (n, *size): bilinearly to one cell more than `size`, shifted by up to one."""
    import torch

    side = cells.shape[-1]
    large = [(side + 1) * math.ceil(one / side) for one in size]
    found = torch.nn.functional.interpolate(cells[:, None], size=large, mode="bilinear", align_corners=False)[:, 0]
    rows, columns = (
        shifts[:, axis, None] + torch.arange(one, device=cells.device) for axis, one in enumerate(size)
    )  # (n, height), (n, width)
    every = torch.arange(len(cells), device=cells.device)[:, None, None]
    return found[every, rows[:, :, None], columns[:, None, :]]


def _coalitions(
    sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Masks, Ask]:
    visible = run.generator().random((params.masks, players.count)) < params.keep

    def ask(part: slice) -> np.ndarray:
        return run.evaluator.masked(sample, players, visible[part], reference, target)

    return lambda part: visible[part].astype(float), ask


def _enumerated(
    sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Every mask, weighted by its probability."""
    count = players.count
    masks = (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(bool)
    run.expect(len(masks))
    numbers = run.evaluator.masked(sample, players, masks, reference, target)
    chance = np.prod(np.where(masks, params.keep, 1 - params.keep), axis=1)
    mean = float(chance @ numbers)
    seen = (chance * (numbers - mean)) @ masks / params.keep
    values = seen if params.signed else seen + mean
    return Attribution(
        values,
        settled=Settled("exact"),
        flavour=f"all {len(masks):,} masks",
        extras={"mean": np.array(mean)},
        used={"masks": len(masks)},
    )


class _Sums:
    """Running sums over masks m (n, players) and outputs f (n,): of m and m² times 1, f and f²."""

    def __init__(self, players: int) -> None:
        self.count = 0
        self.origin = 0.0  # an output near the others, so that squares do not drown the differences
        self.plain = np.zeros(3)  # of 1, f, f²
        self.once, self.twice = np.zeros((3, players)), np.zeros((3, players))

    def add(self, masks: np.ndarray, numbers: np.ndarray) -> None:
        """Count more masks, and what the output was under each."""
        if not self.count:
            self.origin = float(numbers.mean())
        f = numbers - self.origin
        powers = np.stack([np.ones_like(f), f, f**2])
        self.count += len(f)
        self.plain += powers.sum(1)
        self.once += powers @ masks
        self.twice += powers @ masks**2

    def found(self, signed: bool) -> tuple[np.ndarray, np.ndarray]:
        """Values and standard errors, (players,) each."""
        n, mean = self.count, self.plain[1] / self.count
        seen = np.maximum(self.once[0], 1e-12)
        ratio = self.once[1] / seen  # the mean output where the part is visible
        share = seen / n
        squares = (self.twice[2] - 2 * ratio * self.twice[1] + ratio**2 * self.twice[0]) / share**2
        if signed:
            both = self.once[2] - (ratio + mean) * self.once[1] + ratio * mean * self.once[0]
            squares = squares - 2 * both / share + self.plain[2] - n * mean**2
        error = np.sqrt(np.maximum(squares, 0) / (n * max(n - 1, 1)))
        return (ratio - mean if signed else ratio + self.origin), error

    @property
    def mean(self) -> float:
        """The mean output over masks."""
        return self.origin + float(self.plain[1]) / self.count


def _attribution(sums: _Sums, params: Params) -> Attribution:
    values, error = sums.found(params.signed)
    return Attribution(
        values,
        std_error=error,
        settled=Settled("standard_error", largest_error(error, values)),
        flavour=f"{sums.count:,} masks",
        extras={"mean": np.array(sums.mean)},
        used={"masks": sums.count},
    )


METHOD = Method(
    id="rise",
    title="RISE",
    family="perturbation",
    summary="Covers random parts of the input many times, and shows where it was visible when the output was high.",
    source="Petsiuk, Das and Saenko (2018), arXiv:1806.07421",
    library="assay",
    explain=explain,
    params=Params,
    players={"text": "words"},
    absence="baseline",
    effort="masks",
    evaluations=lambda params, players, rows: min(params.masks, 2**players if players <= FEW else params.masks),
)
