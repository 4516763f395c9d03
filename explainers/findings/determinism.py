"""Whether the same input gives the same scores twice; explanations of a model that does not are noise."""

from __future__ import annotations

import numpy as np

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict

RUNS = 3
NOISE = 1e-5  # of the scores' size: what adding up in another order may change


def _look(patient: Patient) -> Finding | None:
    if not np.isfinite(patient.scores).all():
        return None  # that is told by the scores themselves
    runs = np.stack([patient.run(patient.inputs)[0] for _ in range(RUNS)])
    apart = float(np.abs(runs - runs[0]).max())
    size = max(float(np.abs(runs[0]).max()), 1e-12)
    if apart == 0:
        return _found(Verdict.GOOD, f"{RUNS} runs of the same input gave the same bits.")
    if apart <= NOISE * size:
        return _found(Verdict.GOOD, f"{RUNS} runs of the same input differ by at most {apart:.1g}: rounding alone.")
    return _found(
        Verdict.BAD,
        f"{RUNS} runs of the same input differ by up to {apart:.3g}, with scores up to {size:.3g}: it draws random"
        " numbers when it predicts, as a dropout that is called as a function does. Pass training=self.training to it"
        " and save the model again; until then every explanation is noisy.",
    )


def _found(verdict: Verdict, sentence: str) -> Finding:
    return Finding("determinism", "Repeatable", verdict, sentence)


EXAM = Exam("determinism", "Repeatable", 30, _look)
