"""Whether attention maps can be seen, and whether they had to be worked out from fused operators."""

from __future__ import annotations

import torch

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict
from model_zoo import probe
from model_zoo.types import Capability


def _look(patient: Patient) -> Finding | None:
    if Capability.ATTENTION not in patient.model.can:
        return None
    with torch.no_grad():
        maps = probe.attention(lambda: patient.model.outputs(patient.inputs.clone())).maps
    heads, tokens = sorted({one.shape[1] for one in maps}), sorted({one.shape[-1] for one in maps})
    size = (
        f"{len(maps)} layers of {' or '.join(map(str, heads))} heads over {' or '.join(map(str, tokens[-3:]))} tokens"
    )
    fused = probe.fused(lambda: patient.model.outputs(patient.inputs.clone()))
    if fused:
        return _found(
            f"{size}. {fused} of them compute it in a fused operator that returns no map: each map is worked out again"
            " from its queries and keys, exactly."
        )
    return _found(f"{size}, written out as softmax.")


def _found(sentence: str) -> Finding:
    return Finding("attention", "Attention", Verdict.GOOD, sentence)


EXAM = Exam("attention", "Attention", 80, _look)
