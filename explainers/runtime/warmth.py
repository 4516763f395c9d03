"""The heavy parts that workers inherit from the warm process, each imported or compiled once, in the order of need.

numba compiles what shap's partition explainer calls at its first call, which takes seconds (4 to 25) in every process
that calls it: a small picture and a short text call it here, with numpy alone, as explainers/methods/partition_shap.py
will call it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from model_zoo.types import UserError

MODULES = (
    "explainers.explaining",
    "model_zoo.wrapping",
    "safetensors.torch",
    "captum.attr",
    "tokenizers",
    "lime.lime_base",
    "skimage.segmentation",
    "shap",
)


def plug_ins() -> None:
    """Every method, check and format."""
    from explainers import registry
    from model_zoo import opening

    registry.methods()
    registry.checks()
    opening.formats()


def torchvision() -> None:
    """What most files of photographs' models are built with, where it is installed."""
    from model_zoo import vision

    vision.ready()


def keras() -> None:
    """What Keras files are opened with, where it is installed; it writes no settings."""
    from model_zoo.formats import _keras

    with contextlib.suppress(UserError):
        _keras.library()


def transformers() -> None:
    """What Hugging Face folders are opened with, where it is installed."""
    with contextlib.suppress(ImportError):
        importlib.import_module("transformers")


def compiled() -> None:
    """What partition SHAP compiles, for a picture and for a text."""
    from explainers.methods import partition_shap
    from model_zoo.modalities.image import ImageView
    from model_zoo.modalities.text import TextView
    from model_zoo.types import Players, Reference, Sample, Target

    run: Any = _Game()
    target = Target(0, "", "logit")
    params = partition_shap.Params(max_evals=20, batch_size=4)

    def solve(sample: Sample, players: Players) -> None:
        reference = Reference("zero", np.zeros_like(sample.x)[None], "")
        partition_shap.explain(run, sample, target, players, reference, params, run)

    owner = np.arange(24).reshape(4, 6)
    photo = ImageView(b"", 6, 4, (0.0, 0.0, 6.0, 4.0), (4, 6))
    solve(Sample("image", "", np.ones((3, 4, 6), np.float32), photo), Players("pixels", owner, 24))
    places = ((0, 1), (2, 6), (7, 11), (11, 12))
    words = ("a", "good", "film", ".")
    text = TextView("a good film.", places, len(places), words, places, (0, 1, 2, 3))
    solve(Sample("text", "", np.arange(4), text), Players("words", np.arange(4), 4, words))


class _Game:
    """Stands for a run and its evaluator: what is there adds up."""

    seed = 0

    @property
    def evaluator(self) -> _Game:
        return self

    def expect(self, total: int) -> None: ...

    def values(self, inputs: np.ndarray, target: Any) -> np.ndarray:
        return inputs.reshape(len(inputs), -1).sum(1).astype(np.float64)

    def masked(self, sample: Any, players: Any, coalitions: np.ndarray, reference: Any, target: Any) -> np.ndarray:
        return self.values(coalitions, target)


PARTS: tuple[Callable[[], Any], ...] = (
    *(functools.partial(importlib.import_module, one) for one in MODULES),
    plug_ins,
    torchvision,
    keras,
    transformers,
    compiled,
)
