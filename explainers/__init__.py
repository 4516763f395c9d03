"""Why a model said what it said, and how far that answer can be trusted.

    explanation = explainers.explain(model, sample, method="integrated_gradients", target=None, seed=0, steps=64)
    explanation.values, explanation.evidence, explanation.figure()
    explanation.save("run.assay"); explainers.open_record("run.assay")
    explainers.methods_for(model)
    explainers.check(model, sample, values, target=...), explainers.scrutinise(model, explanation)   # the trust panel
    explainers.compare([one, other]).sentence                # how far explanations of one input agree
    model = explainers.open_model("resnet.onnx", labels=[...])  # in a sandboxed worker; explain() takes it as well

torch is imported when something is explained, not when this package is. A model that has `ask(kind, body)` lives in
another process and is asked there; what it is asked is listed in runtime/serving.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from explainers.types import Applies, Cancelled, Check, Explanation, Method, Panel, Verdict
from model_zoo.types import ModelCard, UserError

if TYPE_CHECKING:
    from explainers.comparing import Comparison
    from explainers.record import Record
    from explainers.remote import RemoteModel
    from model_zoo.model import Model

__all__ = [
    "Applies",
    "Cancelled",
    "Check",
    "Explanation",
    "Method",
    "Panel",
    "UserError",
    "Verdict",
    "check",
    "compare",
    "explain",
    "methods_for",
    "open_model",
    "open_record",
    "scrutinise",
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


def check(model: Model | RemoteModel, sample: Any, values: Any, **request: Any) -> Panel:
    """Put any values, from anywhere, before the trust panel; see explainers.examining.check for every argument."""
    here: Any = model
    if hasattr(here, "ask"):
        return Panel(here.ask("check", (sample, "", {"values": values}, request)))
    from explainers.examining import check as checked

    return checked(here, sample, values, **request)


def scrutinise(
    model: Model | RemoteModel, explanation: Explanation, lines: str | Iterable[str] = "all", **request: Any
) -> Explanation:
    """The same explanation with more evidence; see explainers.examining.scrutinise for every argument."""
    here: Any = model
    if hasattr(here, "ask"):
        asked = lines if isinstance(lines, str) else tuple(lines)
        found: Explanation = here.ask("scrutinise", (None, "", explanation, asked, request))
        return found
    from explainers.examining import scrutinise as scrutinised

    return scrutinised(here, explanation, lines, **request)


def compare(explanations: Iterable[Explanation]) -> Comparison:
    """How far explanations of one input agree, on what, and on what not; needs neither the model nor torch."""
    from explainers.comparing import compare as compared

    return compared(explanations)


def methods_for(model: Model | RemoteModel | ModelCard, sample: Any = None) -> tuple[Applies, ...]:
    """Every method with None where it applies to this model, else the sentence why it does not.

    sample: an input; with it, a model in this process is also run, and methods that would be wrong for it say why.
    """
    from explainers import registry

    card = model if isinstance(model, ModelCard) else model.card
    reasons = [one.why_not(card) for one in registry.methods()]
    here: Any = model
    if sample is not None and hasattr(here, "frozen"):
        read = here.sample(sample)
        with here.frozen():
            reasons = [why or one.refuses(here, read) for one, why in zip(registry.methods(), reasons, strict=True)]
    return tuple(Applies(one, why) for one, why in zip(registry.methods(), reasons, strict=True))


def open_model(path: Any, **about: Any) -> RemoteModel:
    """Open a model file in a sandboxed worker; see explainers.remote.open_model for every argument."""
    from explainers.remote import open_model as opened

    return opened(path, **about)


def open_record(path: Any) -> Record:
    """Open a .assay record; needs neither the model nor torch."""
    from explainers.record import open_record as opened

    return opened(path)
