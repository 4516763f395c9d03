"""The node cases of onnx.backend.test: graphs of one operator each, with inputs and their outputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch

HALF = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
CLOSE, CLOSE_HALF = 1e-4, 2e-2  # of the largest number of an output


def cases() -> list[Any]:
    """Every node case, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases divide by zero on purpose
        from onnx.backend.test.loader import load_model_tests

        return sorted(load_model_tests(kind="node"), key=lambda one: one.name)


def right(case: Any, convert: Callable[[Any], Any]) -> bool:
    """Whether a converter makes a network of the case that returns what it should."""
    from model_zoo.formats._onnx.tensors import from_array

    def given(one: Any) -> Any:
        if isinstance(one, list):
            return [given(part) for part in one]
        return None if one is None else from_array(onnx.numpy_helper.to_array(one) if _proto(one) else one)

    network = convert(case.model).eval()
    for inputs, outputs in case.data_sets:
        with torch.no_grad():
            found = network(*map(given, inputs))
        found = list(found) if isinstance(found, tuple) else [found]
        if len(found) < len(outputs) or not all(map(_same, found, outputs)):
            return False
    return True


def _proto(one: Any) -> bool:
    return isinstance(one, onnx.TensorProto)


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(_same, found, expected))
    if expected is None or found is None:
        return found is expected
    expected = np.asarray(onnx.numpy_helper.to_array(expected) if _proto(expected) else expected)
    half = expected.dtype.name in HALF
    if expected.dtype.kind not in "biufc":
        expected = expected.astype(np.float32)
    one = found.detach()
    one = one.float() if str(one.dtype).removeprefix("torch.") in HALF else one
    one = one.numpy()
    if one.shape != expected.shape:
        return False
    one, expected = (part.astype(np.complex128 if part.dtype.kind == "c" else np.float64) for part in (one, expected))
    finite = expected[np.isfinite(expected)]
    scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
    return bool(np.allclose(one, expected, rtol=0, atol=scale * (CLOSE_HALF if half else CLOSE), equal_nan=True))
