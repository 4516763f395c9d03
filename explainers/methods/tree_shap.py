"""Tree SHAP: exact Shapley values of an ensemble of decision trees, read off its branches.

interventional: v(S) = mean over background rows of f(x on S, the row elsewhere), the same game as KernelSHAP's.
tree_path_dependent: an absent feature follows both branches, in proportion to the training rows that went there.
The two answer different questions, with different values and a different start. Values are of the margin that the trees
add up, in its units. The interventional flavour also explains the probability of a binary model: the margin's values,
scaled for each background row so that they add up to the change in probability. A column with several encoded features
gets their sum. Class 0 of a binary model has the negated margin of class 1.
The library's own check of additivity is off: ours compares with what the model itself predicts, and so also catches
trees that the library misreads (shap issue 3436); where it fails, because the prediction passes a link after the trees
or is no sum of them at all, nothing is shown. A booster whose link is known (the exponential of a Poisson loss, a
sigmoid for each class or label) has its margin explained instead, and says so. The start of the interventional flavour
is the model's own mean over the background: for several classes of XGBoost 3 the library adds the first one's offset to
all.
x and the background are rounded to float32 where the ensemble does that before it compares with a threshold, and
handed to the library as ranks among the thresholds, since its interventional flavour keeps those as float32.
In the path-dependent flavour XGBoost, LightGBM and CatBoost are asked themselves, as shap does, with their categories;
trees that shap's other flavour does not read are put into its own form (engine/trees.py).
Reference: Lundberg and others (2020), arXiv:1905.04610.
Numbers: shap TreeExplainer, same background and flavour, exactly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine.credit import credit
from explainers.engine.libraries import quiet
from explainers.engine.trees import CategoricalError, readable
from explainers.types import Attribution, Method, Settled, knob
from model_zoo import boosters
from model_zoo.types import Capability, Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

AUTO, INTERVENTIONAL, PATH = "automatic", "interventional", "tree_path_dependent"
FEW = 8  # rows on which the trees' sums are compared with the model, where that takes Shapley values
MOST_NODES = 2**15 - 1  # of a tree; the library's interventional flavour numbers nodes in 16 bits
CHANCES = "Tree SHAP explains a probability of these trees only for a binary model in the interventional flavour."
CATEGORIES = (
    "shap reads trees with categorical splits only in the tree_path_dependent flavour; choose that one, or KernelSHAP."
)


@dataclass(frozen=True)
class Params:
    """Which game is played."""

    feature_perturbation: str = knob(
        AUTO,
        choices=(AUTO, INTERVENTIONAL, PATH),
        label="Flavour",
        help=(
            "What stands in for an absent feature: background rows, or the trees' own training counts. Automatic is"
            " the former, but for trees that split by categories."
        ),
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    run.check()
    given = np.concatenate([sample.x[None], reference.rows])
    given = given[:FEW] if params.feature_perturbation == PATH else given
    rows = _as_compared(model.trees, given)
    own = np.asarray(run.evaluator.values(given, target), dtype=np.float64)
    flavour = PATH if params.feature_perturbation == PATH else INTERVENTIONAL
    alone = len(_terms(model, target)) == 1
    link = _Link.of(model, target, given, own, flavour) if alone else None
    asked = target if link is None else replace(target, output="value")
    own = own if link is None else link.margins
    try:
        with quiet(), _readable():
            shares = _joined(
                [
                    (sign, _by_counts(model, one, rows[:FEW]) if flavour == PATH else _by_rows(model, one, rows))
                    for sign, one in _terms(model, asked)
                ]
            )
    except CategoricalError:
        if params.feature_perturbation != AUTO or boosters.inside(model.trees) is None:
            raise
        found = explain(model, sample, target, players, reference, replace(params, feature_perturbation=PATH), run)
        return replace(found, notes=(*found.notes, "The trees split by categories, which only this flavour reads."))
    own = own[: len(shares.sums)]
    _check_reading(model, shares.sums, own)
    base = float(own[1:].mean()) if shares.base is None else shares.base
    notes = [] if link is None else [link.note]
    if flavour == PATH:
        notes.append("Absent features follow the trees' own training counts; the background rows were not used.")
    if target.output == "probability" and shares.rescaled:
        notes.append("shap shares the logit and rescales it to the probability, row by row of the background.")
    if model.card.modality == "tabular" and players.owner.size > players.count:
        notes.append("A category's value is the sum over its encoded parts.")
    told = f", {len(reference.rows)} background rows" if flavour == INTERVENTIONAL else ""
    return Attribution(
        credit(shares.values, players, sample.x.ndim),
        base_value=base,
        explained=None if link is None else float(own[0]),
        unit=None if link is None else link.unit,
        settled=Settled("exact"),
        notes=tuple(notes),
        flavour=flavour.replace("_", " ") + told,
        used={"feature_perturbation": flavour},
    )


@dataclass(frozen=True)
class _Link:
    """What trees add up in place of the number that is predicted: margins (rows,), in which their shares add up."""

    margins: np.ndarray
    unit: str
    note: str

    @staticmethod
    def of(model: Model, target: Target, rows: np.ndarray, own: np.ndarray, flavour: str) -> _Link | None:
        """The link by which a booster makes its numbers `own` (rows,) of the margins of rows; None if none is needed.

        own: what the model predicts; where that is not what the link makes of the margins, they are not explained.
        """
        booster = boosters.inside(model.trees)
        if booster is None:
            return None
        kind = booster.link
        if not kind and target.output == "probability" and model.card.output == "probability" and booster.logits:
            several = model.card.task == "classification"
            kind = "softmax" if several else "log-odds" if flavour == PATH else ""
        if not kind:
            return None
        known = getattr(model.network, "knowledge", None)
        found = np.asarray(booster.margins(rows if known is None else known.table(rows)), dtype=np.float64)
        margins = _of_target(found, found.ndim == 2, model, target)
        with np.errstate(over="ignore"):
            if kind == "log":
                made = np.exp(margins)
            elif kind == "log-odds":
                made = 1 / (1 + np.exp(-margins))
            else:
                made = np.exp(margins - np.logaddexp.reduce(found, axis=1))
        if not np.allclose(made, own, rtol=1e-4, atol=1e-6):
            return None
        unit = " ".join(filter(None, ("log", target.unit if target.unit not in ("value", "probability") else "")))
        if kind == "log":
            return _Link(margins, unit, "The trees add up the logarithm of the prediction, so that is what is shared.")
        if kind == "softmax":
            note = f"The trees add up the logit of {target.label}, so that is what is shared, not its probability."
            return _Link(margins, "logit", note)
        note = f"The trees add up the log-odds of {target.label} against the rest, so that is what is shared."
        return _Link(margins, "log-odds", note)


def _no_chances(model: Model) -> UserError:
    """That a probability is not explained, and what is."""
    if "logit" in model.card.outputs:
        return UserError(f"{CHANCES} Explain the logit instead.")
    return UserError(f"{CHANCES} Wrap the model with output='logit', or use KernelSHAP, which asks any model.")


@dataclass(frozen=True)
class Shares:
    """What trees say of the target: values (features,) of the first row, and sums (rows,) for all."""

    values: np.ndarray
    sums: np.ndarray
    base: float | None = None  # the start, where the trees know it themselves
    rescaled: bool = False  # whether a logit's values were rescaled to a probability


def _terms(model: Model, target: Target) -> list[tuple[int, Target]]:
    """A margin or a sum as single outputs, each with its sign: trees share one output at a time."""
    one = replace(target, also=(), against=None)
    against = None if model.card.task == "binary" and target.output == "logit" else target.against  # is it already
    terms = [(1, replace(one, index=index)) for index in (target.index, *target.also)]
    return terms + ([] if against is None else [(-1, replace(one, index=against))])


def _joined(terms: list[tuple[int, Shares]]) -> Shares:
    """The shares of a sum are the sum of the shares."""
    bases = [None if one.base is None else sign * one.base for sign, one in terms]
    known = [one for one in bases if one is not None]
    return Shares(
        np.sum([sign * one.values for sign, one in terms], axis=0),
        np.sum([sign * one.sums for sign, one in terms], axis=0),
        sum(known) if len(known) == len(bases) else None,
        any(one.rescaled for _, one in terms),
    )


def _by_rows(model: Model, target: Target, rows: np.ndarray) -> Shares:
    """The interventional flavour; rows (1 + background rows, features)."""
    trees = _half_log_odds(model.trees) or readable(model.trees, target.index) or model.trees
    explainer = _explainer(model, trees, target, rows[1:], INTERVENTIONAL)
    rows = _ranked(explainer, rows)
    values = np.asarray(explainer.shap_values(rows[:1], check_additivity=False))
    sums = np.asarray(explainer.model.predict(rows))
    each = values.ndim == 3
    return Shares(
        _of_target(values, each, model, target)[0],
        _of_target(sums, each, model, target),
        rescaled=explainer.model_output == "probability",
    )


def _by_counts(model: Model, target: Target, rows: np.ndarray) -> Shares:
    """The tree_path_dependent flavour; boosters are asked themselves, since they know their categories."""
    booster = boosters.inside(model.trees)
    if booster is not None:
        if target.output == "probability":
            raise _no_chances(model)
        known = getattr(model.network, "knowledge", None)
        found = np.asarray(booster.contributions(rows if known is None else known.table(rows)), dtype=np.float64)
        found = _of_target(np.moveaxis(found, 1, -1) if found.ndim == 3 else found, found.ndim == 3, model, target)
        return Shares(found[0, :-1], found.sum(1), float(found[0, -1]))
    explainer = _explainer(model, _half_log_odds(model.trees) or model.trees, target, None, PATH)
    values = np.asarray(explainer.shap_values(rows, check_additivity=False))
    bases, each = np.asarray(explainer.expected_value), values.ndim == 3
    return Shares(
        _of_target(values, each, model, target)[0],
        _of_target(values.sum(1) + bases, each, model, target),
        float(_of_target(bases, bases.size > 1, model, target).item()),
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
        raise CategoricalError(CATEGORIES) from error


def _explainer(model: Model, trees: Any, target: Target, background: np.ndarray | None, flavour: str) -> Any:
    from shap import TreeExplainer
    from shap.maskers import Independent

    if np.any(getattr(model.trees, "is_categorical_", None)):  # of scikit-learn's histogram boosting
        raise UserError(
            f"shap reads categorical splits of {type(model.trees).__name__} as if they were splits of numbers, which"
            " would give wrong values. Use KernelSHAP, which asks any model."
        )
    rows = None
    if background is not None:  # a bare array of more than 100 rows would be thinned silently
        rows = Independent(background, max_samples=len(background))

    def build(output: str) -> Any:
        return TreeExplainer(trees, rows, feature_perturbation=flavour, model_output=output)

    explainer = build("raw")
    leaves = explainer.model.tree_output  # "log_odds", "probability", "raw_value" or None if the library cannot tell
    if target.output == "probability" and leaves != "probability":
        if model.card.task != "binary" or flavour != INTERVENTIONAL or leaves != "log_odds":
            raise _no_chances(model)
        explainer = build("probability")
    elif target.output == "logit" and leaves == "probability":
        raise UserError("These trees vote in probabilities and have no logit. Explain the probability instead.")
    if flavour == INTERVENTIONAL and np.any(np.asarray(getattr(explainer.model, "threshold_types", 0)) > 0):
        raise CategoricalError(CATEGORIES)
    if flavour == INTERVENTIONAL and explainer.model.thresholds.shape[1] > MOST_NODES:
        raise UserError(
            f"shap counts the nodes of a tree up to {MOST_NODES:,}; these have {explainer.model.thresholds.shape[1]:,}."
            " Choose the tree_path_dependent flavour, or KernelSHAP."
        )
    return explainer


def _as_compared(trees: Any, rows: np.ndarray) -> np.ndarray:
    """Rows (n, features) in the precision in which these trees compare them with thresholds, as float64."""
    lineage = type(trees).__mro__
    whole = any(one.__module__.startswith("lightgbm") or one.__name__.startswith("HistGradient") for one in lineage)
    return np.asarray(rows, dtype=np.float64 if whole else np.float32).astype(np.float64)


def _ranked(explainer: Any, rows: np.ndarray) -> np.ndarray:
    """Rows (n, features) as the number of thresholds below each value; the explainer's own become their ranks.

    The library keeps thresholds as float32 in this flavour, which moves some across a value on a decimal grid; whole
    numbers stay as they are, and x <= threshold holds for ranks exactly where it held for the values.
    """
    ensemble = explainer.model
    flat, owner = ensemble.thresholds.reshape(-1), ensemble.features.reshape(-1)
    inner = np.flatnonzero(ensemble.children_left.reshape(-1) >= 0)
    inner = inner[np.argsort(owner[inner], kind="stable")]
    ranks, found = np.zeros_like(flat), np.where(np.isnan(rows), np.nan, 0.0)
    for nodes in np.split(inner, np.flatnonzero(np.diff(owner[inner])) + 1) if inner.size else ():
        column = owner[nodes[0]]
        ladder, ranks[nodes] = np.unique(flat[nodes], return_inverse=True)
        known = ~np.isnan(rows[:, column])
        found[known, column] = np.searchsorted(ladder, rows[known, column])
    ensemble.thresholds = ranks.reshape(ensemble.thresholds.shape)
    explainer.data = found[1:]
    return found


def _half_log_odds(trees: Any) -> dict[str, Any] | None:
    """scikit-learn's boosting with the exponential loss, whose trees add up half the log-odds, doubled; else None."""
    if getattr(trees, "loss", None) != "exponential" or type(trees.init_).__name__ != "DummyClassifier":
        return None
    parts = [one.tree_ for one in trees.estimators_[:, 0]]
    share = trees.init_.class_prior_[1]
    return {
        "tree_output": "log_odds",
        "base_offset": np.log(share / (1 - share)),
        "trees": [
            {
                "children_left": one.children_left,
                "children_right": one.children_right,
                "children_default": one.children_right,
                "features": one.feature,
                "thresholds": one.threshold,
                "values": 2 * trees.learning_rate * one.value.reshape(-1, 1),
                "node_sample_weight": one.weighted_n_node_samples,
            }
            for one in parts
        ],
    }


