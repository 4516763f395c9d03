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
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from explainers import examining, registry
from explainers.case import Case
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
from model_zoo.types import Players, Prediction, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from model_zoo.model import Model

LIBRARIES = ("assay", "torch", "captum", "shap", "lime", "numpy", "scikit-learn", "scikit-image")


def explain(
    model: Model,
    sample: Any,
    method: str = "integrated_gradients",
    *,
    target: Any = None,
    output: str | None = None,
    against: int | str | None = None,
    at: Any = None,
    baseline: Any = None,
    background: Any = None,
    players: str | Players | None = None,
    layer: str | None = None,
    seed: int = 0,
    batches: tuple[int, ...] = (),
    evidence: str | Iterable[str] | None = None,
    run: Run | None = None,
    **params: Any,
) -> Explanation:
    """Explain one prediction of a model by one method.

    sample: a Sample, or anything that model.sample() reads.
    target: a class by number or name, several of them to be added, or a Target; None explains the predicted class.
    against: a class that it is compared with, "runner_up" for the next likely one: why this rather than that.
    at: where, for a model that says something of every token, pixel or step: a position, a slice (one an axis) or a
        mask, over which the number is summed; None sums over all of them.
    output: "logit", "probability" or "value"; None is what the model itself returns.
    baseline: what absence means, one row: a name, a number, an array like x; None is the input's own default.
    background: rows to average over; a method that compares with one baseline takes their mean. None is the model's
        own, else the baseline.
    players: who gets credit: a kind such as "pixels", "segments", "words", or a Players; None is the method's choice.
    layer: the layer to look at, for methods that look at one.
    batches: the batch sizes of an earlier run, which makes a replay return the same bytes.
    evidence: checks that are run besides those that always are: "all", or their ids; examining.scrutinise() adds them
        later.
    params: the method's own parameters, validated.

    UserError says in one sentence what does not fit; Cancelled is raised when `run` is stopped.
    """
    with torch.inference_mode(False), model.frozen(), exact_arithmetic():
        spec = registry.method(method)
        sample = model.sample(sample)  # before anything is asked of the card: a wrapped model's is complete only now
        reason = spec.why_not(model.card) or spec.refuses(model, sample)
        if reason:
            raise UserError(reason)
        if layer is not None:
            params["layer"] = layer
        settings = validate(spec.params, params)
        run = _seeded(run or Run(), seed)
        began = time.perf_counter()
        run.evaluator = Evaluator(model, run, batches, sample.x.size)
        prediction, asked_for = _aimed(model, sample, target, output, against, at)
        asked = _Asked(
            spec,
            model,
            sample,
            prediction,
            asked_for,
            _players(model, sample, spec, players, settings),
            _reference(model, sample, spec, baseline, background),
            settings,
            run,
            began,
        )
        run.outline = asked.outline
        lines = registry.wanted(evidence)
        attribution = spec.explain(model, sample, asked.target, asked.players, asked.reference, settings, run)
        found = asked.found(attribution)
        explanation = asked.explanation(found, ())
        return replace(explanation, evidence=tuple(examining.panel(found, lines)))


