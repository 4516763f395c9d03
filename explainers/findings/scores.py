"""Whether what the model returns can be explained at all: finite numbers, and probabilities that still move."""

from __future__ import annotations

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict

SATURATED = 0.9999  # above it the gradient of a probability has all but vanished


def _look(patient: Patient) -> Finding:
    found = patient.prediction  # UserError where a score is not finite
    if found.probabilities is None:
        listed = ", ".join(f"{one:.4g}" for one in found.raw[:3])
        return _found(Verdict.GOOD, f"All are finite numbers: {listed}{' …' * (len(found.raw) > 3)}.")
    share, name = float(found.probabilities[found.top]), found.labels[found.top]
    if share <= SATURATED:
        return _found(Verdict.GOOD, f"All are finite numbers; the most likely class is {name}, {share:.1%}.")
    if patient.model.card.output == "logit":
        advice = "Explain the logit, which still moves."
    else:
        advice = "Prefer perturbation methods, or save the model without its last softmax or sigmoid."
    return _found(
        Verdict.DOUBTFUL, f"The probability of {name} is {share:.6f}: its gradient has all but vanished. {advice}"
    )


def _found(verdict: Verdict, sentence: str) -> Finding:
    return Finding("scores", "Scores", verdict, sentence)


EXAM = Exam("scores", "Scores", 10, _look)
