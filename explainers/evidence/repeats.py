"""Repeats: do the strongest parts stay the strongest with another seed and an input that nobody could tell apart?

The method runs five times more, each time with another seed and with noise of 1 % of the range on what is continuous
(a text's words are not); counted are the runs in which the three strongest parts are the same, or others that tie with
them.
Reference: Alvarez-Melis and Jaakkola (2018), arXiv:1806.08049; Yeh and others (2019), arXiv:1901.09392.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from explainers.case import Case
from explainers.engine.likeness import FINE
from explainers.types import Check, Evidence, Explanation, Found, Verdict
from explainers.words import percent
from model_zoo.types import Sample, UserError

LABEL = "Repeats"
RUNS, NOISE, TOP = 5, 0.01, 3
ENOUGH = 0.9  # of what the three strongest held at first, so that a tie counts as kept
CELLS = 8  # regions along each side of a map of pixels


def judge(found: Found) -> Check:
    """Run the method again, and see whether the strongest parts survive."""
    if found.case is None:
        return _check(Verdict.NOT_RUN, "Not run: it makes the explanation five times more, with tiny changes.")
    case = found.case
    if case.redo is None:
        return _check(Verdict.NOT_APPLICABLE, "How these values were made is not known, so they cannot be made again.")
    before = case.spent()
    count = min(TOP, case.players.count - 1)
    if count < 1:
        return _check(Verdict.UNTESTABLE, "There is one part alone, which is always the strongest.")
    from explainers.engine.likeness import regions

    first = regions(case.values, case.players, CELLS)
    kept = runs = 0
    refused = ""
    moved: list[float] = []
    source = np.random.default_rng([case.run.seed, 5])
    for turn in range(RUNS):
        sample = _noisy(case, source)
        try:
            values = case.again(case.run.seed + 1 + turn, sample=sample)
        except UserError as error:
            refused = str(error)
            continue
        again = regions(values, case.players, CELLS)
        runs += 1
        kept += _survives(first, again, count)
        moved.append(float(np.abs(values - case.values).sum() / (np.abs(case.values).sum() or 1.0)))
        if sample is case.sample and not moved[0]:
            return _check(
                Verdict.BY_CONSTRUCTION,
                "Nothing in this method is left to chance, and words cannot be changed a little: it says the same.",
                evaluations=case.spent() - before,
            )
    if not runs:
        return _check(Verdict.UNTESTABLE, f"The explanation could not be made once more: {refused}")
    return _judged(kept, runs, count, moved, case, case.spent() - before)


def _survives(first: np.ndarray, again: np.ndarray, count: int) -> bool:
    """Whether the strongest are the same, or others of nearly the same size: ties may change places."""
    from explainers.engine.likeness import top

    size = np.abs(first)
    now, before = (float(size[list(top(one, count))].sum()) for one in (again, first))
    return now >= ENOUGH * before


def _judged(kept: int, runs: int, count: int, moved: list[float], case: Case, spent: int) -> Check:
    what = "regions" if case.players.kind in FINE else case.players.kind
    strongest = f"the {count} strongest {what}" if count > 1 else "the strongest part"
    told = f"{strongest} came out in {kept} of {runs} runs with another seed and noise of 1 %"
    change = f"the values moved by {percent(float(np.mean(moved)))} on average"
    share = kept / runs
    if share == 1:
        return _check(Verdict.GOOD, f"{told[0].upper()}{told[1:]}; {change}.", float(kept), spent, runs)
    if share >= 0.6:
        return _check(Verdict.DOUBTFUL, f"{told[0].upper()}{told[1:]}; {change}.", float(kept), spent, runs)
    says = f"**The order is not stable.** Only in {kept} of {runs} runs with another seed and noise of 1 %"
    return _check(Verdict.BAD, f"{says} did {strongest} come out again; {change}.", float(kept), spent, runs)


def _noisy(case: Case, source: np.random.Generator) -> Sample:
    """The input with noise on what is continuous; the same object where nothing is."""
    x = case.sample.x
    if not np.issubdtype(x.dtype, np.floating):
        return case.sample
    if case.sample.modality == "tabular":
        size = _of_columns(case)
        if not size.any():
            return case.sample
    else:
        size = np.full(x.shape, NOISE * float(np.ptp(x)))
    return replace(case.sample, x=(x + source.normal(size=x.shape) * size).astype(x.dtype))


def _of_columns(case: Case) -> np.ndarray:
    """Standard deviation of the noise on each feature; none on a category, and none on what may be a code."""
    x, owner = case.sample.x, case.players.owner
    several = np.bincount(owner[owner >= 0], minlength=case.players.count)[np.maximum(owner, 0)] > 1
    kinds = [cell.kind for cell in getattr(case.sample.view, "cells", ())]
    category = np.array([kinds[one] == "category" if one < len(kinds) else False for one in np.maximum(owner, 0)])
    background = case.model.input.background(case.sample).rows
    spread = background.std(0) if len(background) > 1 else np.abs(x)
    return np.where(several | category | (owner < 0), 0.0, NOISE * spread)


def cost(explanation: Explanation) -> int:
    """The explanation five times more."""
    return RUNS * (explanation.cost.forward + 2 * explanation.cost.backward)


def _check(
    verdict: Verdict, sentence: str, value: float | None = None, evaluations: int = 0, runs: int = RUNS
) -> Check:
    unit = f"of {runs} runs" if value is not None else ""
    return Check("repeats", LABEL, verdict, sentence, value, unit, evaluations)


CHECK = Evidence(
    "repeats",
    LABEL,
    5,
    judge,
    question="Are the three strongest parts the same with another seed and a change that nobody would notice?",
    on_demand=True,
    core=False,
    cost=cost,
    source="Alvarez-Melis and Jaakkola (2018), arXiv:1806.08049",
)
