"""A loaded Keras model as a torch module with one input like ours, and what its layers say of that input.

image   x (n, C, H, W) -> the model's (n, H, W, C), where it keeps channels last
table   x (n, features) -> one or several inputs (n, k), or rows of time steps (n, T, F), all numbers side by side
text    x (n, tokens) -> the model's (n, length), filled up; gradients live on the output of the embedding
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from torch import nn

from model_zoo.facts import IMAGENET_MEAN, IMAGENET_STD, Facts
from model_zoo.files import Opened
from model_zoo.types import Column, UserError

MOST_FEATURES = 2_000
CAFFE = Facts(order="BGR", scale=255.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0))
CENTRED = Facts(scale=255.0, mean=(127.5,) * 3, std=(127.5,) * 3)
TORCH = Facts(scale=1.0, mean=IMAGENET_MEAN, std=IMAGENET_STD)
BYTES = Facts(scale=255.0, mean=(0.0,) * 3, std=(1.0,) * 3)
SHARES = Facts(scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
# How keras.applications prepares a picture outside of the model, by how the model's name begins; longest first.
APPLICATIONS = (
    ("mobilenetv3", BYTES),
    ("efficientnet", BYTES),
    ("convnext", BYTES),
    ("resnet50v2", CENTRED),
    ("resnet101v2", CENTRED),
    ("resnet152v2", CENTRED),
    ("resnet", CAFFE),
    ("vgg1", CAFFE),
    ("mobilenet", CENTRED),
    ("inception", CENTRED),
    ("xception", CENTRED),
    ("nasnet", CENTRED),
    ("densenet", TORCH),
)


class Network(nn.Module):
    """A Keras model called as `training=False`, on the device of its input; its layers are submodules by name."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = [model]  # in a list, so that its layers are listed once and by their own names
        self.layers = nn.ModuleDict({one.name.replace(".", "_"): one for one in model.layers if one.name})

    def scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        """What the model returns for its inputs, each (n, ...)."""
        import keras

        model = self._model[0]
        with keras.device(str(inputs[0].device)):
            found = model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)
        if isinstance(found, dict):
            found = next(iter(found.values()))
        return found[0] if isinstance(found, (list, tuple)) else found


