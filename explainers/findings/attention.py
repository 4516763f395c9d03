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
        found = probe.attention(lambda: patient.model.outputs(patient.inputs.clone()))
    kinds = [
        ("over", [one for one in found.layers if one.within]),
        ("that look from elsewhere at", [one for one in found.layers if one.across]),
    ]
    size = ", and ".join(_sizes(layers, where) for where, layers in kinds if layers)
    if not size:
        return None
    fused = sum(one.fused for _, layers in kinds for one in layers)
    if fused:
        return _found(
            f"{size}. {fused} of them compute it in a fused operator that returns no map: each map is worked out again"
            " from its queries and keys, exactly."
        )
    return _found(f"{size}, written out as softmax.")


def _sizes(layers: list[probe.Heads], where: str) -> str:
    heads, tokens = sorted({one.map.shape[1] for one in layers}), sorted({one.map.shape[-1] for one in layers})
    many = f"{len(layers)} layer{'s' * (len(layers) != 1)} of {' or '.join(map(str, heads))} heads"
    return f"{many} {where} {' or '.join(map(str, tokens[-3:]))} tokens"


def _found(sentence: str) -> Finding:
    return Finding("attention", "Attention", Verdict.GOOD, sentence)


EXAM = Exam("attention", "Attention", 80, _look)
