"""torchvision where its compiled operators do not load, as with a CPU build of torch.

Its PyPI wheel is compiled against CUDA; with another torch the import fails with "operator torchvision::nms does not
exist", and timm, transformers and onnx2torch fail with it. Declaring the schemas of the two operators that torchvision
registers fake kernels for is enough: networks do not call them.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from model_zoo.types import UserError

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # a library's schemas live as long as it does


@functools.cache
def torchvision() -> ModuleType:
    """torchvision, importable whatever torch this is; UserError if it is not installed."""
    try:
        import torchvision as found
    except ModuleNotFoundError as error:
        raise UserError(
            "This model needs torchvision, which is not installed; run: pip install torchvision."
        ) from error
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        found = _with_schemas()
    return found


def ready() -> None:
    """Make timm, transformers and onnx2torch importable, which import torchvision where it is installed."""
    try:
        torchvision()
    except UserError:
        return  # without torchvision they do without


def _with_schemas() -> ModuleType:
    import sys

    import torch

    for name in [one for one in sys.modules if one.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # the failed attempt leaves half of it behind
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    _declared.append(library)
    import torchvision as found

    return found
