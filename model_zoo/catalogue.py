"""The bundled models and samples, found by looking: a file in bundled/ with CARD and load(device) is a model.

A file that fails to import is listed as broken with its reason, never skipped in silence. Cards and samples are read
without torch; only load() needs it.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import json
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from model_zoo.discovery import Broken
from model_zoo.types import Example, ModelCard, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from model_zoo.model import Model

SAMPLES = Path(__file__).parent / "samples"
MODALITIES = ("image", "text", "tabular", "series", "audio")


@functools.cache
def _modules() -> tuple[dict[str, ModuleType], tuple[Broken, ...]]:
    """Modules by model id, and those that failed."""
    found: dict[str, ModuleType] = {}
    failed = []
    home = importlib.import_module("model_zoo.bundled")
    for info in sorted(pkgutil.iter_modules(home.__path__), key=lambda one: one.name):
        if info.name.startswith("_"):
            continue
        try:
            module = importlib.import_module(f"{home.__name__}.{info.name}")
            found[module.CARD.id] = module
        except Exception as error:  # a stranger's file may raise anything
            failed.append(Broken(info.name, f"{type(error).__name__}: {error}"))
    return found, tuple(failed)


def cards() -> tuple[ModelCard, ...]:
    """Every bundled model's card: images, texts, tables, then other modalities; by title within each."""

    def order(card: ModelCard) -> tuple[int, str]:
        known = MODALITIES.index(card.modality) if card.modality in MODALITIES else len(MODALITIES)
        return known, card.title.casefold()

    return tuple(sorted((module.CARD for module in _modules()[0].values()), key=order))


def broken() -> tuple[Broken, ...]:
    """Files in bundled/ that did not import, with the reason."""
    return _modules()[1]


def card(id: str) -> ModelCard:
    """The card of a bundled model; UserError names the nearest ids."""
    return _module(id).CARD


def load(id: str, device: str = "cpu") -> Model:
    """Load a bundled model onto a device; UserError names the nearest ids, or says why it cannot be loaded."""
    model = _module(id).load(device)
    if hasattr(model.network, "eval"):  # a torch module, ready for inference; trees are a plain function
        model.network.eval().requires_grad_(False)
    return model


def _module(id: str) -> ModuleType:
    found, failed = _modules()
    if id in found:
        return found[id]
    for one in failed:
        if one.name == id:
            raise UserError(f"The model {id!r} did not load: {one.reason}.")
    raise UserError(f"There is no model {id!r}; the nearest bundled ones are {_nearest(id, found)}.")


# -- samples -----------------------------------------------------------------------------------------------------


@functools.cache
def _examples() -> dict[str, Example]:
    listed = json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))
    found = (Example(**{**one, "fits": tuple(one.get("fits", ()))}) for one in listed)
    return {one.id: one for one in found}


def examples(model: str = "") -> tuple[Example, ...]:
    """The samples that a model id takes, its card's own order first; all samples without an id."""
    if not model:
        return tuple(_examples().values())
    about = card(model)
    fitting = [
        one for one in _examples().values() if one.modality == about.modality and (not one.fits or model in one.fits)
    ]
    rank = {id: place for place, id in enumerate(about.examples)}
    return tuple(sorted(fitting, key=lambda one: rank.get(one.id, len(rank))))


def example(id: str) -> Example:
    """One bundled sample; UserError names the nearest ids."""
    if id not in _examples():
        raise UserError(f"There is no sample {id!r}; the nearest are {_nearest(id, _examples())}.")
    return _examples()[id]


def read_example(id: str) -> tuple[bytes, str]:
    """The bytes of a bundled sample, as a person would have given them, and its file name."""
    path = SAMPLES / example(id).path
    return path.read_bytes(), path.name


def _nearest(id: str, known: Iterable[str]) -> str:
    return ", ".join(difflib.get_close_matches(id, list(known), n=3, cutoff=0.0))
