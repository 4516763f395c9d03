"""Why a model said what it said, and how far that answer can be trusted.

    explanation = explainers.explain(model, sample, method="integrated_gradients", target=None, seed=0, steps=64)
    explanation.values, explanation.evidence, explanation.figure()
    explanation.save("run.assay"); explainers.open_record("run.assay")
    explainers.methods_for(model)

torch is imported when something is explained, not when this package is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explainers.types import Applies, Cancelled, Check, Explanation, Method, Verdict
from model_zoo.types import ModelCard, UserError

if TYPE_CHECKING:
    from explainers.record import Record
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
    "open_record",
]


def explain(model: Model, sample: Any, method: str = "integrated_gradients", **request: Any) -> Explanation:
    """Explain one prediction; see explainers.explaining.explain for every argument."""
    from explainers.explaining import explain as explained

    return explained(model, sample, method, **request)


def methods_for(model: Model | ModelCard) -> tuple[Applies, ...]:
    """Every method with None where it applies to this model, else the sentence why it does not."""
    from explainers import registry

    card = model if isinstance(model, ModelCard) else model.card
    return tuple(Applies(one, one.why_not(card)) for one in registry.methods())


def open_record(path: Any) -> Record:
    """Open a .assay record; needs neither the model nor torch."""
    from explainers.record import open_record as opened

    return opened(path)
