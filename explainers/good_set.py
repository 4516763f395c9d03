"""Methods of different families for a model and a time budget, and why these.

From each family the best founded method that applies is taken: one whose values add up to something, exact before
sampled, tied to the class before class-blind. Families come in the order of what they add to each other on this kind of
input. Seconds are evaluations ahead times seconds an evaluation, from past runs of the same method where there are any,
else from timing the model. No method may take more than three quarters of the time that is left, so that there is room
for another; one whose accuracy is bought with evaluations is given fewer where that makes it fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from explainers import registry
from explainers.diagnosis import Diagnosis
from explainers.types import FEW, Family, Method
from explainers.words import number
from model_zoo.types import Capability, ModelCard, Sample

MOST = 4  # methods: more cannot be read beside one another
PART = 0.75  # of the time that is left, for one method
SHRUNK = 3  # times that the work of a method may be halved to fit
ROWS = 100  # that a table's background is taken to have
SEGMENTS, SPANS = 60, 20  # that a photo, or a series or sound, is taken to have where a method does not say

FAMILIES: dict[str, tuple[Family, ...]] = {
    "image": ("gradient", "activation", "perturbation", "shapley", "surrogate", "attention"),
    "text": ("gradient", "shapley", "attention", "perturbation", "surrogate", "activation"),
    "tabular": ("shapley", "gradient", "perturbation", "surrogate", "attention", "activation"),
}
BEST: dict[Family, dict[str, str]] = {  # best founded first, each with why
    "gradient": {
        "integrated_gradients": "its parts add up to the change from the baseline, and it says whether it settled",
        "deep_lift": "its parts add up to the change from the baseline, in one pass",
        "expected_gradients": "its parts add up to the change from typical inputs",
        "lrp": "it shares the score out layer by layer in one pass, and says what is lost on the way",
        "gradient_shap": "its parts add up to the change from typical inputs, nearly",
        "deep_lift_shap": "its parts add up to the change from typical inputs",
        "input_x_gradient": "it is the quickest one whose values are shares of the output",
    },
    "activation": {
        "hires_cam": "it shows only places that the class was computed from",
        "grad_cam": "it is tied to the class by the gradient, and takes one pass",
        "layer_cam": "it is tied to the class place by place",
        "grad_cam_plus_plus": "it is tied to the class by the gradient",
        "score_cam": "it asks the model itself what each feature does for the class",
    },
    "attention": {
        "gradient_attention": "it follows the attention that raises this class, not all of it",
        "attention_rollout": "it follows attention through all layers",
        "attention_flow": "it follows attention through all layers",
    },
    "perturbation": {
        "occlusion": "it asks the model itself, one part covered after another",
        "feature_ablation": "it asks the model itself, one part replaced after another",
        "rise": "it asks the model itself under random masks",
        "feature_permutation": "it asks the model itself, with values of other rows",
    },
    "shapley": {
        "tree_shap": "it is exact for trees",
        "linear_shap": "it is exact for a linear model",
        "exact_shapley": "it tries every combination, so nothing is estimated",
        "leverage_shap": "it has the smallest error for the evaluations that it takes",
        "regression_adjusted_shap": "it estimates Shapley values with a small error",
        "kernel_shap": "it estimates Shapley values, and says how far they are settled",
        "permutation_shap": "it estimates Shapley values by random orders",
        "shapley_sampling": "it estimates Shapley values by random orders",
        "partition_shap": "it shares the output among groups of neighbours",
    },
    "surrogate": {
        "lime": "it fits a simple model nearby, which is another way to ask",
        "captum_lime": "it fits a simple model nearby, which is another way to ask",
    },
}
ADDS: dict[Family, str] = {
    "gradient": "from inside the network",
    "activation": "from the last feature map",
    "attention": "from the attention maps",
    "perturbation": "from outside, by taking parts away",
    "shapley": "from outside, by combinations of parts",
    "surrogate": "from outside, by a simple model",
}


@dataclass(frozen=True)
class Pace:
    """Seconds an evaluation: of a forward pass, of one forward and back, and of methods that ran before."""

    forward: float
    backward: float
    known: Mapping[str, float] = field(default_factory=dict)  # by a method's id

    def seconds(self, method: Method, evaluations: int) -> float:
        """What so many evaluations of this method will take."""
        alone = self.backward if Capability.GRADIENTS in method.needs else self.forward
        return evaluations * self.known.get(method.id, alone)


@dataclass(frozen=True)
class Pick:
    """A method that is taken: with which parameters, at what cost, and why."""

    method: Method
    parameters: dict[str, Any]
    evaluations: int
    seconds: float
    reason: str


@dataclass(frozen=True)
class Left:
    """A method that is left out, and why."""

    method: Method
    reason: str


@dataclass(frozen=True)
class GoodSet:
    """What was picked, in the order of families, and what was not."""

    picks: tuple[Pick, ...]
    left: tuple[Left, ...]
    budget: float  # seconds

    @property
    def seconds(self) -> float:
        """What all of it will take."""
        return sum(one.seconds for one in self.picks)

    @property
    def sentence(self) -> str:
        """How many, of which families, in what time."""
        if not self.picks:
            return f"No method fits in {spoken(self.budget)}; give it more time."
        count, families = len(self.picks), [one.method.family for one in self.picks]
        each = "one method" if count == 1 else f"{count} methods, each of another family"
        more = " A second one needs more time." if count == 1 else ""
        return f"{each.capitalize()} ({', '.join(families)}), in {spoken(self.seconds)}.{more}"


def good_set(
    card: ModelCard,
    players: int | Callable[[Method], int],
    budget: float,
    pace: Pace,
    refused: Mapping[str, str] | None = None,
) -> GoodSet:
    """Pick methods for this model.

    players: how many share the credit, or a function that says it for a method.
    refused: by a method's id, why it would be wrong for this very model, as a check-up says.
    """
    refused = refused or {}
    picks: list[Pick] = []
    left: dict[str, str] = {}
    spare = budget
    for family in FAMILIES.get(card.modality, tuple(BEST)):
        taken: Pick | None = None
        for method in _ranked(family):
            reason = method.why_not(card) or refused.get(method.id, "")
            if reason:
                left[method.id] = reason
            elif method.id not in BEST[family]:
                left[method.id] = _unranked(method)
            elif taken is not None:
                left[method.id] = f"{taken.method.title}, of the same family, is better founded."
            elif len(picks) == MOST:
                left[method.id] = f"{MOST} methods of other families are enough to be read beside one another."
            else:
                count = players(method) if callable(players) else players
                found = _fitted(card, method, count, PART * spare, pace)
                if isinstance(found, str):
                    left[method.id] = found
                else:
                    taken = found
        if taken is not None:
            picks.append(taken)
            spare -= taken.seconds
    listed = [one for one in registry.methods() if one.id in left]
    return GoodSet(tuple(picks), tuple(Left(one, left[one.id]) for one in listed), budget)


def paced(examined: Diagnosis, past: Callable[[str], Any]) -> tuple[Pace, dict[str, str]]:
    """The pace from a check-up and from past jobs of each method, and what the check-up refuses with its reasons."""
    known = {}
    for method in registry.methods():
        job = past(method.id)
        if job is not None and job.total and job.seconds:
            known[method.id] = job.seconds / job.total
    refused = {one.method: one.reason for one in examined.methods if one.reason}
    return Pace(examined.seconds, examined.backward or 3 * examined.seconds, known), refused


def counted(card: ModelCard, sample: Sample, method: Method) -> int:
    """How many share the credit by default, from the sample alone."""
    kind = method.players.get(card.modality)
    if card.modality == "tabular":
        return len(card.columns) or int(sample.x.size)
    if kind == "segments":
        return int(getattr(method.params(), "segments", 0) or SEGMENTS)
    if kind == "words":
        return int(getattr(sample.view, "kept", 0)) or len(sample.x)
    if card.modality in FEW:
        return int(getattr(method.params(), kind or "", 0) or SPANS)
    return int(np.prod(sample.x.shape[-2:] if card.modality == "image" else sample.x.shape))


def spoken(seconds: float) -> str:
    """'about 12 s', 'about 2 min', 'under a second'."""
    if seconds < 1:
        return "under a second"
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"


def _ranked(family: Family) -> list[Method]:
    """The methods of a family, best founded first, then those that are not ranked."""
    order = list(BEST[family])
    found = [one for one in registry.methods() if one.family == family]
    return sorted(found, key=lambda one: order.index(one.id) if one.id in order else len(order))


def _unranked(method: Method) -> str:
    if not method.signed:
        return "It does not tell what speaks for the answer from what speaks against it."
    if method.reading == "matters":
        return "It shows what the answer is sensitive to, not what it is made of."
    return "It is not among the well founded ones of its family; choose it by hand."


def _fitted(card: ModelCard, method: Method, players: int, limit: float, pace: Pace) -> Pick | str:
    """The method with as much work as fits in `limit` seconds, or why it is left out."""
    defaults = method.params()
    most = getattr(defaults, "most", 0)
    if method.id == "exact_shapley" and players > most:
        return f"It tries every combination of at most {most} parts; there are {players:,}."
    rows = ROWS if method.absence == "background" and card.modality == "tabular" else 1
    whole = int(method.evaluations(defaults, players, rows))
    if pace.seconds(method, whole) <= limit:
        return Pick(method, {}, whole, pace.seconds(method, whole), _why(method, {}))
    least = whole
    for given in _less(method, whole // rows):
        count = int(method.evaluations(method.params(**given), players, rows))
        if pace.seconds(method, count) <= limit:
            return Pick(method, given, count, pace.seconds(method, count), _why(method, given))
        least = min(least, count)
    work = ", even with less work" if least < whole else ""
    return f"It takes {spoken(pace.seconds(method, least))}{work}; {number(limit, 2)} s are there for it."


def _less(method: Method, automatic: int) -> list[dict[str, Any]]:
    """Parameters with half, a quarter, ... of the method's effort; automatic: what a 0 stands for."""
    if not method.effort:
        return []
    knob = next(one for one in fields(method.params) if one.name == method.effort)
    default: Any = knob.default
    lowest = knob.metadata.get("low") or 1
    tried = [type(default)((default or automatic) / 2**step) for step in range(1, SHRUNK + 1)]
    return [{method.effort: one} for one in tried if one >= lowest]


def _why(method: Method, given: dict[str, Any]) -> str:
    reason = BEST[method.family][method.id]
    less = "".join(f", with {name} = {value:,} so that it fits" for name, value in given.items())
    return f"It looks {ADDS[method.family]}: {reason}{less}."
