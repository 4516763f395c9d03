"""Which ONNX operators torch can run: the node cases of onnx.backend.test, by onnx2torch, onnx2pytorch and ours.

    python benchmarks/onnx_nodes.py

A case counts where the library converts it and every output is right: within 1e-4 of its largest number, in half
precision and below within 2e-2. docs/onnx.md has what it prints.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
warnings.simplefilter("ignore")

import torch  # noqa: E402
from onnx_cases import cases, right  # noqa: E402

from model_zoo.formats._onnx.converting import _onnx2pytorch, _onnx2torch  # noqa: E402
from model_zoo.formats._onnx.interpreter import converted  # noqa: E402

LIBRARIES = {"onnx2torch": _onnx2torch, "onnx2pytorch": _onnx2pytorch, "ours": converted}


def main() -> None:
    """Run every case by every library and print the shares."""
    torch.set_num_threads(1)
    found = cases()
    passed: dict[str, set[str]] = {name: set() for name in LIBRARIES}
    for case in found:
        for name, convert in LIBRARIES.items():
            try:
                if right(case, convert):
                    passed[name].add(case.name)
            except Exception:  # a converter may raise anything
                continue
    together = set().union(*passed.values())
    plain = {one.name for one in found if "_expanded" not in one.name}
    print(f"{len(found):,} node cases, {len(plain):,} without those that write an operator out by others")
    for name, good in (*passed.items(), ("together", together)):
        whole, some = len(good) / len(found), len(good & plain) / len(plain)
        print(f"{name:14} {len(good):5,} {whole:6.1%} {some:6.1%}")
    print("only by a library:", ", ".join(sorted(together - passed["ours"])) or "none")
    missing = Counter(one.model.graph.node[-1].op_type for one in found if one.name not in together)
    print("missing:", ", ".join(f"{name} {count}" for name, count in missing.most_common()))


if __name__ == "__main__":
    main()
