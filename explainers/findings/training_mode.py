"""What evaluation mode changes: batch norm that would learn from what it is shown, dropout that would drop."""

from __future__ import annotations

import numpy as np
import torch

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict

KINDS = ("BatchNorm", "Dropout", "DropPath", "InstanceNorm")
SAME = 1e-6


def _look(patient: Patient) -> Finding | None:
    module = patient.module
    if module is None:
        return None
    names = [name for name in patient.training if _matters(module, name)]
    if not names:
        return Finding("training", "Evaluation mode", Verdict.GOOD, "It came in evaluation mode, and stays in it.")
    listed = f"{', '.join(names[:2])}{f' and {len(names) - 2} more' if len(names) > 2 else ''}"
    repair = "explained in evaluation mode, and put back as it was afterwards"
    apart = _apart(patient, module, names)
    if apart is None or apart <= SAME:
        return Finding("training", "Evaluation mode", Verdict.GOOD, f"{listed} came in training mode.", repair)
    return Finding(
        "training",
        "Evaluation mode",
        Verdict.DOUBTFUL,
        f"{listed} came in training mode, where its scores for this input differ by up to {apart:.3g}. Assay explains"
        " what it says in evaluation mode; call model.eval() wherever it is used.",
        repair,
    )


def _matters(module: torch.nn.Module, name: str) -> bool:
    kind = type(module.get_submodule(name)).__name__
    return any(word in kind for word in KINDS)


def _apart(patient: Patient, module: torch.nn.Module, names: list[str]) -> float | None:
    """How far the scores move in training mode, on copies of the buffers that it would change; None: it cannot run."""
    parts = [module.get_submodule(name) for name in names]
    copies = {name: one.clone() for name, one in module.named_buffers()}
    state = torch.get_rng_state()
    try:
        for part in parts:
            part.training = True
        with torch.no_grad():
            said = torch.func.functional_call(module, copies, (patient.inputs.clone(),))
    except Exception:  # batch norm refuses a batch of one; a stranger's network may raise anything
        return None
    finally:
        for part in parts:
            part.training = False
        torch.set_rng_state(state)
    if not isinstance(said, torch.Tensor):
        return None
    return float(np.abs(said.detach().cpu().double().numpy().reshape(-1) - patient.scores.reshape(-1)).max())


EXAM = Exam("training", "Evaluation mode", 50, _look)
