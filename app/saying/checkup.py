"""What a check-up found, in the words of the screen and of the command line."""

from __future__ import annotations

from app.components.sizes import size
from explainers.diagnosis import Diagnosis, Finding


def figures(found: Diagnosis) -> dict[str, str]:
    """What a model takes, returns and costs, by name; what is not known is left out."""
    time = f"{_seconds(found.seconds)} forward"
    rows = {
        "Takes": found.takes,
        "Returns": found.returns,
        "Parameters": f"{found.parameters:,}, {size(found.weights)} with buffers" if found.parameters else "",
        "Memory": f"{size(found.memory)} kept for the backward pass of one input" if found.memory else "",
        "Time": f"{time}, {_seconds(found.backward)} with the gradient" if found.backward else time,
    }
    return {name: value for name, value in rows.items() if value}


def sentence(finding: Finding) -> str:
    """A finding with what mends it."""
    return finding.sentence + (f" **Repair**: {finding.repair.rstrip('.')}." if finding.repair else "")


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:.3g} s"
