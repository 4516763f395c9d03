"""Why a model said what it said, and how far that answer can be trusted.

    explanation = explainers.explain(model, sample, method="integrated_gradients", target=None, seed=0, steps=64)
    explanation.values, explanation.evidence, explanation.figure()
    explanation.save("run.assay"); explainers.open_record("run.assay")
    explainers.methods_for(model)
    model = explainers.open_model("resnet.onnx", labels=[...])  # in a sandboxed worker; explain() takes it as well

torch is imported when something is explained, not when this package is. A model that has `ask(kind, body)` lives in
another process and is asked there; what it is asked is listed in runtime/serving.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explainers.types import Applies, Cancelled, Check, Explanation, Method, Verdict
from model_zoo.types import ModelCard, UserError

if TYPE_CHECKING:
    from explainers.record import Record
    from explainers.remote import RemoteModel
    from model_zoo.model import Model

__all__ = [
    "Applies",
    "Cancelled",
    "Check",
    "Explanation",
    "Method",
    "UserError",
    "Verdict",
    "explain",
    "methods_for",
    "open_model",
    "open_record",
]


def explain(
    model: Model | RemoteModel, sample: Any, method: str = "integrated_gradients", **request: Any
) -> Explanation:
    """Explain one prediction; see explainers.explaining.explain for every argument."""
    here: Any = model
    if hasattr(here, "ask"):
        found: Explanation = here.ask("given", (sample, "", method, request))
        return found
    from explainers.explaining import explain as explained

    return explained(here, sample, method, **request)


def methods_for(model: Model | RemoteModel | ModelCard) -> tuple[Applies, ...]:
    """Every method with None where it applies to this model, else the sentence why it does not."""
    from explainers import registry

    card = model if isinstance(model, ModelCard) else model.card
    return tuple(Applies(one, one.why_not(card)) for one in registry.methods())


def open_model(path: Any, **about: Any) -> RemoteModel:
    """Open a model file in a sandboxed worker; see explainers.remote.open_model for every argument."""
    from explainers.remote import open_model as opened

    return opened(path, **about)


def open_record(path: Any) -> Record:
    """Open a .assay record; needs neither the model nor torch."""
    from explainers.record import open_record as opened

    return opened(path)
