"""Plug-ins of every kind that did not load, in sentences, for the screens and the command line alike.

Exams of the check-up need torch, so that only a worker can try them: a Diagnosis has a finding of each that failed.
"""

from __future__ import annotations

from explainers import registry
from model_zoo import catalogue, opening
from model_zoo.discovery import Broken


def sentences() -> tuple[str, ...]:
    """One for each file that failed to import, with the reason."""
    kinds: dict[str, tuple[Broken, ...]] = {
        "model": catalogue.broken(),
        "reader of model files": opening.broken(),
        "method or check": registry.broken(),
    }
    return tuple(f"The {kind} {one.name} did not load: {one.reason}" for kind, some in kinds.items() for one in some)
