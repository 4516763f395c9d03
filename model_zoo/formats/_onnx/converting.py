"""An ONNX model as a torch module: by our own interpreter or a library's, and only if its scores are onnxruntime's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import onnx
import torch

from model_zoo import vision
from model_zoo.formats import _graphs
from model_zoo.formats._onnx import precision
from model_zoo.formats._onnx.interpreter import all_nodes
from model_zoo.formats._onnx.interpreter import converted as interpreted
from model_zoo.formats._onnx.quantised import ROUNDING
from model_zoo.formats._onnx.registry import Unsupported
from model_zoo.model import tensor_of
from model_zoo.types import quoted

CLOSE = 1e-4  # of the largest score: how near a conversion has to come
CLOSE_TO_HALF = 1e-2  # where onnxruntime rounds to half precision on the way
HALF = "Its numbers have half precision; it is computed in float32, and agrees with onnxruntime within 1%."


@dataclass(frozen=True)
class Found:
    """A conversion that agrees, and who made it if not we; or why there is none."""

    graph: _graphs.Graph | None
    by: str = ""
    reason: str = ""
    close: float = CLOSE
    notes: tuple[str, ...] = ()


def converted(
    model: onnx.ModelProto, original: _graphs.Graph, settings: dict[str, Any], inputs: torch.Tensor | None
) -> Found:
    """The first conversion whose scores are those of the original."""
    rounding = sorted({one.op_type for one in all_nodes(model.graph)} & set(ROUNDING))
    if rounding:
        return Found(None, reason=f"its numbers are rounded on the way ({', '.join(rounding)}), so it has no gradient")
    reason = ""
    output = original.network._signature.output
    wide = precision.widened(model)
    notes, close = ((), CLOSE) if wide is None else ((HALF,), CLOSE_TO_HALF)
    model = wide or model
    if settings["kind"] in precision.TYPES:
        settings = {**settings, "kind": torch.float32}
    settings = {**settings, "smooth": precision.cast_first(model, original.network._signature.name)}
    for by, convert in (("", interpreted), ("onnx2torch", _onnx2torch), ("onnx2pytorch", _onnx2pytorch)):
        try:
            network = Chosen(convert(model), [one.name for one in model.graph.output].index(output))
            graph = _graphs.Graph(network.eval().requires_grad_(False), **settings)
            if inputs is None or _agrees(graph, original, inputs, close):
                return Found(graph, by, close=close, notes=notes)
            reason = reason or "its scores by torch are not those of onnxruntime"
        except (MemoryError, KeyboardInterrupt):
            raise
        except Unsupported as error:
            reason = f"torch lacks {error}"
        except Exception as error:  # a converter may raise anything
            reason = reason or f"torch could not run it: {quoted(error, 120)}"
    return Found(None, reason=reason)


@final
class Chosen(torch.nn.Module):
    """A network of several outputs, with the one that is explained."""

    def __init__(self, network: Any, place: int) -> None:
        super().__init__()
        self.network = network
        self.place = place

    def forward(self, *inputs: torch.Tensor) -> Any:
        """That output."""
        found = self.network(*inputs)
        return found[self.place] if isinstance(found, (tuple, list)) else found


def _onnx2torch(model: onnx.ModelProto) -> Any:
    vision.ready()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx2torch import convert

        return convert(model)


def _onnx2pytorch(model: onnx.ModelProto) -> Any:
    vision.ready()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx2pytorch import ConvertModel

        return ConvertModel(model, experimental=True)


def _agrees(graph: _graphs.Graph, original: _graphs.Graph, inputs: torch.Tensor, close: float) -> bool:
    """Whether the scores are the original's; settles how many rows the graph takes at once."""
    with torch.no_grad():
        if not _graphs.any_number(graph, inputs):
            graph.batch = original.batch or 1
        expected = tensor_of(original(inputs.clone()))
        found = tensor_of(graph(inputs.clone()))
        return _near(found, expected, close)


def _near(found: torch.Tensor, expected: torch.Tensor, close: float) -> bool:
    if found.shape != expected.shape:
        return False
    wide = expected.double()
    known = wide.isfinite()
    if not torch.equal(known, found.isfinite()) or not bool(known.any()):
        return torch.equal(known, found.isfinite())
    scale = max(float(wide[known].abs().max()), 1e-3)
    return float((found.double() - wide)[known].abs().max()) <= close * scale


def settled(
    graph: _graphs.Graph, original: _graphs.Graph, close: float
) -> Callable[[Any], tuple[_graphs.Graph, str] | None]:
    """A check of the first real input x: the original instead, where torch's scores are not those of onnxruntime."""

    def settle(x: Any) -> tuple[_graphs.Graph, str] | None:
        inputs = torch.as_tensor(np.asarray(x))[None]
        inputs = inputs.float() if inputs.is_floating_point() else inputs
        device = next((one.device for one in graph.parameters()), inputs.device)
        with torch.no_grad():
            expected = tensor_of(original(inputs))
            found = tensor_of(graph(inputs.to(device))).cpu()
        if _near(found, expected, close):
            return None
        if original.batch is None:
            _graphs.fit(original, torch.cat([inputs, inputs]))
        apart = (
            f"{float((found.double() - expected.double()).abs().max()):.2g} from those of onnxruntime"
            if found.shape == expected.shape
            else "of another shape than those of onnxruntime"
        )
        return original, (
            f"Its scores by torch on the first input were {apart}, so it is explained as a black box, by onnxruntime"
            " and without gradients."
        )

    return settle
