"""Adds up: do the values account for the change from the reference to the prediction?

error = |sum(values) - (f(x) - f(reference))| / sum(|values|); f is the model's own forward, never the library's word
for it.
Reference: completeness, axiom of Sundararajan, Taly and Yan (2017), arXiv:1703.01365; SHAP calls it efficiency.
"""

from __future__ import annotations

import numpy as np

from explainers.types import Check, Evidence, Found, Verdict
from explainers.words import number, percent

LABEL = "Adds up"
GOOD, DOUBTFUL = 0.01, 0.05


def judge(found: Found) -> Check:
    """Compare the sum of the values with what the model itself says."""
    values = found.attribution.values
    total, mass = float(np.sum(values)), float(np.abs(values).sum())
    start = found.start
    if found.method.completeness == "no":  # such a method may still say what its values start from
        start = found.attribution.base_value
    if start is None:
        return _check(Verdict.NOT_APPLICABLE, _promises_nothing(found, total))
    change = found.explained - start
    span = f"({number(start)} → {number(found.explained)})"
    noise = 1e-6 * max(abs(start), abs(found.explained))
    if mass <= noise and abs(change) <= noise:
        return _check(
            Verdict.UNTESTABLE,
            f"The prediction is the same as without any input {span}, so there is no change to account for.",
        )
    error = abs(total - change) / max(mass, noise)  # one of them is above 0 here
    says = _says(total, change, mass, span)
    if found.method.completeness == "by_construction" and error < GOOD:
        return _check(
            Verdict.BY_CONSTRUCTION, f"{says} The method forces this sum, so it is no sign of being right.", error
        )
    verdict = Verdict.GOOD if error < GOOD else Verdict.DOUBTFUL if error < DOUBTFUL else Verdict.BAD
    if verdict is Verdict.BAD:
        says = f"**Does not add up.** {says} Do not read the sizes of these values as shares of the prediction."
    return _check(verdict, says, error)


def _promises_nothing(found: Found, total: float) -> str:
    if found.start is None:
        return f"{found.method.title} does not promise values that add up to anything."
    change = number(found.explained - found.start)
    return (
        f"The values sum to {number(total)} where the prediction changes by {change}: they are of another size than"
        " shares of it. Read them as an order, not as amounts."
    )


def _says(total: float, change: float, mass: float, span: str) -> str:
    if abs(change) > 0.05 * mass:
        return f"The values account for {percent(total / change)} of the change from the reference {span}."
    return f"The values sum to {number(total)}; the change from the reference is {number(change)} {span}."


def _check(verdict: Verdict, sentence: str, value: float | None = None) -> Check:
    return Check("adds_up", LABEL, verdict, sentence, value, "relative error" if value is not None else "")


CHECK = Evidence(
    "adds_up",
    LABEL,
    1,
    judge,
    question="Do the values account for the change from the reference to the prediction?",
    source="Sundararajan, Taly and Yan (2017), arXiv:1703.01365",
)
