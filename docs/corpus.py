"""Writes docs/corpus.md: every real model file of the tests, opened, compared with its own library, and explained.

python docs/corpus.py        # builds each file in a temporary folder; a few minutes
"""

from __future__ import annotations

import datetime
import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path

HOME = Path(__file__).parent
sys.path[:0] = [str(HOME.parent), str(HOME.parent / "tests")]


def main() -> None:
    """Open them all and write the table."""
    import numpy as np
    from corpus import entries

    from explainers import explain
    from model_zoo.files import ModelFile
    from model_zoo.opening import CONTAINED, format_of, open_file

    rows = []
    for entry in entries():
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            built = entry.build(Path(folder))
            began = time.perf_counter()
            file = ModelFile(built.path)
            model = open_file(file, entry.facts, trusted=CONTAINED)
            opened = time.perf_counter() - began
            sample = model.sample(built.raw)
            expected = np.asarray(built.scores(sample.x), dtype=float).reshape(-1)
            apart = np.abs(model.predict(sample).raw - expected).max() / max(1.0, np.abs(expected).max())
            done = []
            for method, parameters in ((entry.gradient, {}), (entry.perturbation, entry.parameters)):
                if method:
                    explain(model, sample, method, **parameters)
                    done.append(method.replace("_", " "))
            rows.append(
                f"| {entry.what} | {format_of(file).title} | {opened:.2f} s | {apart:.0e} | {', '.join(done)} |"
            )
            print(rows[-1], flush=True)
    bare = sum(one.bare for one in entries())
    (HOME / "corpus.md").write_text(
        "# Real model files that open\n\n"
        f"Written by `python docs/corpus.py` on {datetime.date.today()}, {platform.machine()}, {platform.system()}."
        f" {len(rows)} files, {bare} of them state dicts without their code. Each is made in the tests from installed"
        " packages, most of them small and with seeded weights; the difference is the largest of any score from what"
        " the file's own library says of the same input, over the larger of 1 and the largest score.\n\n"
        "| file | format | opened in | difference | explained by |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    main()
