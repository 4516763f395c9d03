"""Guided backpropagation: the gradient, of which each ReLU lets only what is positive pass on the way back.

Element i receives the backward pass of F with, at every ReLU that took a and gave max(a, 0),
    the gradient above · [a > 0], and that only where it is positive,
in units of F per unit of x; a pixel receives the sum over its colour channels, a category that of its own indicator,
and a token the length of its embedding's. The rule is applied at every operation, so F.relu, a module that is used
twice, ReLU6 and a script count as ReLUs. A network without any is refused: what came out would be the plain gradient.
The picture is sharp, but partly a reconstruction of the input (Adebayo et al. 2018, arXiv:1810.03292).
Reference: Springenberg et al. (2014), arXiv:1412.6806. Numbers: captum GuidedBackprop, where each ReLU is an nn.ReLU.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine.credit import credit, slopes
from explainers.types import Attribution, Method, NoParams
from model_zoo.types import Capability, Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run
    from model_zoo.model import Model
    from model_zoo.probe.watch import Number

TITLE = "Guided backpropagation"
INSTEAD = "Use saliency for the plain gradient, or integrated gradients."
NOTE = "Sharp edges here may come from the input rather than from the decision: see whether it reads the model."


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: NoParams, run: Run
) -> Attribution:
    """One guided backward pass; values (players,) in the target's unit per unit of x."""
    run.expect(1)
    gradient, other = run.evaluator.inside(model.tensor(sample.x[None]), target, _guided)
    notes: tuple[str, ...] = (NOTE,)
    if other:
        counted = ", ".join(f"{many} {name}" for name, many in other.items())
        notes = (NOTE, f"The rule is made for ReLU; other activations here keep their plain gradient: {counted}.")
    found = gradient[0].cpu().double().numpy()
    if model.embedding is not None:
        values = credit(np.linalg.norm(found, axis=-1), players, sample.x.ndim)
        unit = f"{target.unit} per unit of embedding"
        return Attribution(values, unit=unit, notes=notes, flavour="length of the guided gradient")
    return Attribution(slopes(found, sample, players), unit=f"{target.unit} per unit of input", notes=notes)


def _guided(number: Number, entry: torch.Tensor) -> tuple[torch.Tensor, Counter[str]]:
    """The guided gradient (1, *entry), and the activations that are no ReLUs by name."""
    import torch

    from explainers.engine import graph
    from model_zoo.probe.watch import unfused

    with unfused():
        said = number(entry).sum()
    nodes = graph.between(said, entry)
    handles = [node.register_hook(_positive) for node in graph.rectifiers(nodes)]
    try:
        (found,) = torch.autograd.grad(said, entry)
    finally:
        for handle in handles:
            handle.remove()
    return found, Counter(graph.other_activations(nodes))


def _positive(downward: Any, above: Any) -> Any:
    return tuple(None if one is None else one.clamp(min=0) for one in downward)


def refuses(model: Model, sample: Sample) -> str | None:
    """A network in which no ReLU can be seen on the way from the input to the scores, or some may be hidden."""
    import torch

    from explainers.engine import graph
    from model_zoo.probe.watch import unfused

    inputs = model.tensor(sample.x[None])
    entry = model.entry(inputs).detach().requires_grad_(True)
    try:
        with torch.enable_grad(), unfused():
            scores = model.forward_entry(entry, inputs).sum()
    except UserError:
        return None  # what does not fit is said when it is run
    nodes = graph.between(scores, entry)
    hidden = graph.opaque(nodes)
    if hidden:
        return (
            f"{TITLE} cannot look into {hidden[0]}, an operation of {model.card.title} with a backward pass of its"
            f" own, where ReLUs may be hidden from its rule. {INSTEAD}"
        )
    if nodes and not graph.rectifiers(nodes):
        return (
            f"{TITLE} changes the gradient at ReLUs, and {model.card.title} has none on the way from its input to its"
            f" scores, so it would be the plain gradient. {INSTEAD}"
        )
    return None


METHOD = Method(
    id="guided_backprop",
    title=TITLE,
    family="gradient",
    summary="The gradient without what speaks against the output at each ReLU: sharp, but it may show edges only.",
    source="Springenberg et al. (2014), arXiv:1412.6806",
    library="captum",
    aliases=("guided_backpropagation",),
    explain=explain,
    needs=Capability.GRADIENTS,
    params=NoParams,
    players={"text": "words"},
    flavour=lambda params, reference: "signed guided gradient",
    refuses=refuses,
)
