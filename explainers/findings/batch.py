"""Whether an input's scores depend on what else is in the batch; methods compute many variants of it at once."""

from __future__ import annotations

import numpy as np
import torch

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict
from model_zoo.types import UserError

NOISE = 1e-4  # of the scores' size


def _look(patient: Patient) -> Finding | None:
    if not np.isfinite(patient.scores).all():
        return None  # that is told by the scores themselves
    one = patient.inputs
    other = one.roll(1, -1) if patient.model.embedding is not None or not one.is_floating_point() else one * 0.5
    try:
        many = patient.run(torch.cat([one, other, other]))[0]
    except UserError as error:
        return _found(
            Verdict.BAD,
            f"It takes one input but not three at once: {str(error).partition('; it said: ')[2] or error} Save it with"
            " a batch axis of any size.",
        )
    apart = float(np.abs(many - patient.scores).max())
    size = max(float(np.abs(patient.scores).max()), 1e-12)
    if apart <= NOISE * size:
        return _found(Verdict.GOOD, f"Its scores are the same alone and among others (within {apart:.1g}).")
    parts = [] if patient.module is None else patient.module.named_modules()
    norms = [name for name, part in parts if "BatchNorm" in type(part).__name__ and part.running_mean is None]
    cause = f" Its batch norm {norms[0]} has no statistics of the training data and uses the batch's." if norms else ""
    return _found(
        Verdict.BAD,
        f"Beside other inputs its scores change by up to {apart:.3g} (scores up to {size:.3g}), so what is explained"
        f" depends on the batch.{cause}",
    )


def _found(verdict: Verdict, sentence: str) -> Finding:
    return Finding("batch", "Alone as in a batch", verdict, sentence)


EXAM = Exam("batch", "Alone as in a batch", 40, _look)
