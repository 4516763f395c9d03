"""Whether running the model changes it, or the input that it is given."""

from __future__ import annotations

import torch

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict


def _look(patient: Patient) -> Finding:
    module = patient.module
    buffers = {} if module is None else {name: one.clone() for name, one in module.named_buffers()}
    versions = {} if module is None else {name: one._version for name, one in module.named_parameters()}
    given = patient.inputs.clone()
    with torch.no_grad():
        patient.model.outputs(given)
    if not torch.equal(given, patient.inputs):
        return _found(
            Verdict.GOOD,
            "It writes into the input that it is given, so it is handed a copy each time; your own numbers stay.",
            "given a copy of each input",
        )
    if module is not None:
        changed = [name for name, one in module.named_buffers() if not torch.equal(one, buffers[name])]
        changed += [name for name, one in module.named_parameters() if one._version != versions[name]]
        if changed:
            return _found(
                Verdict.BAD,
                f"Predicting changes its own state ({', '.join(changed[:2])}), so what it says depends on what it was"
                " asked before. Save it in evaluation mode, or take out what it updates in forward().",
            )
    return _found(Verdict.GOOD, "Predicting changes neither its weights nor its buffers.")


def _found(verdict: Verdict, sentence: str, repair: str = "") -> Finding:
    return Finding("unchanged", "Left as it was", verdict, sentence, repair)


EXAM = Exam("unchanged", "Left as it was", 60, _look)
