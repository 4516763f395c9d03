"""Whole Keras models in HDF5 (.h5, .hdf5), as Keras 1 to 3 save them: the attribute model_config and the weights."""

from __future__ import annotations

import json
from typing import Any

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _hdf5, _keras
from model_zoo.types import UserError


def sniff(file: ModelFile) -> bool:
    """Whether it starts as every HDF5 file does."""
    return file.head.startswith(_hdf5.MAGIC)


def open(file: ModelFile, said: Facts) -> Opened:
    """The model, rebuilt from its config and given its weights."""
    _keras.library()
    from model_zoo.formats import _keras_network

    with file.open() as stream, _hdf5.opened(stream, file.size, file.name) as store:
        config = _config(store, file.name)
        saved = store.attrs.get("keras_version", "")
    _keras.check(config, file.name)
    model = _keras.load(file.path, ".h5", file.name, _keras.stand_ins(config))
    version = saved.decode(errors="replace") if isinstance(saved, bytes) else str(saved)
    return _keras_network.opened(model, f"{type(model).__name__} model of Keras {version}".strip(), said, file.name)


def _config(store: Any, name: str) -> Any:
    text = store.attrs.get("model_config")
    if text is None:
        what = "weights of a Keras model" if "layer_names" in store.attrs or "layers" in store else "no Keras model"
        raise UserError(
            f"{name} holds {what} without its architecture (no model_config); save the whole model where it was built:"
            " model.save('model.keras')."
        )
    try:
        found = json.loads(text)
    except (ValueError, RecursionError, TypeError) as error:
        raise UserError(f"{name} is damaged: the config of its model cannot be read. Save it again.") from error
    if not isinstance(found, dict):
        raise UserError(f"{name} is damaged: the config of its model is no dictionary. Save it again.")
    return found


FORMAT = Format(
    id="keras_h5",
    title="Keras model in HDF5",
    endings=(".h5", ".hdf5"),
    trust=Trust.SANDBOX,
    sniff=sniff,
    open=open,
    summary="A whole model of Keras 2 or 3, run by Keras on torch, so every gradient method explains it.",
    order=41,
)
