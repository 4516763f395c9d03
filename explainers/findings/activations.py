"""Whether rules that rewrite activation modules (DeepLIFT, guided backpropagation, LRP) would see every activation.

They replace the backward pass of modules such as nn.ReLU, nn.Softmax and nn.MaxPool2d; a functional call, or one module
used twice, escapes them and spoils the sum. Where torch.fx can trace the network, a copy gives every call a module of
its own: the same functions in the same order, and so the same scores, which is tried bit for bit.
"""

from __future__ import annotations

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict
from model_zoo.repair import activations, own_activations

UNCONCERNED = (
    "Gradients, perturbation methods, and Assay's own DeepLIFT and guided backpropagation, which look at every"
    " operation, are not concerned."
)


def _look(patient: Patient) -> Finding | None:
    module = patient.module
    if module is None or isinstance(patient.gradient, str):
        return None
    seen = activations(module, lambda: patient.run(patient.inputs))
    if not seen.total:
        return None
    hidden = seen.functional + seen.reused
    if not hidden:
        return _found(Verdict.GOOD, f"Each of its {seen.total} activations is a module of its own.")
    kinds = [f"{seen.functional} called as functions"] * bool(seen.functional)
    kinds += [f"{seen.reused} through a module that is used more than once"] * bool(seen.reused)
    said = (
        f"{hidden} of its {seen.total} activations are hidden from rules that rewrite modules, such as Captum's"
        f" DeepLIFT: {' and '.join(kinds)}."
    )
    mended = own_activations(module, patient.inputs)
    if isinstance(mended, str):
        return _found(
            Verdict.DOUBTFUL,
            f"{said} It could not be rewritten ({mended}). {UNCONCERNED}",
        )
    return _found(
        Verdict.DOUBTFUL,
        f"{said} {UNCONCERNED}",
        "model_zoo.repair.own_activations makes a copy with a module for each; it gave the same bits on this input",
    )


def _found(verdict: Verdict, sentence: str, repair: str = "") -> Finding:
    return Finding("activations", "Activations", verdict, sentence, repair)


EXAM = Exam("activations", "Activations", 70, _look)
