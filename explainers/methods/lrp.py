"""Layer-wise relevance propagation: the score is handed down, layer by layer, to what brought it about.

Each operation shares the relevance that arrives at its output among its inputs in proportion to what they brought, by
the rules of engine/relevance_rules.py, until it reaches the input; values are in units of the score F. It compares with
nothing: relevance adds up to F itself, less what biases, other constants and softmax keep, which is reported. On a ReLU
network without biases, the epsilon rule is input × gradient. For token ids it arrives at the embedding.
Reference: Bach et al. (2015), doi:10.1371/journal.pone.0130140; Montavon et al. (2019),
doi:10.1007/978-3-030-28954-6_10; Kohlbrenner et al. (2020), arXiv:1910.09840; for transformers AttnLRP, Achtibat et al.
(2024), arXiv:2402.05602. Numbers: captum LRP with EpsilonRule, where its layers are modules that it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine.credit import credit
from explainers.types import Attribution, Method, knob
from explainers.words import number, percent
from model_zoo.types import Capability, Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    import torch

    from explainers.engine.relevance import Place, Propagated
    from explainers.engine.relevance_weights import Composite
    from explainers.engine.run import Run
    from model_zoo.model import Model

TITLE = "LRP"
AUTO, EPSILON, GAMMA = "auto", "epsilon", "gamma"
PLUS, PLUS_MINUS, FLAT, BOX = "alpha1_beta0", "alpha2_beta1", "epsilon_plus_flat", "epsilon_gamma_box"
SAID = {
    EPSILON: "epsilon rule",
    GAMMA: "gamma rule",
    PLUS: "alpha 1, beta 0 (z-plus)",
    PLUS_MINUS: "alpha 2, beta 1",
    FLAT: "epsilon-plus-flat",
    BOX: "epsilon-gamma-box",
}
NUDGE = 1e-6  # of the largest pixel: a pixel of exactly 0 can hold no relevance as a · g
CONSERVED = 0.001  # of the score may be lost to rounding
NOISY = 20  # times the score: so much relevance of both signs is noise
INSTEAD = "Use integrated gradients, which need no rule for each layer."


@dataclass(frozen=True)
class Params:
    """How each layer shares."""

    rule: str = knob(
        AUTO,
        choices=(AUTO, EPSILON, GAMMA, PLUS, PLUS_MINUS, FLAT, BOX),
        help="How layers share; auto is epsilon-plus-flat for convolutional networks and epsilon for others.",
    )
    epsilon: float = knob(1e-9, low=0.0, high=1.0, help="Absorbs weak, contradictory relevance.", advanced=True)
    gamma: float = knob(0.25, low=0.0, high=100.0, help="How much what agrees is favoured.", advanced=True)


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Propagate one score; values (players,) in the target's unit."""
    from explainers.engine import relevance

    run.expect(1)
    chosen: list[str] = []
    try:
        with relevance.elementary(model.network):
            found = run.evaluator.inside(
                model.tensor(sample.x[None]),
                target,
                lambda share, entry: _propagate(share, entry, model, sample, params, chosen, target.output),
            )
    except relevance.NoRule as error:
        raise UserError(_sentence(model, error)) from error
    embedded = model.embedding is not None
    values = credit(found.relevance[0].cpu().double(), players, sample.x.ndim, embedded=embedded)
    headless = found.ledger.logit is not None
    return Attribution(
        values,
        base_value=0.0,
        unit="logit" if headless else None,
        explained=found.explained if headless else None,
        notes=tuple(_notes(found, values, headless)),
        flavour=SAID[chosen[0]],
        used={"rule": chosen[0]},
    )


def _propagate(
    share: Any, entry: torch.Tensor, model: Model, sample: Sample, params: Params, chosen: list[str], output: str
) -> Propagated:
    from explainers.engine import relevance, relevance_rules

    pixels = model.embedding is None and sample.modality == "image"
    if pixels:
        entry = _nudged(entry)

    def rules(places: list[Place]) -> dict[Any, Any]:
        chosen[:] = [_automatic(places, pixels) if params.rule == AUTO else params.rule]
        composite = _composite(chosen[0], params, model, pixels)
        return relevance_rules.rules(places, composite, score=output == "probability")

    return relevance.propagate(share, entry, rules)


def _automatic(places: list[Place], pixels: bool) -> str:
    """Epsilon-plus-flat was made for networks of convolutions; a transformer's patches are another matter."""
    kinds = [place.kind for place in places]
    attends = any(kind.startswith("ScaledDotProduct") for kind in kinds) or any(
        place.kind in ("Bmm", "Mm") and all(place.depends[:2]) for place in places
    )
    return FLAT if pixels and kinds.count("Convolution") > 1 and not attends else EPSILON


