"""What can be explained: models, their inputs, and the bundled zoo.

    model = model_zoo.load("efficientnet_lite0")
    model = model_zoo.wrap(module, modality="tabular", task="classification", output="logit", ...)

torch is imported when a model is loaded, not when this package is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_zoo.types import Capability, Column, ModelCard, Sample, Target, UserError

if TYPE_CHECKING:
    from model_zoo.model import Model

__all__ = [
    "Capability",
    "Column",
    "ModelCard",
    "Sample",
    "Target",
    "UserError",
    "cards",
    "examples",
    "load",
    "read_example",
    "wrap",
]


def cards() -> tuple[ModelCard, ...]:
    """The cards of the bundled models, without loading any."""
    from model_zoo import catalogue

    return catalogue.cards()


def examples(model: str = "") -> Any:
    """The bundled samples that fit a model id, or all of them."""
    from model_zoo import catalogue

    return catalogue.examples(model)


def read_example(id: str) -> tuple[bytes, str]:
    """A bundled sample as its file's bytes and name, for model.sample(*...)."""
    from model_zoo import catalogue

    return catalogue.read_example(id)


def load(name: Any, device: str = "cpu", *, trust: bool = False, card: Any = None, **facts: Any) -> Model:
    """Load a bundled model by its id, or a model file by its path, in this process.

    trust: also open formats that can run code or crash this process; explainers.open_model opens them in a sandbox.
    card: a card file (path), or Facts, with what the file does not say; facts: the same one by one (labels=...).
    """
    from model_zoo import catalogue

    if isinstance(name, str) and name in {one.id for one in catalogue.cards()} and card is None and not facts:
        return catalogue.load(name, device)
    from model_zoo.opening import load as opened

    return opened(name, device, trust, card, facts)


def wrap(network: Any, **about: Any) -> Model:
    """Make any torch module or callable explainable; see model_zoo.wrapping.wrap for the arguments."""
    from model_zoo.wrapping import wrap as wrapped

    return wrapped(network, **about)
