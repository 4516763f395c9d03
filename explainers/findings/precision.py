"""How exactly it computes: half precision and quantised weights make gradients coarse."""

from __future__ import annotations

import torch

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict


def _look(patient: Patient) -> Finding | None:
    module = patient.module
    if module is None:
        return None
    kinds = [one.dtype for one in (*module.parameters(), *module.buffers()) if one.is_floating_point()]
    if not kinds:
        return None
    names = sorted({str(one).removeprefix("torch.") for one in kinds})
    if any(one in (torch.float16, torch.bfloat16) for one in kinds):
        return Finding(
            "precision",
            "Precision",
            Verdict.DOUBTFUL,
            f"It computes in {' and '.join(names)}: small gradients are lost to rounding. Save it in float32 if it can"
            " be.",
        )
    return Finding("precision", "Precision", Verdict.GOOD, f"It computes in {' and '.join(names)}.")


EXAM = Exam("precision", "Precision", 100, _look)
