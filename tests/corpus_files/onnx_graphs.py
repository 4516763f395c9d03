"""ONNX files of both of torch's exporters and of none, against the networks that they were made of or onnxruntime."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from corpus import Built, Entry
from small_networks import PHOTO, ROW, TEXT, Recurrent, Transformer, cnn, mlp, scores_of, tokenizer

from model_zoo.facts import Facts

TEXTS = Facts(tokenizer=tokenizer())
IDS = torch.arange(18).reshape(2, 9) % 14


def exported(
    folder: Path, network: torch.nn.Module, inputs: torch.Tensor, opset: int, dynamo: bool = False, moving: Any = (0,)
) -> Path:
    """A file of one of torch's exporters; some axes of the input may have any size."""
    path = folder / "model.onnx"
    given: dict[str, Any] = {"dynamic_axes": {"x": {axis: f"axis{axis}" for axis in moving}}}
    if dynamo:
        given = {"dynamic_shapes": (dict.fromkeys(moving, torch.export.Dim.AUTO),) if moving else None}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (inputs,), str(path), input_names=["x"], opset_version=opset, dynamo=dynamo,
            external_data=False, **given,
        )  # fmt: skip
    return path


def by_runtime(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Scores of one x by onnxruntime itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def scores(x: np.ndarray) -> np.ndarray:
        given = x[None].astype(np.float32) if x.dtype.kind == "f" else x[None]
        return session.run(None, {name: given})[0][0]

    return scores


def _of(network: Callable[[], Any], inputs: Any, raw: Any, opset: int, dynamo: bool = False, moving: Any = (0,)) -> Any:
    def build(folder: Path) -> Built:
        made = network()
        return Built(exported(folder, made, inputs, opset, dynamo, moving), raw, scores_of(made))

    return build


def _resnet(folder: Path) -> Built:
    from model_zoo.vision import torchvision

    torch.manual_seed(0)
    network = torchvision().models.resnet18(num_classes=5).eval()
    return Built(exported(folder, network, torch.rand(1, 3, 32, 32), 18), PHOTO, scores_of(network))


def _channels_last(folder: Path) -> Built:
    """As TensorFlow's converters write pictures: (n, height, width, channels)."""
    network = cnn(16)

    class Turned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x.permute(0, 3, 1, 2)).softmax(-1)

    path = exported(folder, Turned().eval(), torch.rand(2, 16, 16, 3), 17)
    scores = scores_of(Turned().eval())
    return Built(path, PHOTO, lambda x: scores(x.transpose(1, 2, 0)))


def _with_mask(folder: Path) -> Built:
    """As Hugging Face's exporter writes texts: ids and a mask of what is text."""
    network = Transformer()

    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.network(input_ids) * attention_mask.float().mean(1, keepdim=True)

    path = folder / "model.onnx"
    axes = {0: "batch", 1: "sequence"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Masked().eval(), (IDS, torch.ones_like(IDS)), str(path), input_names=["input_ids", "attention_mask"],
            output_names=["logits"], opset_version=17, dynamo=False,
            dynamic_axes={"input_ids": axes, "attention_mask": axes},
        )  # fmt: skip
    return Built(path, TEXT, scores_of(network))


def _quantised(folder: Path) -> Built:
    from onnxruntime.quantization import quantize_dynamic

    path = folder / "quantised.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_dynamic(exported(folder, mlp(), torch.rand(2, 6), 17), path)
    return Built(path, ROW, by_runtime(path))


def _scikit_like(folder: Path) -> Built:
    """As skl2onnx writes a classifier: a label, and chances that a ZipMap names."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    chances = onnx.ValueInfoProto()
    chances.name = "output_probability"
    chances.type.sequence_type.elem_type.map_type.key_type = onnx.TensorProto.INT64
    chances.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = floats
    made = np.random.default_rng(0).normal(size=(3, 7)).round(2)
    graph = helper.make_graph(
        [
            helper.make_node(
                "LinearClassifier", ["float_input"], ["label", "scores"], domain="ai.onnx.ml", post_transform="SOFTMAX",
                coefficients=made[:, :6].reshape(-1).tolist(), intercepts=made[:, 6].tolist(),
                classlabels_ints=[0, 1, 2],
            ),
            helper.make_node(
                "ZipMap", ["scores"], ["output_probability"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]
            ),
        ],
        "classifier",
        [helper.make_tensor_value_info("float_input", floats, [None, 6])],
        [helper.make_tensor_value_info("label", onnx.TensorProto.INT64, [None]), chances],
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=9
    )
    path = folder / "model.onnx"
    onnx.save(model, path)

    def scores(x: np.ndarray) -> np.ndarray:
        logits = made[:, :6].astype(np.float32) @ x.astype(np.float32) + made[:, 6].astype(np.float32)
        return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()

    return Built(path, ROW, scores)


PICTURES, ROWS = torch.rand(2, 3, 16, 16), torch.rand(2, 6)
ENTRIES = (
    Entry("onnx_cnn_17", "onnx", "a small CNN, torch's script exporter, opset 17", _of(cnn, PICTURES, PHOTO, 17)),
    Entry(
        "onnx_cnn_dynamo_20",
        "onnx",
        "a small CNN, torch's dynamo exporter, opset 20",
        _of(cnn, PICTURES, PHOTO, 20, True),
    ),
    Entry("onnx_resnet18", "onnx", "ResNet-18 of torchvision, opset 18", _resnet),
    Entry(
        "onnx_cnn_fixed",
        "onnx",
        "a small CNN for one picture at a time, opset 19",
        _of(cnn, PICTURES[:1], PHOTO, 19, False, ()),
    ),
    Entry("onnx_channels_last", "onnx", "a CNN that takes channels last and gives chances", _channels_last),
    Entry("onnx_mlp_dynamo_18", "onnx", "a perceptron, dynamo exporter, opset 18", _of(mlp, ROWS, ROW, 18, True)),
    Entry(
        "onnx_lstm_17",
        "onnx",
        "a BiLSTM of texts, opset 17",
        _of(lambda: Recurrent("LSTM"), IDS, TEXT, 17, False, (0, 1)),
        TEXTS,
    ),
    Entry(
        "onnx_gru_19",
        "onnx",
        "a BiGRU of texts, opset 19",
        _of(lambda: Recurrent("GRU"), IDS, TEXT, 19, False, (0, 1)),
        TEXTS,
    ),
    Entry(
        "onnx_transformer_20",
        "onnx",
        "a transformer of texts, opset 20",
        _of(Transformer, IDS, TEXT, 20, False, (0, 1)),
        TEXTS,
    ),
    Entry(
        "onnx_transformer_dynamo_18",
        "onnx",
        "a transformer of texts, dynamo exporter, opset 18",
        _of(lambda: Transformer(False), IDS, TEXT, 18, True, (0, 1)),
        TEXTS,
    ),
    Entry("onnx_with_mask", "onnx", "a transformer of token ids and their mask", _with_mask, TEXTS),
    Entry("onnx_quantised", "onnx", "a perceptron, dynamically quantised by onnxruntime", _quantised, gradient=""),
    Entry("onnx_scikit_like", "onnx", "a linear classifier as skl2onnx writes it", _scikit_like, gradient=""),
)
