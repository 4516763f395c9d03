"""Finds plug-ins: every file in methods/ that has METHOD, every file in evidence/ that has CHECK.

A file that fails to import is listed as broken with its reason, never skipped in silence.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

from explainers.types import Method
from model_zoo.types import UserError


@dataclass(frozen=True)
class Broken:
    """A plug-in that did not import."""

    name: str
    reason: str


@functools.cache
def _discover(package: str, attribute: str) -> tuple[tuple[Any, ...], tuple[Broken, ...]]:
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


ORDER = ("gradient", "attention", "perturbation", "shapley", "surrogate")


def methods() -> tuple[Method, ...]:
    """Every method, by family and title."""
    found = _discover("explainers.methods", "METHOD")[0]
    return tuple(sorted(found, key=lambda one: (ORDER.index(one.family), one.title)))


def checks() -> tuple[Any, ...]:
    """Every check of evidence, in the order of the panel."""
    return tuple(sorted(_discover("explainers.evidence", "CHECK")[0], key=lambda one: one.order))


def broken() -> tuple[Broken, ...]:
    """Plug-ins that did not import, with the reason."""
    return _discover("explainers.methods", "METHOD")[1] + _discover("explainers.evidence", "CHECK")[1]


def method(id: str) -> Method:
    """The method of this id; UserError lists what there is."""
    for one in methods():
        if one.id == id:
            return one
    for failed in broken():
        if failed.name == id:
            raise UserError(f"The method {id!r} did not load: {failed.reason}.")
    raise UserError(f"There is no method {id!r}; expected one of: {', '.join(one.id for one in methods())}.")
