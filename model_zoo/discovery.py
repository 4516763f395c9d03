"""Finds plug-ins: every file of a package that has an attribute, such as METHOD in explainers/methods/.

A file that fails to import is listed as broken with its reason, never skipped in silence; one whose name begins with
an underscore is a part of others.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Broken:
    """A plug-in that did not import."""

    name: str
    reason: str


@functools.cache
def discover(package: str, attribute: str) -> tuple[tuple[Any, ...], tuple[Broken, ...]]:
    """The attribute of every file in a package, by the files' names; and the files that failed."""
    found, broken = [], []
    home = importlib.import_module(package)
    for module in sorted(pkgutil.iter_modules(home.__path__), key=lambda one: one.name):
        if module.name.startswith("_"):
            continue
        try:
            found.append(getattr(importlib.import_module(f"{package}.{module.name}"), attribute))
        except Exception as error:  # a stranger's plug-in may raise anything
            broken.append(Broken(module.name, f"{type(error).__name__}: {error}"))
    return tuple(found), tuple(broken)
