"""Tree SHAP: exact Shapley values of an ensemble of decision trees, read off its branches.

interventional: v(S) = mean over background rows of f(x on S, the row elsewhere), the same game as KernelSHAP's.
tree_path_dependent: an absent feature follows both branches, in proportion to the training rows that went there.
The two answer different questions, with different values and a different start. Values are of the margin that the trees
add up, in its units. The interventional flavour also explains the probability of a binary model: the margin's values,
scaled for each background row so that they add up to the change in probability. A column with several encoded features
gets their sum. Class 0 of a binary model has the negated margin of class 1.
The library's own check of additivity is off: ours compares with what the model itself predicts, and so also catches
trees that the library misreads (shap issue 3436). For the same reason the start of the interventional flavour is the
model's own mean over the background: for several classes of XGBoost 3 the library adds the first one's offset to all.
Reference: Lundberg and others (2020), arXiv:1905.04610.
Numbers: shap TreeExplainer, same background and flavour, exactly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine.credit import credit
from explainers.engine.libraries import quiet
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Capability, Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

INTERVENTIONAL, PATH = "interventional", "tree_path_dependent"


@dataclass(frozen=True)
class Params:
    """Which game is played."""

    feature_perturbation: str = knob(
        INTERVENTIONAL,
        choices=(INTERVENTIONAL, PATH),
        label="Flavour",
        help="What stands in for an absent feature: background rows, or the trees' own training counts.",
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    run.check()
    with quiet(), _readable():
        explainer = _explainer(model, target, reference, params.feature_perturbation)
        values = explainer.shap_values(sample.x[None], check_additivity=False)
    # XGBoost's expected value is right only after the first call, so it is read here (shap issue 4498).
    features, base = _of_target(np.asarray(values), np.asarray(explainer.expected_value), model, target)
    notes = []
    if params.feature_perturbation == PATH:
        notes.append("Absent features follow the trees' own training counts; the background rows were not used.")
    if explainer.model_output == "probability":
        notes.append("shap shares the logit and rescales it to the probability, row by row of the background.")
    if model.card.modality == "tabular" and players.owner.size > players.count:
        notes.append("A category's value is the sum over its encoded parts.")
    rows = f", {len(reference.rows)} background rows" if params.feature_perturbation == INTERVENTIONAL else ""
    return Attribution(
        credit(features, players, sample.x.ndim),
        base_value=base if params.feature_perturbation == PATH else None,
        settled=Settled("exact"),
        notes=tuple(notes),
        flavour=params.feature_perturbation.replace("_", " ") + rows,
    )


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """The library's refusals as sentences."""
    from shap.utils._exceptions import ExplainerError, InvalidModelError

    try:
        yield
    except InvalidModelError as error:
        raise UserError(f"shap cannot read these trees ({error}). Use KernelSHAP, which asks any model.") from error
    except (ExplainerError, NotImplementedError) as error:  # it says so of trees that split by sets of categories
        raise UserError(
            "shap reads trees with categorical splits only in the tree_path_dependent flavour; choose that one,"
            " or KernelSHAP."
        ) from error


def _explainer(model: Model, target: Target, reference: Reference, flavour: str) -> Any:
    from shap import TreeExplainer
    from shap.maskers import Independent

    rows = None
    if flavour == INTERVENTIONAL:  # a bare array of more than 100 rows would be thinned silently
        rows = Independent(reference.rows, max_samples=len(reference.rows))

    def build(output: str) -> Any:
        return TreeExplainer(model.trees, rows, feature_perturbation=flavour, model_output=output)

    explainer = build("raw")
    leaves = explainer.model.tree_output  # "log_odds", "probability", "raw_value" or None if the library cannot tell
    if target.output == "probability" and leaves != "probability":
        if model.card.task != "binary" or flavour != INTERVENTIONAL or leaves != "log_odds":
            raise UserError(
                "Tree SHAP explains a probability of these trees only for a binary model in the interventional flavour."
                " Explain the logit instead."
            )
        explainer = build("probability")
    elif target.output == "logit" and leaves == "probability":
        raise UserError("These trees vote in probabilities and have no logit. Explain the probability instead.")
    return explainer


def _of_target(values: np.ndarray, bases: np.ndarray, model: Model, target: Target) -> tuple[np.ndarray, float]:
    """Feature values (features,) and base of the target, from (1, features) or (1, features, outputs)."""
    outputs = values.shape[2] if values.ndim == 3 else 1
    column = target.index if outputs > 1 else 0
    found = values[0, :, column] if values.ndim == 3 else values[0]
    base = float(bases.reshape(-1)[column if bases.size > 1 else 0])
    if model.card.task == "binary" and outputs == 1 and target.index == 0:
        return -found, 1 - base if target.output == "probability" else -base
    return found, base


METHOD = Method(
    id="tree_shap",
    title="Tree SHAP",
    family="shapley",
    summary="Shares the prediction of a tree ensemble among the columns exactly, by following every branch.",
    source="Lundberg and others (2020), arXiv:1905.04610",
    library="shap",
    explain=explain,
    needs=Capability.TREES,
    modalities=("tabular",),
    params=Params,
    absence="background",
    completeness="by_construction",
    evaluations=lambda params, players, rows: rows if params.feature_perturbation == INTERVENTIONAL else 0,
)
