"""Where Grad-CAM looks: the last map of features over the image, found without naming a layer."""

from __future__ import annotations

from explainers.diagnosis import Finding
from explainers.patient import Exam, Patient
from explainers.types import Verdict
from model_zoo import probe
from model_zoo.types import Capability


def _look(patient: Patient) -> Finding | None:
    model = patient.model
    if model.card.modality != "image" or Capability.GRADIENTS not in model.can:
        return None
    if Capability.SPATIAL not in model.can:
        return Finding(
            "spatial",
            "Feature map",
            Verdict.NOT_APPLICABLE,
            "It has no map of features over the image before its score, so Grad-CAM does not apply.",
        )
    entry = patient.inputs.clone().requires_grad_(True)
    found = probe.spatial(lambda: patient.number(entry), model.network)
    channels, rows, columns = found.activation.shape[1:]
    place = found.layer or f"after {found.operator}"
    sentence = f"Grad-CAM reads {channels:,} features over {rows} × {columns} places ({place})."
    if not bool(found.gradient.any()):
        sentence += " The score does not depend on it here, so the map would be empty."
        return Finding("spatial", "Feature map", Verdict.DOUBTFUL, sentence)
    return Finding("spatial", "Feature map", Verdict.GOOD, sentence)


EXAM = Exam("spatial", "Feature map", 90, _look)
