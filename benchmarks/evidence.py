"""What the trust panel costs: python -m benchmarks.evidence [model] [sample]

For a few methods: seconds of the explanation with lines 1 and 2, the share of these that the two lines took (what they
ask of the model, and their judgement), and the seconds of the four lines on demand, one by one.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import explainers
import model_zoo
from explainers import examining, explaining, registry
from model_zoo import catalogue

METHODS = ("grad_cam", "integrated_gradients", "occlusion", "kernel_shap", "lime")


def main() -> None:
    """A row a method."""
    warnings.filterwarnings("ignore")
    name, chosen = (*sys.argv[1:], *("efficientnet_lite0", "coffee")[len(sys.argv) - 1 :])
    model = model_zoo.load(name)
    example = next(one for one in catalogue.examples() if one.id == chosen)
    sample = model.sample(str(catalogue.SAMPLES / example.path))
    explainers.explain(model, sample, "saliency")  # loads and warms
    lines = [one.id for one in registry.checks() if one.on_demand]
    print(f"| {name}, {chosen} | explained, s | lines 1 and 2 | {' | '.join(lines)} | all, s | overall |")
    print("|---|" + "---|" * (len(lines) + 4))
    for method in METHODS:
        spent = [0.0]
        with _timed(explaining._Asked, "found", spent), _timed(examining, "panel", spent):
            began = time.perf_counter()
            found = explainers.explain(model, sample, method)
            whole = time.perf_counter() - began
        seconds = []
        for line in lines:
            began = time.perf_counter()
            found = explainers.scrutinise(model, found, [line])
            seconds.append(time.perf_counter() - began)
        told = " | ".join(f"{one:.1f}" for one in seconds)
        print(
            f"| {method} | {whole:.2f} | {100 * spent[0] / whole:.1f} % | {told} | {whole + sum(seconds):.1f} |"
            f" {found.overall.verdict.value} |",
            flush=True,
        )


class _timed:
    """Adds the seconds that a function takes to a list of one."""

    def __init__(self, home: Any, name: str, spent: list[float]) -> None:
        self.home, self.name, self.spent, self.own = home, name, spent, getattr(home, name)

    def __enter__(self) -> None:
        def work(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return self.own(*given, **named)
            finally:
                self.spent[0] += time.perf_counter() - began

        setattr(self.home, self.name, work)

    def __exit__(self, *error: object) -> None:
        setattr(self.home, self.name, self.own)


if __name__ == "__main__":
    main()