def _check_reading(model: Model, sums: np.ndarray, own: np.ndarray) -> None:
    """UserError where the trees' sums and the model's own numbers, (rows,) each, differ by more than a constant."""
    sums, own = sums - sums.mean(), np.asarray(own, dtype=np.float64)
    error = float(np.abs(sums - (own - own.mean())).max())
    if error > 1e-4 * float(np.abs(sums).max()) + 1e-5 * float(np.abs(own).max()) + 1e-12:
        raise UserError(
            f"The trees do not add up to what {model.card.title} predicts (they are {error:.3g} away): it passes their"
            " sum through a function, such as an exponential, or shap misreads them. Use KernelSHAP, which asks any"
            " model."
        )


def _of_target(found: np.ndarray, each: bool, model: Model, target: Target) -> np.ndarray:
    """The target's part of what shap says, of its last axis if that is one for each output; class 0 mirrors class 1."""
    if each:
        return found[..., target.index if found.shape[-1] > 1 else 0]
    return -found if model.card.task == "binary" and target.index == 0 else found


METHOD = Method(
    id="tree_shap",
    title="Tree SHAP",
    family="shapley",
    summary="Shares the prediction of a tree ensemble among the columns exactly, by following every branch.",
    source="Lundberg and others (2020), arXiv:1905.04610",
    library="shap",
    aliases=("tree",),
    explain=explain,
    needs=Capability.TREES,
    modalities=("tabular",),
    params=Params,
    absence="background",
    completeness="by_construction",
    evaluations=lambda params, players, rows: FEW if params.feature_perturbation == PATH else rows + 1,
)
