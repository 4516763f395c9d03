"""What DeepLIFT, DeepLIFT-SHAP and DeepSHAP share: the rescale rule against one row or many, and when to refuse.

For output F, input x and a reference row x', element i receives m_i (x_i - x'_i), in units of F, with the multipliers
m of rescale.py; over several rows, the mean. For token ids the difference is that of the embeddings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainers.engine.credit import credit
from explainers.types import Attribution, Refuses, Settled
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    import torch

    from explainers.engine.rescale import NoRule
    from explainers.engine.run import Run
    from model_zoo.model import Model
    from model_zoo.probe.watch import Number

GAP = 0.01  # of the values' total size: they add up to rounding, or something escaped the rule
INSTEAD = "Use integrated gradients, which need no rule for each layer."


def attribute(
    title: str, model: Model, sample: Sample, target: Target, players: Players, reference: Reference, run: Run
) -> Attribution:
    """The mean over the reference's rows; UserError where the rule does not hold for this model."""
    from explainers.engine import rescale

    inputs = model.tensor(sample.x[None])
    end, starts = model.entry(inputs), model.entry(model.tensor(reference.rows))
    rows = len(starts)
    run.expect(rows)
    totals: list[torch.Tensor] = []
    ends: list[torch.Tensor] = []
    bases: list[torch.Tensor] = []

    def look(part: slice, number: Number) -> None:
        start = starts[part]
        found = rescale.compare(number, start, end.expand_as(start))
        change = (end - start).cpu().double()
        totals.append((change * found.multipliers.cpu().double()).sum(0))
        ends.append(found.end.cpu().double())
        bases.append(found.start.cpu().double())

    try:
        run.evaluator.pairs(rows, inputs, target, look)
    except rescale.NoRule as error:
        raise UserError(_sentence(title, model, error, target)) from error
    import torch

    elements = torch.stack(totals).sum(0) / rows
    base, top = float(torch.cat(bases).mean()), float(torch.cat(ends).mean())
    values = credit(elements, players, sample.x.ndim, embedded=model.embedding is not None)
    _adds_up(title, model, elements.numpy(), base, top)
    return Attribution(values, base_value=base, settled=Settled("exact"))


def _adds_up(title: str, model: Model, elements: np.ndarray, base: float, top: float) -> None:
    """The rule's sum is exact; a relative check finds what an absolute one misses where the output is small."""
    mass, noise = float(np.abs(elements).sum()), 1e-4 * max(abs(base), abs(top))
    gap = abs(float(elements.sum()) - (top - base))
    if np.isfinite(gap) and gap > max(GAP * mass, noise):
        raise UserError(
            f"{title} would be wrong for {model.card.title}: its values sum to {elements.sum():.4g} where the output"
            f" changed by {top - base:.4g}, so a part of the network escapes its rule. {INSTEAD}"
        )


def flavour(reference: Reference | None) -> str:
    """The rule, and how many rows it is averaged over."""
    rows = 0 if reference is None else len(reference.rows)
    return "rescale rule" + (f", {rows} reference rows" if rows > 1 else "")


def refuses(title: str) -> Refuses:
    """What a method of this kind says of a model for which it would be wrong."""

    def ask(model: Model, sample: Sample) -> str | None:
        from explainers.engine import rescale

        try:
            inputs = model.tensor(sample.x[None])
            start = model.entry(model.tensor(model.input.reference(sample, None).rows[:1]))
            rescale.check(
                lambda point: model.forward_entry(point, inputs).flatten(1).sum(-1), start, model.entry(inputs)
            )
        except rescale.NoRule as error:
            return _sentence(title, model, error)
        except UserError:
            return None  # what does not fit is said when it is run
        return None

    return ask


def _sentence(title: str, model: Model, error: NoRule, target: Target | None = None) -> str:
    """Why not, and what to do."""
    from explainers.engine import graph

    said = error.found[0] if len(error.found) == 1 else ", ".join(error.found[:-1]) + " and " + error.found[-1]
    card = model.card
    if target is not None and target.output == "probability" and card.output == "logit" and card.task != "binary":
        return (
            f"{title} has no rule for the softmax that turns logits into probabilities."
            ' Explain the logit (output="logit"), or use integrated gradients.'
        )
    do = INSTEAD
    if error.found == (graph.WORDS["Softmax"],) and card.output == "probability":
        do = "Use integrated gradients, or wrap the network without its last softmax and explain the logit."
    return f"{title} would be wrong for {card.title}: the network has {said}, which its rule does not cover. {do}"
