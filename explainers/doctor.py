"""The doctor: runs a model on one input and says, before anything is explained, what can explain it, what not and why.

Every file in findings/ with EXAM looks at one thing; what it costs is a few forward passes and one backward pass.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from explainers import registry
from explainers.diagnosis import Diagnosis, Finding, Part, Suited
from explainers.patient import Exam, Patient
from model_zoo.discovery import Broken, discover
from model_zoo.types import Sample, UserError

if TYPE_CHECKING:
    from explainers.types import Method
    from model_zoo.model import Model

MOST_PARTS = 5000  # layers that are listed
TEXT = "The quick brown fox jumps over the lazy dog."


def exams() -> tuple[Exam, ...]:
    """Every exam, in the order of the report."""
    return tuple(sorted(discover("explainers.findings", "EXAM")[0], key=lambda one: one.order))


def broken() -> tuple[Broken, ...]:
    """Files in findings/ that did not import, with the reason."""
    return discover("explainers.findings", "EXAM")[1]


def examine(model: Model, raw: Any = None, name: str = "") -> Diagnosis:
    """A check-up on what a person gives as input (anything that model.sample reads), or on one that is made up.

    UserError if the model cannot be run on it at all.
    """
    training = _training(model)
    with torch.inference_mode(False):
        sample = made_up(model) if raw is None else model.sample(raw, name)
        with model.frozen():
            patient = Patient(model, sample, training)
            seconds = _timed(lambda: patient.run(patient.inputs))
            findings = tuple(found for one in exams() if (found := _looked(one, patient)) is not None) + _not_loaded()
            backward, memory = _backward(patient)
            parts = _parts(patient)
    own = () if patient.module is None else (*patient.module.parameters(), *patient.module.buffers())
    return Diagnosis(
        card=model.card,
        sample=sample.name or "an input that was made up",
        takes=_takes(sample.x),
        returns=_returns(model, patient.scores),
        parameters=0 if patient.module is None else sum(one.numel() for one in patient.module.parameters()),
        weights=sum(one.numel() * one.element_size() for one in own),
        memory=memory,
        seconds=seconds,
        backward=backward,
        device=str(model.device),
        parts=parts,
        methods=tuple(Suited(one.id, one.title, _reason(one, model, sample)) for one in registry.methods()),
        findings=findings,
    )


def _reason(method: Method, model: Model, sample: Sample) -> str:
    """Why a method does not apply to this model, or would be wrong for it; empty where it does."""
    with model.frozen():
        return method.why_not(model.card) or method.refuses(model, sample) or ""


def made_up(model: Model) -> Sample:
    """An input that fits: a row of the background or the baseline of a table, a picture, a sentence, a wave."""
    taken = model.input
    if taken.modality == "text":
        return model.sample(TEXT, "a made-up sentence")
    if taken.modality == "image":
        return model.sample(_picture(getattr(taken, "size", None) or (224, 224)), "a made-up picture")
    if taken.modality in ("series", "audio"):
        first = taken.first_row()  # type: ignore[attr-defined]
        if first is not None:
            return model.sample(first, "the first of the background")
        return model.sample(taken.made_up(), "a made-up wave")  # type: ignore[attr-defined]
    rows = getattr(taken, "background_rows", None)
    columns = getattr(taken, "columns", ())
    if rows is not None and len(rows):
        first = rows.iloc[0].to_dict() if hasattr(rows, "iloc") else rows[0]
        return model.sample(first, "the first row of the background")
    if not columns:
        raise UserError(f"{model.card.title} takes rows whose columns are not known yet; give an input to check it on.")
    row = {one.name: one.default if one.default is not None else _middle(one) for one in columns}
    return model.sample(row, "a made-up row")


def _middle(column: Any) -> Any:
    if column.kind == "category":
        return column.categories[0] if column.categories else ""
    if column.low is not None and column.high is not None:
        return (column.low + column.high) / 2
    return 0.5


def _picture(size: tuple[int, int]) -> np.ndarray:
    """uint8 (height, width, 3): smooth colours with an edge, since a flat picture hides what a network does."""
    down, across = np.mgrid[0 : size[0], 0 : size[1]]
    shades = [down * 255 // max(size[0] - 1, 1), across * 255 // max(size[1] - 1, 1), (down + across) * 4 % 256]
    found = np.stack(shades, -1).astype(np.uint8)
    found[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = (230, 60, 40)
    return found


def _looked(exam: Exam, patient: Patient) -> Finding | None:
    """One exam; one that fails says so in its place and leaves the others alone."""
    from explainers.types import Verdict

    try:
        return exam.look(patient)
    except UserError as error:
        return Finding(exam.id, exam.label, Verdict.BAD, str(error))
    except Exception as error:  # a stranger's network may raise anything
        said = " ".join(str(error).split())[:160] or type(error).__name__
        return Finding(exam.id, exam.label, Verdict.UNTESTABLE, f"This could not be looked at; the model said: {said}.")


def _not_loaded() -> tuple[Finding, ...]:
    """Exams that did not import, so that nobody takes their silence for good news."""
    from explainers.types import Verdict

    return tuple(
        Finding(one.name, one.name, Verdict.UNTESTABLE, f"This was not looked at; its file did not load: {one.reason}.")
        for one in broken()
    )


def _training(model: Model) -> tuple[str, ...]:
    if not isinstance(model.network, torch.nn.Module):
        return ()
    return tuple(name for name, part in model.network.named_modules() if part.training and not list(part.children()))


def _timed(work: Callable[[], Any]) -> float:
    """Seconds of the second run: the first one also sets things up."""
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _backward(patient: Patient) -> tuple[float, int]:
    """Seconds of a forward and backward pass, and the bytes that it keeps in between; zeros where there is none."""
    if isinstance(patient.gradient, str):
        return 0.0, 0
    kept: dict[int, int] = {}

    def pack(one: torch.Tensor) -> torch.Tensor:
        if one.device.type != "meta" and not one.is_sparse:
            kept[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        return one

    own = () if patient.module is None else (*patient.module.parameters(), *patient.module.buffers())
    weights = {one.untyped_storage().data_ptr() for one in own if not one.is_sparse and one.device.type != "meta"}
    entry = patient.model.entry(patient.inputs).detach().clone().requires_grad_(True)
    began = time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        torch.autograd.grad(patient.number(entry).sum(), entry, allow_unused=True)
    seconds = time.perf_counter() - began
    return seconds, sum(size for address, size in kept.items() if address not in weights)


def _takes(x: np.ndarray) -> str:
    shape = ", ".join(map(str, x.shape))
    return f"one {x.dtype} array ({shape}{',' * (x.ndim == 1)}) an input"


def _returns(model: Model, scores: np.ndarray) -> str:
    card, width = model.card, len(scores)
    if card.task == "regression":
        return f"{width:,} value{'s' * (width != 1)}{f' in {card.unit}' * bool(card.unit)}"
    if card.task == "binary":
        kind = "probability" if card.output == "probability" else "logit"
        return f"the {kind} of {card.labels[1]!r}, against {card.labels[0]!r}"
    return f"{'probabilities' if card.output == 'probability' else 'logits'} of {width:,} classes"


def _parts(patient: Patient) -> tuple[Part, ...]:
    """The tree of layers, with the shapes that they returned where hooks can see them."""
    module = patient.module
    if module is None:
        return ()
    shapes: dict[str, str] = {}
    with _noting(module, shapes), contextlib.suppress(Exception):
        patient.run(patient.inputs)
    found = []
    for path, part in module.named_modules():
        own = sum(one.numel() for one in part.parameters())
        kind = getattr(part, "original_name", "") or type(part).__name__
        found.append(Part(path, kind, path.count(".") + 1 if path else 0, own, shapes.get(path, "")))
        if len(found) == MOST_PARTS:
            break
    return tuple(found)


@contextlib.contextmanager
def _noting(module: torch.nn.Module, shapes: dict[str, str]) -> Iterator[None]:
    handles: list[Any] = []

    def note(path: str) -> Callable[[Any, Any, Any], None]:
        def hook(part: Any, given: Any, output: Any) -> None:
            first = output[0] if isinstance(output, (tuple, list)) and output else output
            if isinstance(first, torch.Tensor):
                shapes[path] = str(tuple(first.shape))

        return hook

    try:
        for path, part in module.named_modules():
            if not isinstance(part, torch.jit.ScriptModule):  # the parts of a script take no hooks
                handles.append(part.register_forward_hook(note(path)))
        yield
    finally:
        for handle in handles:
            handle.remove()
