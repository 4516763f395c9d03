"""Whether a gradient comes back from the score to the input, and to how much of it."""

from __future__ import annotations

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict

FEW = 0.05  # share of the input with a gradient, below which a map of gradients is mostly empty


def _look(patient: Patient) -> Finding:
    found = patient.gradient
    where = "the embedding of its tokens" if patient.model.embedding is not None else "its input"
    if isinstance(found, str):
        blind = patient.module is None  # trees, or a function of arrays: it never had one, and nothing is wrong with it
        verdict = Verdict.NOT_APPLICABLE if blind else Verdict.BAD
        ways = "Tree SHAP" if patient.model.trees is not None else "Methods that need none (occlusion, LIME, SHAP)"
        return _found(verdict, f"There is no gradient: {found}. {ways} will do.")
    if not bool(found.isfinite().all()):
        return _found(
            Verdict.BAD,
            "Its gradient is not finite here: a root, a logarithm or a division meets zero. Use perturbation methods.",
        )
    share = float((found != 0).double().mean())
    size = f"{share:.0%} of the {found.numel():,} numbers of {where}"
    if share == 0:
        return _found(
            Verdict.BAD,
            f"Its gradient is zero at {where}: a step or a rounding lies on the way, or the score is saturated. Use"
            " perturbation methods.",
        )
    if share < FEW:
        return _found(Verdict.DOUBTFUL, f"Only {size} have a gradient that is not zero: maps of gradients are sparse.")
    return _found(Verdict.GOOD, f"A gradient comes back to {size}.")


def _found(verdict: Verdict, sentence: str) -> Finding:
    return Finding("gradient", "Gradient", verdict, sentence)


EXAM = Exam("gradient", "Gradient", 20, _look)
