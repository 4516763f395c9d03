"""Imported by the warm process of tests/test_hostile.py: what would take a child seconds to import."""

import importlib

from model_zoo import vision

vision.ready()
for one in (
    *("torch", "safetensors.torch", "explainers.explaining", "model_zoo.wrapping", "model_zoo.modalities.text"),
    *("sklearn", "pandas", "onnx", "xgboost", "lightgbm", "catboost", "keras", "h5py", "skops.io"),
    *("onnx2torch", "onnx2pytorch", "transformers.models.bert.modeling_bert", "hostile"),
):
    importlib.import_module(one)
