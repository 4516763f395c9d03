"""Real model files for the tests: what each is, how it is made, and what its own library says of an input.

A file in tests/corpus_files/ with ENTRIES is found by looking. Files are built in a temporary folder from installed
packages or by training for a moment, seeded; none is downloaded and none is committed.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.facts import Facts


@dataclass(frozen=True)
class Built:
    """A file on disk, an input as a person would give it, and the library's own scores for x of that input."""

    path: Path
    raw: Any
    scores: Callable[[np.ndarray], np.ndarray]  # x (*shape) -> (outputs,), without any code of ours


@dataclass(frozen=True)
class Entry:
    """One model file that must open, predict as its library does (1e-4), and be explained."""

    id: str  # unique: "torchvision_resnet18_7_classes"
    format: str  # id of the format
    what: str  # for the table in the docs: "ResNet-18 of torchvision, bare state dict, 7 classes"
    build: Callable[[Path], Built]
    facts: Facts = field(default_factory=Facts)  # what its owner has to say
    gradient: str = "saliency"  # a gradient method that explains it; empty: the file has no gradient
    perturbation: str = "occlusion"  # a method that needs none
    parameters: dict[str, Any] = field(default_factory=dict)  # of the perturbation method, to keep it small
    bare: bool = False  # a state dict without its code


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Every entry, by format and id."""
    home = importlib.import_module("corpus_files")
    found = [
        entry
        for module in pkgutil.iter_modules(home.__path__)
        for entry in importlib.import_module(f"corpus_files.{module.name}").ENTRIES
    ]
    return tuple(sorted(found, key=lambda one: (one.format, one.id)))