@dataclass(frozen=True)
class _Asked:
    """A request with everything resolved, and what becomes of a method's answer to it."""

    method: Method
    model: Model
    sample: Sample
    prediction: Prediction
    target: Target
    players: Players
    reference: Reference
    settings: Any
    run: Run
    began: float

    def outline(self, partial: Attribution) -> Explanation:
        """A partial result as it would be shown, unjudged."""
        raw = torch.as_tensor(self.prediction.raw)[None]
        said = float(targets.select(raw, self.model.card, self.target)[0])
        return self.explanation(Found(self.method, partial, self.target, said, partial.base_value), ())

    def found(self, attribution: Attribution) -> Found:
        """The answer beside what the model itself says of the input and of the reference."""
        if not np.isfinite(attribution.values).all():
            raise UserError(
                f"{self.method.title} found values that are not finite numbers: the model overflows near this input."
                " Try another baseline, or explain the logit rather than the probability."
            )
        ask = self.run.evaluator.values
        explained = attribution.explained
        if explained is None:
            explained = float(ask(self.sample.x[None], self.target)[0])
        start = None
        if self.method.completeness != "no":
            start = attribution.base_value
            if start is None:
                start = float(ask(self.reference.rows, self.target).mean())
            if not np.isfinite(start):
                raise UserError(
                    f"{self.model.card.title} returns no finite number for what the input is compared with"
                    f" ({self.reference.sentence}). Choose another baseline."
                )
        return Found(self.method, attribution, self.target, explained, start, self._case(attribution))

    def _case(self, attribution: Attribution) -> Case:
        """What checks on demand may ask."""
        return Case(
            self.model,
            self.sample,
            self.target,
            self.players,
            self.reference,
            np.asarray(attribution.values, dtype=np.float64),
            self.method.family,
            self.method.title,
            self.method.reading,
            self.run,
            examining.again(self.method, self.target, self.players, self.reference, self.settings),
        )

    def explanation(self, found: Found, judged: tuple[Check, ...]) -> Explanation:
        """What the method found, with its evidence, cost and provenance."""
        attribution, card, evaluator = found.attribution, self.model.card, self.run.evaluator
        shown = None if self.method.absence == "none" else self.reference
        if shown and attribution.absence:
            shown = replace(shown, sentence=attribution.absence)
        return Explanation(
            method=self.method.id,
            title=self.method.title,
            flavour=attribution.flavour or self.method.flavour(self.settings, shown),
            card=card,
            sample=self.sample,
            target=self.target,
            players=self.players,
            reference=shown,
            values=np.asarray(attribution.values, dtype=np.float64),
            unit=attribution.unit or self.target.unit,
            prediction=self.prediction,
            explained=found.explained,
            base_value=found.start,
            std_error=attribution.std_error,
            extras=dict(attribution.extras),
            notes=attribution.notes,
            evidence=judged,
            cost=Cost(evaluator.forward, evaluator.backward, time.perf_counter() - self.began),
            provenance=Provenance(
                model_digest=card.digest,
                sample_digest=self.sample.digest,
                parameters=asdict(self.settings) | attribution.used,
                seed=self.run.seed,
                device=str(self.model.device),
                batches=tuple(evaluator.batches),
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


def _aimed(
    model: Model, sample: Sample, target: Any, output: str | None, against: Any, at: Any
) -> tuple[Prediction, Target]:
    """What the model says, at the positions that are asked for, and which number of it is explained."""
    raw = model.raw(sample)
    places, where = targets.places(at, raw.shape[1:], model.card)
    if isinstance(target, Target):
        places = target.places
    chosen = raw.reshape(len(raw), -1)[:, list(places)] if places else raw
    prediction = targets.prediction(chosen, model.card)
    return prediction, targets.resolve(model.card, prediction, target, output, against, places, where)


def _seeded(run: Run, seed: Any) -> Run:
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**32:
        raise UserError(f"seed is a whole number from 0 to {2**32 - 1}; {seed!r} came.")
    run.seed = int(seed)
    return run


def _players(model: Model, sample: Sample, spec: Method, asked: str | Players | None, settings: Any) -> Players:
    if isinstance(asked, Players):
        return _fitting(asked, sample)
    kinds = model.input.player_kinds
    kind = spec.players.get(model.card.modality) or kinds[0] if asked is None else asked
    if not isinstance(kind, str) or kind not in kinds:
        raise UserError(f"players is one of {', '.join(kinds)} for this model, or a Players; {kind!r} came.")
    division = {one.name: getattr(settings, one.name) for one in fields(settings) if one.name == kind}
    return model.input.players(sample, kind, **division)  # a parameter called "segments" says how many


def _fitting(players: Players, sample: Sample) -> Players:
    """Players that a caller made, if they fit this sample."""
    owner = np.asarray(players.owner)
    trailing = sample.x.shape[sample.x.ndim - owner.ndim :] if owner.ndim <= sample.x.ndim else sample.x.shape
    if owner.shape != trailing:
        raise UserError(f"The players' owner has shape {owner.shape}; expected {trailing}, as the input has.")
    if owner.dtype.kind not in "iu" or owner.min(initial=0) < -1 or owner.max(initial=-1) >= players.count:
        raise UserError(
            f"The players' owner holds whole numbers from -1 (nobody) to {players.count - 1}, the last of"
            f" {players.count} players; {owner.dtype} from {owner.min()} to {owner.max()} came."
        )
    if players.names and len(players.names) != players.count:
        raise UserError(f"There are {players.count} players and {len(players.names)} names; give one name a player.")
    return replace(players, owner=owner)


def _reference(model: Model, sample: Sample, spec: Method, baseline: Any, background: Any) -> Reference:
    """Rows to average over for methods that do; one row for the others: the baseline, else the background's mean."""
    if spec.absence == "background" and (baseline is None or background is not None):
        return model.input.background(sample, background)
    if baseline is None and background is not None and spec.absence == "baseline":
        many = model.input.background(sample, background)
        if not np.issubdtype(many.rows.dtype, np.floating):
            raise UserError(
                f"{spec.title} compares with one baseline, not with a background; pass baseline=... instead."
            )
        return Reference("given", many.rows.mean(0, keepdims=True), f"the mean of {many.sentence}")
    return model.input.reference(sample, baseline)


@functools.cache
def versions() -> tuple[tuple[str, str], ...]:
    """The versions of what computed, as far as it is installed."""
    known = []
    for name in LIBRARIES:
        try:
            found: str | None = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if found is not None:  # a sandbox may hide what the package says of itself
            known.append((name, found))
    return tuple(known)
