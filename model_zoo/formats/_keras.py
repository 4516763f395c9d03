"""Models of Keras 3 on torch: the library set up, a config looked at before it is built, a model as a torch module.

Keras runs on torch here (KERAS_BACKEND=torch), so gradients of the scores with respect to the input are torch's own.
Every model is loaded with compile=False and safe_mode=True. Versions before 3.13.2 read files that the later ones
refuse (CVE-2026-0897), so they are not used. No settings file is read or written: KERAS_HOME is a place that cannot be.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_zoo.types import UserError

OLDEST = (3, 13, 2)
HOLDERS = ("model", "layers", "layer", "backward_layer", "cell", "cells")  # keys under which a config keeps layers
WRAPPERS = {
    "PruneLowMagnitude": "apply tfmot.sparsity.keras.strip_pruning",
    "QuantizeWrapperV2": "remove its quantization wrappers",
    "QuantizeLayer": "remove its quantization wrappers",
}
TENSORFLOW = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
# What old files say of a layer and Keras 3 no longer takes, with the values that mean what Keras 3 does anyway.
RECURRENT: dict[str, tuple[Any, ...]] = {"time_major": (False,), "implementation": (0, 1, 2)}
DROPPED: dict[str, dict[str, tuple[Any, ...]]] = {
    "DepthwiseConv1D": {"groups": (1, None)},
    "DepthwiseConv2D": {"groups": (1, None)},
    "LSTM": RECURRENT,
    "GRU": RECURRENT,
    "SimpleRNN": RECURRENT,
    "RNN": RECURRENT,
    "ConvLSTM2D": RECURRENT,
    "BatchNormalization": {"virtual_batch_size": (None,), "fused": (None, True, False), "renorm": (False,)},
}
SAMES = {  # names that are the same layer now
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "LSTMV2": "LSTM",
    "GRUV2": "GRU",
}


def library() -> Any:
    """keras on torch; UserError if it is missing, too old or already runs on something else."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
        os.environ.setdefault("KERAS_HOME", os.path.join(os.devnull, "keras"))
    try:
        import keras
    except ImportError as error:
        raise UserError("To open Keras files, install keras and h5py: pip install 'assay[formats]'.") from error
    if keras.backend.backend() != "torch":
        raise UserError(
            f"Keras runs on {keras.backend.backend()} in this process, and is explained on torch: set"
            " KERAS_BACKEND=torch before it is imported."
        )
    version = tuple(int(one) for one in re.findall(r"\d+", keras.__version__)[:3])
    if version < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise UserError(f"Keras {keras.__version__} reads unsafe files; install keras {wanted} or later.")
    return keras


def objects(config: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every {"class_name": ...} in a model's config with the key that holds it, at any depth, without recursion."""
    todo = [("model", config)]
    while todo:
        key, one = todo.pop()
        if isinstance(one, Mapping):
            if isinstance(one.get("class_name"), str):
                yield key, one
            todo.extend(one.items())
        elif isinstance(one, list):
            todo.extend((key, part) for part in one)


def check(config: Any, name: str) -> None:
    """UserError names the layers of a config that run code of its author or that Keras does not have."""
    keras = library()
    known = {*dir(keras.layers), *SAMES, "Functional", "Model", "Sequential"}
    foreign = []
    for key, one in objects(config):
        kind, module = one["class_name"], one.get("module", "")
        if kind in ("Lambda", "__lambda__"):
            raise UserError(
                f"{name} has a Lambda layer, which is Python code inside the file and is not run; replace it with a"
                " layer of Keras (Rescaling, Reshape, an operation of keras.ops) and save the model again."
            )
        if kind in TENSORFLOW:
            raise UserError(
                f"{name} has the layer {kind}, an operation of TensorFlow that Keras 3 no longer reads; replace it with"
                " a layer where the model was trained and save it as .keras with Keras 3, or export it to ONNX."
            )
        if module == "" and key in HOLDERS and kind not in known:  # an old file, which names no module
            foreign.append(kind)
        elif module is None or str(module or "keras").partition(".")[0] not in ("keras", "builtins"):
            foreign.append(str(one.get("registered_name") or kind).rpartition(">")[2])
    if not foreign:
        return
    kinds = list(dict.fromkeys(foreign))
    mend = next((WRAPPERS[one] for one in kinds if one in WRAPPERS), "")
    if mend:
        raise UserError(f"{name} still has the wrapper {kinds[0]} of its training; {mend} and save it again.")
    raise UserError(
        f"{name} uses {_listed(kinds)}, which Keras does not have: code of its author, which is not in the file. Export"
        " the model to ONNX, or explain it from Python with model_zoo.wrap."
    )


def stand_ins(config: Any) -> dict[str, type]:
    """Layers that drop what old files say and Keras 3 no longer takes, where it means what Keras 3 does anyway."""
    layers = library().layers
    found = {}
    for _, one in objects(config):
        kind, inner = one["class_name"], one.get("config")
        usual = SAMES.get(kind, kind)
        if "module" in one or not isinstance(inner, Mapping) or not hasattr(layers, usual):
            continue
        if kind != usual or any(key in inner for key in DROPPED.get(usual, ())):
            found[kind] = _without(getattr(layers, usual), DROPPED.get(usual, {}))
    return found


def _without(base: Any, dropped: Mapping[str, tuple[Any, ...]]) -> type:
    def from_config(cls: Any, config: dict[str, Any]) -> Any:
        kept = {key: value for key, value in config.items() if key not in dropped or value not in dropped[key]}
        return base.from_config(kept)  # a plain one: Bidirectional reads its layer's config once more

    return type(base.__name__, (base,), {"from_config": classmethod(from_config)})


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def load(path: Path, ending: str, name: str, custom: dict[str, type] | None = None) -> Any:
    """The model in a file that was checked, on the processor; what Keras raises becomes one sentence."""
    keras = library()
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), keras.device("cpu"):
            warnings.simplefilter("ignore")  # advice to whoever wrote the model
            called = Path(folder) / f"model{ending}"  # Keras tells files by their ending
            called.symlink_to(path.resolve())
            return keras.saving.load_model(called, custom_objects=custom, compile=False, safe_mode=True)
    except UserError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise _failure(name, error) from error


def _failure(name: str, error: Exception) -> UserError:
    said = " ".join(str(error).split())
    said = re.split(r" Full object config:| config=\{|\. Exception encountered", said)[0][:200].rstrip(". ")
    return UserError(
        f"Keras could not load {name}: {said or type(error).__name__}. Save it again with model.save('model.keras'), or"
        " export it to ONNX."
    )
