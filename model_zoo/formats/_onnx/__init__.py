"""ONNX graphs run by torch, differentiably: one file a family of operators, interpreter.py runs them in order.

The meaning of each operator is that of the ONNX operator specification (onnx.ai/onnx/operators), checked against the
node cases of onnx.backend.test (docs/onnx.md).
"""
