"""How long a bare state dict of 100 MB takes to open, beside what nobody can avoid: reading and building.

    python -m benchmarks.opening

A ResNet-50 of torchvision, random weights. The floor is `safetensors.torch.load_file` and torchvision's constructor in
the same process; recognition is also timed in a fresh process, where it includes its own imports and the index.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from benchmarks.measure import commit, machine, pair, seconds
from model_zoo import recognition, vision
from model_zoo.facts import Facts
from model_zoo.files import ModelFile
from model_zoo.opening import format_of, open_file

TIMES = 2.0  # of the floor, that opening may take
LONGEST = 1.0  # seconds, that recognition may take
COLD = """
import json, sys, time
shapes = {name: tuple(one) for name, one in json.load(open(sys.argv[1])).items()}
began = time.perf_counter()
from model_zoo import recognition
found = recognition.recognise(shapes)
print(time.perf_counter() - began, found[0].id)
"""


def main() -> None:
    """Print one table."""
    print(f"{machine()}; commit {commit()}\n")
    print("| what | held | measured |\n|---|---|---|")
    models = vision.torchvision().models
    with tempfile.TemporaryDirectory() as folder:
        state = models.resnet50().state_dict()
        tensors, archive = Path(folder, "model.safetensors"), Path(folder, "model.pt")
        save_file(state, tensors)
        torch.save(state, archive)

        def floor() -> None:
            load_file(tensors)
            models.resnet50()

        for path in (tensors, archive):
            form = format_of(ModelFile(path))

            def opened(path: Path = path, form: object = form) -> None:
                form.open(ModelFile(path), Facts())  # type: ignore[attr-defined]

            ours, theirs = pair(opened, floor, repeats=9)
            print(
                f"| {path.suffix[1:]}, {path.stat().st_size / 1e6:.0f} MB: recognised, built, loaded and checked |"
                f" ≤ {TIMES:g} × {theirs * 1e3:.0f} ms (read and built) | {ours * 1e3:.0f} ms ({ours / theirs:.2f} ×) |"
            )
            whole = seconds(lambda path=path: open_file(ModelFile(path)), repeats=3)
            print(f"| the same, with a first run of the network to learn what it returns | | {whole * 1e3:.0f} ms |")
        shapes = {name: tuple(one.shape) for name, one in state.items()}
        warm = seconds(lambda: recognition.recognise(shapes), repeats=9)
        print(f"| recognition, warm | ≤ {LONGEST:g} s | {warm * 1e3:.0f} ms |")
        print(f"| recognition, in a fresh process | ≤ {LONGEST:g} s | {_cold(folder, shapes) * 1e3:.0f} ms |")


def _cold(folder: str, shapes: dict[str, tuple[int, ...]]) -> float:
    """Seconds of the first recognition in a process that has imported nothing; the median of five."""
    import json
    import statistics

    path = Path(folder, "shapes.json")
    path.write_text(json.dumps(shapes))
    command = [sys.executable, "-c", COLD, str(path)]
    times = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]) for _ in range(5)
    ]
    return statistics.median(times)


if __name__ == "__main__":
    main()