class Pictures(Network):
    """x (n, channels, height, width)."""

    def __init__(self, model: Any, last: bool) -> None:
        super().__init__(model)
        self.last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (n, outputs)."""
        return self.scores(x.permute(0, 2, 3, 1) if self.last else x)


class Rows(Network):
    """x (n, features): the numbers of every input side by side; `shapes` are those of the inputs without n."""

    def __init__(self, model: Any, shapes: tuple[tuple[int, ...], ...], whole: tuple[bool, ...]) -> None:
        super().__init__(model)
        self.shapes, self.whole = shapes, whole

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (n, outputs)."""
        widths = [math.prod(shape) for shape in self.shapes]
        if x.shape[1] != sum(widths):
            raise UserError(f"The model takes {sum(widths):,} numbers in a row; {x.shape[1]:,} came.")
        parts = torch.split(x, widths, dim=1)
        shaped = [part.reshape(len(x), *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return self.scores(*(one.round().int() if ids else one for one, ids in zip(shaped, self.whole, strict=True)))


class Lookup(nn.Module):
    """The model's own embedding as a torch module, so that what it returns can be replaced."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._layer = [layer]
        self.num_embeddings = int(layer.input_dim)
        self._call = layer.quantized_call if getattr(layer, "quantization_mode", None) else layer.call

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(n, tokens, width) of ids (n, tokens)."""
        return self._call(ids)


class Texts(Network):
    """x (n, tokens); a model of one length has shorter texts filled up with `pad`, at the front or the end."""

    def __init__(self, model: Any, layer: Any, length: int | None, pad: int, front: bool) -> None:
        super().__init__(model)
        self.lookup = Lookup(layer)
        self.length, self.pad, self.front = length, pad, front
        self._entry: torch.Tensor | None = None
        for name in ("call", "quantized_call"):  # past Keras' own setattr, which would list it as a layer
            object.__setattr__(layer, name, self._placed)

    def _placed(self, ids: Any, *args: Any, **named: Any) -> torch.Tensor:
        fits = self._entry is not None and self._entry.shape[:2] == ids.shape
        return self._entry if fits and self._entry is not None else self.lookup._call(ids)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Scores (n, outputs)."""
        entry = self.lookup(ids)
        missing = 0 if self.length is None else self.length - ids.shape[1]
        if missing < 0:
            raise UserError(f"The model reads {self.length:,} tokens; {ids.shape[1]:,} came. Set limit={self.length}.")
        if missing:
            fill = ids.new_full((len(ids), missing), self.pad)
            empty = self.lookup._call(fill)
            ids = torch.cat([fill, ids] if self.front else [ids, fill], 1)
            entry = torch.cat([empty, entry] if self.front else [entry, empty], 1)
        self._entry = entry
        try:
            return self.scores(ids)
        finally:
            self._entry = None


def opened(model: Any, what: str, said: Facts, name: str) -> Opened:
    """The model as a network with what its layers say; UserError if it is none that can be explained."""
    if not getattr(model, "built", False) or not getattr(model, "inputs", None):
        raise UserError(
            f"{name} does not say the shape of its input: call the model once, or start it with keras.Input(shape), and"
            " save it again."
        )
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        shapes = " and ".join(str(tuple(one.shape)) for one in model.outputs)
        raise UserError(
            f"{name} returns {shapes}; one row of scores (n, outputs) for each input can be explained. Save a"
            " keras.Model that ends there."
        )
    told = _output(model)
    notes: tuple[str, ...] = ()
    network: Network
    embedding = _embedding(model)
    inputs = [tuple(one.shape[1:]) for one in model.inputs]
    if embedding is not None and len(inputs) == 1:
        network, guess, notes = _texts(model, embedding, inputs[0][0], said)
    elif len(inputs) == 1 and len(inputs[0]) == 3:
        network, guess = _pictures(model, inputs[0])
    else:
        network, guess = _rows(model, inputs, name)
    parameters = sum(one.numel() for one in network.parameters())
    layers = len(network.layers)
    return Opened(network, told.over(guess), f"{what}, {layers} layers, {parameters:,} parameters", notes)


def _pictures(model: Any, shape: tuple[Any, ...]) -> tuple[Network, Facts]:
    first = _convolution(model)
    last = first.data_format != "channels_first" if first is not None else shape[0] not in (1, 3) or shape[2] in (1, 3)
    height, width, channels = shape if last else (shape[1], shape[2], shape[0])
    colours = channels or 3
    scaling = _scaling(model)
    if colours != 3:
        scaling = Facts(scale=scaling.scale if not scaling.order else 1.0, mean=(0.0,) * colours, std=(1.0,) * colours)
    size = (height, width) if height and width else None
    found = Facts(modality="image", size=size, channels=colours, resample="bilinear", crop=1.0)
    return Pictures(model, last), found.over(scaling)


def _rows(model: Any, inputs: list[tuple[Any, ...]], name: str) -> tuple[Network, Facts]:
    shapes = tuple(shape or (1,) for shape in inputs)
    sizes = [size for shape in shapes for size in shape]
    spelt = " and ".join(str((None, *shape)) for shape in inputs)
    if any(str(one.dtype) == "string" for one in model.inputs):
        raise UserError(f"{name} takes raw texts; save the part of it that takes token ids or numbers.")
    if None in sizes or (len(inputs) > 1 and any(len(shape) > 1 for shape in shapes)) or max(map(len, shapes)) > 2:
        raise UserError(
            f"{name} takes {spelt}; pictures (height, width, channels), token ids, and tables or time steps of a fixed"
            " length can be explained. Save a keras.Model with one such input."
        )
    if sum(map(math.prod, shapes)) > MOST_FEATURES:
        raise UserError(f"{name} takes {spelt}: more than {MOST_FEATURES:,} numbers in a row, which is no table.")
    columns = tuple(
        Column(one)
        for shape, given in zip(shapes, model.inputs, strict=True)
        for one in _names(shape, given.name if len(shapes) > 1 else "")
    )
    whole = tuple("int" in str(one.dtype) for one in model.inputs)
    return Rows(model, shapes, whole), Facts(modality="tabular", columns=columns)


def _names(shape: tuple[int, ...], owner: str) -> list[str]:
    """The names of an input's numbers: its own, numbered, or of a step in time."""
    if len(shape) == 2:
        steps, features = shape
        parts = [f"feature {one} at step {step}" for step in range(steps) for one in range(features)]
        return parts if features > 1 else [f"step {step}" for step in range(steps)]
    if owner:
        return [owner] if shape[0] == 1 else [f"{owner} {one}" for one in range(shape[0])]
    return [f"feature {one}" for one in range(shape[0])]


def _texts(model: Any, layer: Any, length: int | None, said: Facts) -> tuple[Network, Facts, tuple[str, ...]]:
    pad, front = _padding(said.tokenizer)
    side = "front" if front else "end"
    network = Texts(model, layer, length, pad, front)
    notes = (
        () if length is None else (f"Texts of fewer than {length} tokens are filled up at the {side} with id {pad}.",)
    )
    return network, Facts(modality="text", limit=length, embedding="lookup"), notes


def _padding(tokenizer: str) -> tuple[int, bool]:
    """The id that fills up a text, and whether at the front: as the tokenizer says, else as pad_sequences does."""
    try:
        said = json.loads(tokenizer).get("padding") or {}
        return int(said.get("pad_id", 0)), str(said.get("direction", "Left")) == "Left"
    except (ValueError, AttributeError, TypeError, RecursionError):
        return 0, True


def _output(model: Any) -> Facts:
    """What the last activation says: chances, one chance, a value, or nothing for several numbers."""
    width = model.outputs[0].shape[-1]
    last = model.outputs[0]._keras_history.operation
    while hasattr(last, "layers") and getattr(last, "outputs", None):  # a model inside the model
        last = last.outputs[0]._keras_history.operation
    kind = type(last).__name__.lower()
    activation = getattr(getattr(last, "activation", None), "__name__", kind)
    if activation == "softmax":
        return Facts(task="classification", output="probability")
    if activation == "sigmoid":
        return Facts(task="binary", output="probability") if width == 1 else Facts(task="regression", output="value")
    return Facts(task="regression", output="value") if width == 1 else Facts()


def _embedding(model: Any) -> Any:
    """The keras Embedding that is given the model's own input, if there is exactly one."""
    import keras

    todo, found = [model], []
    while todo:
        one = todo.pop()
        for layer in one.layers:
            if isinstance(layer, keras.layers.Embedding):
                given = [part for node in layer._inbound_nodes for part in node.input_tensors]
                mine = [part for part in given if type(part._keras_history.operation).__name__ == "InputLayer"]
                found += [layer] if mine and len(given[0].shape) == 2 else []
            elif hasattr(layer, "layers") and getattr(layer, "inputs", None):
                todo.append(layer)
    return found[0] if len(found) == 1 else None


def _flat(model: Any) -> list[Any]:
    """Every layer in order, those of models inside it in their place."""
    found: list[Any] = []
    for layer in model.layers:
        found += _flat(layer) if hasattr(layer, "layers") and isinstance(layer.layers, list) else [layer]
    return found


def _convolution(model: Any) -> Any:
    return next((one for one in _flat(model) if hasattr(one, "data_format") and hasattr(one, "kernel_size")), None)


def _scaling(model: Any) -> Facts:
    """What white is for this model: 255 where it starts with a Rescaling, as keras.applications does by name, or 1."""
    for layer in _flat(model):
        kind = type(layer).__name__
        if kind in ("Rescaling", "Normalization"):
            return BYTES
        if hasattr(layer, "kernel") or hasattr(layer, "kernel_size"):
            break
    names = [model.name, *(one.name for one in model.layers if hasattr(one, "layers"))]
    for name in names:
        for beginning, facts in APPLICATIONS:
            if name.lower().startswith(beginning):
                return facts
    return SHARES
