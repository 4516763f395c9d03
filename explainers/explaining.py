"""The one road from a request to an explanation.

Resolves who gets credit, what absence means and which number is explained; runs the method on a frozen model; puts what
it found before the checks of evidence.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib.metadata
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from explainers import registry
from explainers.engine.evaluator import Evaluator
from explainers.engine.run import Run
from explainers.types import (
    Attribution,
    Check,
    Cost,
    Explanation,
    Found,
    Method,
    Provenance,
    validate,
)
from model_zoo import targets
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from model_zoo.model import Model

LIBRARIES = ("assay", "torch", "captum", "shap", "lime", "numpy", "scikit-learn", "scikit-image")


def explain(
    model: Model,
    sample: Any,
    method: str = "integrated_gradients",
    *,
    target: int | str | Target | None = None,
    output: str | None = None,
    baseline: Any = None,
    background: Any = None,
    players: str | Players | None = None,
    layer: str | None = None,
    seed: int = 0,
    batches: tuple[int, ...] = (),
    run: Run | None = None,
    **params: Any,
) -> Explanation:
    """Explain one prediction of a model by one method.

    sample: a Sample, or anything that model.sample() reads.
    target: a class by number or name; None explains the predicted class.
    output: "logit", "probability" or "value"; None is what the model itself returns.
    baseline: what absence means, one row: a name, a number, an array like x; None is the input's own default.
    background: rows to average over, for the methods that do; None is the model's own, else the baseline.
    players: who gets credit: a kind such as "pixels", "segments", "words", or a Players; None is the method's choice.
    layer: the layer to look at, for methods that look at one.
    batches: the batch sizes of an earlier run, which makes a replay return the same bytes.
    params: the method's own parameters, validated.

    UserError says in one sentence what does not fit; Cancelled is raised when `run` is stopped.
    """
    spec = registry.method(method)
    reason = spec.why_not(model.card)
    if reason:
        raise UserError(reason)
    if layer is not None:
        params["layer"] = layer
    settings = validate(spec.params, params)
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise UserError(f"seed is a whole number from 0 to {2**32 - 1}; {seed!r} came.")

    run = run or Run(seed=int(seed))
    run.seed = int(seed)
    sample = model.sample(sample)
    began = time.perf_counter()
    with model.frozen(), exact_arithmetic():
        run.evaluator = Evaluator(model, run, batches, sample.x.size)
        prediction = model.predict(sample)
        aim = targets.resolve(model.card, prediction, target, output)
        crowd = _players(model, sample, spec, players, settings)
        reference = _reference(model, sample, spec, baseline, background)

        def outline(partial: Attribution) -> Explanation:
            said = float(targets.select(torch.as_tensor(prediction.raw)[None], model.card, aim)[0])
            so_far = Found(spec, partial, aim, said, None)
            return assemble(model, spec, settings, run, sample, prediction, aim, crowd, reference, so_far, began, ())

        run.outline = outline
        attribution = spec.explain(model, sample, aim, crowd, reference, settings, run)
        _finite(attribution, spec)
        found = _found(run.evaluator, spec, attribution, sample, reference, aim)
    judged = evidence(found)
    return assemble(model, spec, settings, run, sample, prediction, aim, crowd, reference, found, began, judged)


def assemble(
    model: Model,
    spec: Method,
    settings: Any,
    run: Run,
    sample: Sample,
    prediction: Any,
    aim: Target,
    crowd: Players,
    reference: Reference,
    found: Found,
    began: float,
    judged: tuple[Check, ...],
) -> Explanation:
    """What the method found, with its evidence, cost and provenance."""
    attribution = found.attribution
    shown = None if spec.absence == "none" else reference
    own_unit = model.card.unit if aim.output == "value" and model.card.unit else aim.unit
    return Explanation(
        method=spec.id,
        title=spec.title,
        flavour=attribution.flavour or spec.flavour(settings, shown),
        card=model.card,
        sample=sample,
        target=aim,
        players=crowd,
        reference=shown,
        values=np.asarray(attribution.values, dtype=np.float64),
        unit=attribution.unit or own_unit,
        prediction=prediction,
        explained=found.explained,
        base_value=attribution.base_value if attribution.base_value is not None else found.start,
        std_error=attribution.std_error,
        extras=dict(attribution.extras),
        notes=attribution.notes,
        evidence=judged,
        cost=Cost(run.evaluator.forward, run.evaluator.backward, time.perf_counter() - began),
        provenance=Provenance(
            model_digest=model.card.digest,
            sample_digest=sample.digest,
            parameters=asdict(settings),
            seed=run.seed,
            device=str(model.device),
            batches=tuple(run.evaluator.batches),
            threads=torch.get_num_threads(),
            versions=dict(versions()),
            when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        ),
    )


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Full float32 inside: by default a GPU rounds a convolution's factors to 10 bits (TF32), which moves values."""
    convolution, product = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolution, product


def evidence(found: Found) -> tuple[Check, ...]:
    """Every check of the panel, in order."""
    return tuple(check.judge(found) for check in registry.checks())


def _players(model: Model, sample: Sample, spec: Method, asked: str | Players | None, settings: Any) -> Players:
    if isinstance(asked, Players):
        trailing = sample.x.shape[sample.x.ndim - asked.owner.ndim :]
        if asked.owner.shape != trailing:
            raise UserError(f"The players' owner has shape {asked.owner.shape}; expected {trailing}, as the input has.")
        return asked
    kind = asked or spec.players.get(model.card.modality) or model.input.player_kinds[0]
    if kind not in model.input.player_kinds:
        raise UserError(f"players is one of {', '.join(model.input.player_kinds)} for this model; {kind!r} came.")
    division = {one.name: getattr(settings, one.name) for one in fields(settings) if one.name == kind}
    return model.input.players(sample, kind, **division)  # a parameter called "segments" says how many


def _reference(model: Model, sample: Sample, spec: Method, baseline: Any, background: Any) -> Reference:
    if spec.absence == "background" and baseline is None:
        return model.input.background(sample, background)
    return model.input.reference(sample, baseline)


def _finite(attribution: Attribution, spec: Method) -> None:
    if not np.isfinite(attribution.values).all():
        raise UserError(
            f"{spec.title} found values that are not finite numbers: the model overflows near this input."
            " Try another baseline, or explain the logit rather than the probability."
        )


def _found(
    evaluator: Evaluator, spec: Method, attribution: Attribution, sample: Sample, reference: Reference, aim: Target
) -> Found:
    """Ask the model itself for the numbers that the evidence compares with."""
    explained = float(evaluator.values(sample.x[None], aim)[0])
    start = None
    if spec.completeness != "no":
        start = attribution.base_value
        if start is None:
            start = float(evaluator.values(reference.rows, aim).mean())
    return Found(spec, attribution, aim, explained, start)


@functools.cache
def versions() -> tuple[tuple[str, str], ...]:
    """The versions of what computed, as far as it is installed."""
    known = []
    for name in LIBRARIES:
        try:
            known.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(known)
