"""Keras 3's own files (.keras): a zip with config.json, metadata.json and model.weights.h5."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _hdf5, _keras
from model_zoo.types import UserError

MOST_CONFIG = 64 << 20
EXPANSION = 50  # times its own size that the archive may unpack to, and SPARE bytes more
MEMBERS = ("config.json", "metadata.json")
WEIGHTS = "model.weights.h5"


def sniff(file: ModelFile) -> bool:
    """Whether it is a zip with the two descriptions that Keras writes."""
    return not file.folder and set(MEMBERS) <= set(file.entries)


def open(file: ModelFile, said: Facts) -> Opened:
    """The model, rebuilt from its config and given its weights."""
    _keras.library()
    from model_zoo.formats import _keras_network

    _bounded(file)
    config = _json(file, "config.json")
    _keras.check(config, file.name)
    if WEIGHTS not in file.entries:
        raise UserError(f"{file.name} has no {WEIGHTS}; save the whole model again with model.save('model.keras').")
    weights = file.member(WEIGHTS, _most(file))
    _hdf5.opened(io.BytesIO(weights), len(weights), f"{WEIGHTS} in {file.name}").close()
    model = _keras.load(file.path, ".keras", file.name)
    version = _json(file, "metadata.json").get("keras_version", "")
    return _keras_network.opened(model, f"{type(model).__name__} model of Keras {version}".strip(), said, file.name)


def _most(file: ModelFile) -> int:
    return _hdf5.SPARE + EXPANSION * file.size


def _bounded(file: ModelFile) -> None:
    with zipfile.ZipFile(file.path) as archive:
        declared = sum(one.file_size for one in archive.infolist())
    if declared > _most(file):
        raise UserError(f"{file.name} unpacks to {declared >> 20:,} MiB, far more than its size; save it again.")


def _json(file: ModelFile, member: str) -> Any:
    try:
        found = json.loads(file.member(member, MOST_CONFIG))
        if not isinstance(found, dict):
            raise ValueError
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file.name} is damaged: {member} in it is no JSON object. Save it again.") from error
    return found


FORMAT = Format(
    id="keras_archive",
    title="Keras model",
    endings=(".keras",),
    trust=Trust.SANDBOX,
    sniff=sniff,
    open=open,
    summary="A model of Keras 3, run by Keras on torch, so every gradient method explains it.",
    order=40,
)