def _composite(rule: str, params: Params, model: Model, pixels: bool) -> Composite:
    from explainers.engine.relevance_weights import ALPHA_BETA, Composite

    numbers: dict[str, Any] = {"epsilon": params.epsilon, "gamma": params.gamma}
    if rule == GAMMA:
        return Composite("gamma", "gamma", **numbers)
    if rule in (PLUS, PLUS_MINUS):
        return Composite(ALPHA_BETA, ALPHA_BETA, alpha=1.0 if rule == PLUS else 2.0, **numbers)
    if rule == FLAT:
        return Composite(ALPHA_BETA, "epsilon", "flat" if pixels else "", **numbers)
    if rule == BOX:
        low, high = _range(model)
        return Composite("gamma", "epsilon", "box" if pixels else "", low=low, high=high, **numbers)
    return Composite(**numbers)


def _range(model: Model) -> tuple[Any, Any]:
    """The darkest and the brightest that a pixel can be, (channels, 1, 1); None where its input does not say."""
    said = model.input
    mean, std = (np.reshape(getattr(said, name, ()), (-1, 1, 1)) for name in ("mean", "std"))
    if not mean.size or getattr(said, "preprocess", None) is not None:
        return None, None
    return (0 - mean) / std, (getattr(said, "scale", 1.0) - mean) / std


def _nudged(entry: torch.Tensor) -> torch.Tensor:
    """Pixels that are nearly 0 moved away from it, by a millionth of the largest."""
    least = NUDGE * float(entry.detach().abs().max())
    return entry.detach().where(entry.detach().abs() > least, entry.detach().new_tensor(least))


def _notes(found: Propagated, values: np.ndarray, headless: bool) -> list[str]:
    notes = []
    if headless:
        notes.append(
            f"The last softmax or sigmoid is left out: LRP shares the logit, {number(found.explained)},"
            " not the probability."
        )
    arrived, whole, mass = float(values.sum()), found.explained, float(np.abs(values).sum())
    lost = whole - arrived
    if abs(lost) <= CONSERVED * abs(whole):
        notes.append(f"Relevance is conserved: {number(arrived)} of {number(whole)} arrives at the input.")
    else:
        booked = [
            (amount, reason) for reason, amount in sorted(found.ledger.kept.items(), key=lambda one: -abs(one[1]))
        ]
        kept = [f"{number(amount)} in {reason}" for amount, reason in booked if abs(amount) > 0.01 * abs(lost)]
        share = f" ({percent(arrived / whole)})" if whole and 0 <= arrived / whole <= 1 else ""
        where = f": {' and '.join(kept)}" if kept else ""
        notes.append(
            f"Of {number(whole)}, {number(arrived)}{share} arrives at the input; the rest stays on the way{where}."
        )
    if mass > NOISY * abs(whole) > 0:
        notes.append(
            f"Relevance for and against is {number(mass / abs(whole))} times the score and nearly cancels: by this rule"
            " the map is mostly noise in this network."
        )
    return notes


def refuses(model: Model, sample: Sample) -> str | None:
    """An operation between the input and the scores that has no rule."""
    from explainers.engine import relevance

    inputs = model.tensor(sample.x[None])
    try:
        with model.frozen(), relevance.elementary(model.network):
            _propagate(
                lambda entry: model.forward_entry(entry, inputs).flatten(1).sum(1),
                model.entry(inputs),
                model,
                sample,
                Params(),
                [],
                model.card.output,
            )
    except relevance.NoRule as error:
        return _sentence(model, error)
    except UserError:
        return None  # what does not fit is said when it is run
    return None


def _sentence(model: Model, error: Any) -> str:
    found = list(error.found)
    listed = found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1]
    return f"{TITLE} has no rule for {listed}, through which the scores of {model.card.title} go. {INSTEAD}"


METHOD = Method(
    id="lrp",
    title="LRP (layer-wise relevance)",
    family="gradient",
    summary="Hands the score down layer by layer, each part getting as much as it brought, and says what is lost.",
    source="Bach et al. (2015), doi:10.1371/journal.pone.0130140; Achtibat et al. (2024), arXiv:2402.05602",
    library="assay",
    aliases=("layer_wise_relevance_propagation", "attn_lrp"),
    explain=explain,
    needs=Capability.GRADIENTS,
    params=Params,
    players={"text": "words"},
    flavour=lambda params, reference: SAID.get(params.rule, "epsilon-plus-flat or epsilon rule"),
    evaluations=lambda params, players, rows: 1,
    refuses=refuses,
)
