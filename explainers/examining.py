"""An explanation before its checks: those of the panel that are asked for, for values of ours or of anybody.

`scrutinise` takes an explanation and asks the model more about it; `check` takes any values, from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from explainers import registry
from explainers.case import Case, Reading, Redo
from explainers.engine.evaluator import Evaluator
from explainers.engine.run import Run
from explainers.registry import ALL, wanted
from explainers.types import (
    Attribution,
    Check,
    Evidence,
    Explanation,
    Found,
    Method,
    Panel,
    Settled,
    Verdict,
    validate,
)
from model_zoo.types import Players, Reference, Sample, Target, UserError, quoted

if TYPE_CHECKING:
    from model_zoo.model import Model

LIKE_SHARES = 10.0  # values whose sum is within this factor of the change look as if they were meant to add up


def panel(found: Found, asked: frozenset[str]) -> Panel:
    """Every line, in order: those on demand are run where they are asked for."""
    lines = []
    for one in registry.checks():
        run = not one.on_demand or one.id in asked
        lines.append(_judged(one, found) if run else one.judge(replace(found, case=None)))
    return Panel(lines)


def _judged(one: Evidence, found: Found) -> Check:
    """One line; a check that fails says so in its place, and leaves the explanation alone."""
    try:
        return one.judge(found)
    except UserError as error:
        return Check(one.id, one.label, Verdict.UNTESTABLE, f"This could not be tested: {error}")


def scrutinise(
    model: Model, explanation: Explanation, lines: str | Iterable[str] = ALL, *, run: Run | None = None
) -> Explanation:
    """The same explanation with more evidence: `lines` are ids of checks, or "all". Lines that ran before stay.

    UserError if the explanation is of another model; Cancelled is raised when `run` is stopped.
    """
    asked = wanted(lines)
    if explanation.card.digest and model.card.digest and explanation.card.digest != model.card.digest:
        raise UserError(
            f"This explanation is of {explanation.card.title} with other weights than those of {model.card.title};"
            " test it with the model that it was made for."
        )
    method = registry.method(explanation.method)
    known = {one.name for one in fields(method.params)}
    settings = validate(method.params, {k: v for k, v in explanation.provenance.parameters.items() if k in known})
    run = run or Run()
    run.seed = explanation.provenance.seed
    from explainers.explaining import exact_arithmetic

    with torch.inference_mode(False), model.frozen(), exact_arithmetic():
        run.evaluator = Evaluator(model, run, elements=explanation.sample.x.size)
        reference = explanation.reference or model.input.reference(explanation.sample)
        case = Case(
            model,
            explanation.sample,
            explanation.target,
            explanation.players,
            reference,
            np.asarray(explanation.values, dtype=np.float64),
            method.family,
            method.title,
            method.reading,
            run,
            again(method, explanation.target, explanation.players, reference, settings),
        )
        attribution = Attribution(explanation.values, unit=explanation.unit)
        found = Found(method, attribution, explanation.target, explanation.explained, explanation.base_value, case)
        lines_asked = [one for one in registry.checks() if one.on_demand and one.id in asked]
        run.expect(sum(one.cost(explanation) for one in lines_asked))
        fresh = {one.id: _judged(one, found) for one in lines_asked}
    kept = {one.id: one for one in explanation.evidence}
    order = [one.id for one in registry.checks()]
    merged = kept | fresh
    evidence = tuple(merged[id] for id in order if id in merged)
    return replace(explanation, evidence=(*evidence, *(one for id, one in kept.items() if id not in order)))


def again(method: Method, target: Target, players: Players, reference: Reference, settings: Any) -> Redo:
    """The method once more, on another model, input or seed."""

    def redo(model: Model, sample: Sample, run: Run) -> np.ndarray:
        return method.explain(model, sample, target, players, reference, settings, run).values

    return redo


Maker = Callable[["Model", Sample, Target, int], Any]  # (model, sample, target, seed) -> values like those given


def check(
    model: Model,
    sample: Any,
    values: Any,
    *,
    target: Any = None,
    output: str | None = None,
    against: int | str | None = None,
    at: Any = None,
    baseline: Any = None,
    background: Any = None,
    players: str | Players | None = None,
    method: str | Maker | None = None,
    std_error: Any = None,
    additive: bool | None = None,
    lines: str | Iterable[str] = ALL,
    seed: int = 0,
    run: Run | None = None,
    **params: Any,
) -> Panel:
    """Put any values before the trust panel: those of another tool, of a paper's code, or drawn by hand.

    values: one a player, or an array shaped like the input (channels are summed); an Explanation, or shap's own.
    target, output, against, at, baseline, background: as explain() takes them; what the values claim to explain.
    players: who the values belong to, where their shape does not say: "segments", "words", or a Players.
    method: how they were made, if that is known: the id of a method of ours with its parameters, or a callable
        (model, sample, target, seed) -> values; then they can be made again for another seed and for random weights.
    std_error: standard errors, shaped like the values.
    additive: whether the values are meant to add up; None: judged as if they were where their sum is of that size.
    lines: ids of checks, or "all".

    UserError says in one sentence what does not fit.
    """
    from explainers import explaining

    asked = wanted(lines)
    said = None  # of an explanation of ours: how far it settled
    if isinstance(values, Explanation):
        said = next((one for one in values.evidence if one.id == "settled"), None)
        players = values.players if players is None else players
        target = values.target if target is None and output is None else target
        if baseline is None and background is None and values.reference is not None:
            baseline, background = (
                (values.reference.rows[0], None) if len(values.reference.rows) == 1 else (None, values.reference.rows)
            )
        std_error = values.std_error if std_error is None else std_error
        method, params = (values.method, dict(values.provenance.parameters)) if method is None else (method, params)
        values = values.values
    with torch.inference_mode(False), model.frozen(), explaining.exact_arithmetic():
        sample = model.sample(sample)
        run = explaining._seeded(run or Run(), seed)
        run.evaluator = Evaluator(model, run, elements=sample.x.size)
        _, aim = explaining._aimed(model, sample, target, output, against, at)
        reference = _reference(model, sample, baseline, background)
        who, mine = _given(model, sample, values, players)
        errors = None if std_error is None else _given(model, sample, std_error, who)[1]
        spec, redo = _maker(model, aim, who, reference, method, params)
        explained = float(run.evaluator.values(sample.x[None], aim)[0])
        start = float(run.evaluator.values(reference.rows, aim).mean())
        spec = replace(spec, completeness=_promise(spec, additive, mine, explained - start), source="")
        settled = None
        if errors is not None:
            from explainers.engine.libraries import largest_error

            settled = Settled("standard_error", largest_error(errors, mine))
        case = Case(
            model,
            sample,
            aim,
            who,
            reference,
            mine,
            None if spec.id == GIVEN.id else spec.family,
            spec.title,
            _claim(mine, spec),
            run,
            redo,
        )
        attribution = Attribution(mine, std_error=errors, settled=settled)
        found = panel(Found(spec, attribution, aim, explained, start, case), asked)
        return found if said is None else Panel(said if one.id == said.id else one for one in found)


def _never(*_: Any) -> Attribution:
    raise UserError("How these values were made is not known, so they cannot be made again.")


GIVEN = Method(
    id="given",
    title="What was given",
    family="perturbation",
    summary="Values from anywhere.",
    source="",
    library="assay",
    explain=_never,
)


def _maker(
    model: Model,
    target: Target,
    players: Players,
    reference: Reference,
    method: str | Maker | None,
    params: dict[str, Any],
) -> tuple[Method, Redo | None]:
    """How the values were made, and a way to make them again, if there is one."""
    if method is None:
        if params:
            raise UserError(f"{', '.join(params)} belongs to a method; say which with method=.")
        return GIVEN, None
    if isinstance(method, str):
        spec = registry.method(method)
        reason = spec.why_not(model.card)
        if reason:
            raise UserError(reason)
        known = {one.name for one in fields(spec.params)}
        settings = validate(spec.params, {name: value for name, value in params.items() if name in known})
        return spec, again(spec, target, players, reference, settings)
    if not callable(method):
        raise UserError(f"method is the id of a method or a callable; {type(method).__name__} came.")
    maker: Maker = method

    def redo(other: Model, sample: Sample, run: Run) -> np.ndarray:
        try:
            made = maker(other, sample, target, run.seed)
        except Exception as error:  # somebody's own function may raise anything
            raise UserError(f"the method that was given failed; it said: {quoted(error)}.") from error
        return _given(other, sample, made, players)[1]

    return GIVEN, redo


def _promise(spec: Method, additive: bool | None, values: np.ndarray, change: float) -> Any:
    """Whether the values claim to add up; heat scaled to a sum or a maximum of 1 does not."""
    if additive is not None:
        return "approximate" if additive else "no"
    if spec.id != GIVEN.id:
        return spec.completeness
    total, size = abs(float(values.sum())), abs(change)
    scaled = values.min(initial=0.0) >= 0 and (abs(total - 1) < 1e-5 or abs(float(values.max(initial=0.0)) - 1) < 1e-9)
    return "approximate" if size / LIKE_SHARES <= total <= size * LIKE_SHARES and not scaled else "no"


def _claim(values: np.ndarray, spec: Method) -> Reading:
    if spec.id == GIVEN.id:
        return "for" if (values < 0).any() else "either"
    return spec.reading


def _reference(model: Model, sample: Sample, baseline: Any, background: Any) -> Reference:
    if background is not None and baseline is None:
        return model.input.background(sample, background)
    return model.input.reference(sample, baseline)


def _given(model: Model, sample: Sample, values: Any, players: str | Players | None) -> tuple[Players, np.ndarray]:
    """Whose values these are, and one number a player; UserError where they fit nobody."""
    from explainers.engine.credit import credit
    from explainers.explaining import _fitting

    if isinstance(values, dict):
        values = _by_name(model, sample, values)
    if hasattr(values, "values") and hasattr(values, "base_values"):  # shap.Explanation
        values = values.values
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    try:
        found = np.asarray([] if values is None else values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"Values are numbers, one a player; {type(values).__name__} came.") from error
    if not np.isfinite(found).all():
        raise UserError("Values are finite numbers; some that came are not. Leave those players out, or give 0.")
    if found.ndim and found.shape[0] == 1 and found.shape != sample.x.shape and found.ndim > 1:
        found = found[0]  # a batch of one
    kinds = model.input.player_kinds
    who = (
        [_fitting(players, sample)]
        if isinstance(players, Players)
        else [model.input.players(sample, kind) for kind in ((players,) if players is not None else kinds)]
    )
    for one in who:
        if found.shape == (one.count,):
            return one, found
        lead = sample.x.ndim - one.owner.ndim
        if found.shape == sample.x.shape:
            return one, credit(found, one, sample.x.ndim)
        if found.shape == sample.x.shape[lead:] and found.shape == one.owner.shape:
            return one, credit(found, one, one.owner.ndim)
        if found.ndim == sample.x.ndim + 1 and found.shape[:-1] == sample.x.shape:  # a number an embedding's element
            return one, credit(found, one, sample.x.ndim, embedded=True)
    counts = ", ".join(f"{one.count:,} {one.kind}" for one in who)
    raise UserError(
        f"Values are one a player ({counts}) or an array like the input, {sample.x.shape}; an array of shape"
        f" {found.shape} came. Say whose they are with players=."
    )


def _by_name(model: Model, sample: Sample, values: dict[str, Any]) -> list[float]:
    names = model.input.players(sample).names
    missing = [name for name in names if name not in values]
    unknown = [str(name) for name in values if name not in names]
    if missing or unknown:
        raise UserError(
            f"Values by name are one for each of {', '.join(names[:20])};"
            f" {'missing: ' + ', '.join(missing[:5]) if missing else 'unknown: ' + ', '.join(unknown[:5])}."
        )
    return [float(values[name]) for name in names]
