"""ONNX as both of torch's exporters write it today, opsets 17 to 20: opened, held against the network, explained.

    python benchmarks/onnx_exporters.py

docs/onnx.md has what it prints.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from corpus_files.onnx_graphs import IDS, exported  # noqa: E402
from small_networks import PHOTO, ROW, TEXT, Recurrent, Transformer, cnn, mlp, scores_of, tokenizer  # noqa: E402

from explainers import explain  # noqa: E402
from model_zoo.facts import Facts  # noqa: E402
from model_zoo.files import ModelFile  # noqa: E402
from model_zoo.opening import CONTAINED, open_file  # noqa: E402
from model_zoo.types import Capability  # noqa: E402
from model_zoo.vision import torchvision  # noqa: E402

PICTURES = torch.rand(2, 3, 16, 16)
NETWORKS = {
    "CNN": (cnn, PICTURES, PHOTO),
    "ResNet-18": (lambda: torchvision().models.resnet18(num_classes=5).eval(), torch.rand(2, 3, 64, 64), PHOTO),
    "perceptron": (mlp, torch.rand(2, 6), ROW),
    "BiLSTM": (lambda: Recurrent("LSTM"), IDS, TEXT),
    "BiGRU": (lambda: Recurrent("GRU"), IDS, TEXT),
    "transformer, fused": (Transformer, IDS, TEXT),
    "transformer, written out": (lambda: Transformer(False), IDS, TEXT),
}


def main() -> None:
    """One line a network: files, those with gradients, and the largest difference of a score."""
    torch.set_num_threads(1)
    for title, (make, inputs, raw) in NETWORKS.items():
        apart, good, count = 0.0, 0, 0
        facts = Facts(tokenizer=tokenizer()) if inputs is IDS else Facts()
        for opset in (17, 18, 19, 20):
            for dynamo in (False, True):
                network = make()
                with tempfile.TemporaryDirectory() as folder:
                    moving = (0, 1) if inputs is IDS else (0,)
                    path = exported(Path(folder), network, inputs, opset, dynamo, moving)
                    model = open_file(ModelFile(path), facts, trusted=CONTAINED)
                sample = model.sample(raw)
                count += 1
                good += Capability.GRADIENTS in model.can and bool(
                    np.abs(explain(model, sample, "saliency").values).max()
                )
                apart = max(apart, float(np.abs(model.predict(sample).raw - scores_of(network)(sample.x)).max()))
        print(f"{title:25} {count} files, {good} with gradients, scores {apart:.0e} apart", flush=True)


if __name__ == "__main__":
    main()
