"""ONNX tensors as torch tensors, and the names of their types."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch

from model_zoo.formats._onnx.registry import Unsupported

TYPES: dict[int, torch.dtype] = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.INT8: torch.int8,
    onnx.TensorProto.UINT16: torch.uint16,
    onnx.TensorProto.INT16: torch.int16,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.BOOL: torch.bool,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.UINT32: torch.uint32,
    onnx.TensorProto.UINT64: torch.uint64,
    onnx.TensorProto.COMPLEX64: torch.complex64,
    onnx.TensorProto.COMPLEX128: torch.complex128,
    onnx.TensorProto.BFLOAT16: torch.bfloat16,
    onnx.TensorProto.FLOAT8E4M3FN: torch.float8_e4m3fn,
    onnx.TensorProto.FLOAT8E5M2: torch.float8_e5m2,
}


def dtype(number: int) -> torch.dtype:
    """The torch type of an ONNX type number; Unsupported if torch has none."""
    if number not in TYPES:
        raise Unsupported(f"the type {onnx.TensorProto.DataType.Name(number)}")
    return TYPES[number]


def tensor(found: onnx.TensorProto) -> torch.Tensor:
    """An initializer or a constant, as a tensor of its own memory."""
    if found.data_type == onnx.TensorProto.STRING:
        raise Unsupported("texts inside the graph")
    return from_array(onnx.numpy_helper.to_array(found))


def from_array(array: Any) -> torch.Tensor:
    """A numpy array, also of the small types that numpy itself does not have."""
    array = np.asarray(array)
    name = array.dtype.name
    if name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    if name in ("float8_e4m3fn", "float8_e5m2"):
        return torch.from_numpy(array.view(np.uint8).copy()).view(getattr(torch, name))
    if name in ("int4", "int2"):
        return torch.from_numpy(array.astype(np.int8))
    if name in ("uint4", "uint2"):
        return torch.from_numpy(array.astype(np.uint8))
    if array.dtype.kind not in "biufc":
        raise Unsupported(f"values of the type {name}")
    return torch.from_numpy(array.copy())


def whole(found: torch.Tensor) -> list[int]:
    """The whole numbers in a tensor of any shape."""
    return [int(one) for one in found.reshape(-1).tolist()]
