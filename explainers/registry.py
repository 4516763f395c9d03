"""Finds plug-ins: every file in methods/ that has METHOD, every file in evidence/ that has CHECK.

A file that fails to import is listed as broken with its reason, never skipped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from explainers.types import Method
from model_zoo.discovery import Broken, discover
from model_zoo.types import UserError

ALL = "all"
ORDER = ("gradient", "activation", "attention", "perturbation", "shapley", "surrogate")


def methods() -> tuple[Method, ...]:
    """Every method, by family and title."""
    found = discover("explainers.methods", "METHOD")[0]
    return tuple(sorted(found, key=lambda one: (ORDER.index(one.family), one.title)))


def checks() -> tuple[Any, ...]:
    """Every check of evidence, in the order of the panel."""
    return tuple(sorted(discover("explainers.evidence", "CHECK")[0], key=lambda one: one.order))


def broken() -> tuple[Broken, ...]:
    """Plug-ins that did not import, with the reason."""
    return discover("explainers.methods", "METHOD")[1] + discover("explainers.evidence", "CHECK")[1]


def method(id: str) -> Method:
    """The method of this id, title or alias, however it is spelt; UserError lists what there is."""
    known = methods()
    for one in known:
        if one.id == id:
            return one
    for failed in broken():
        if failed.name == id:
            raise UserError(f"The method {id!r} did not load: {failed.reason}.")
    for one in known:
        if _bare(id) in map(_bare, (one.id, one.title, *one.aliases)):
            return one
    raise UserError(f"There is no method {id!r}; expected one of: {', '.join(one.id for one in known)}.")


def _bare(name: Any) -> str:
    """A name without case, spaces and hyphens: "Grad-CAM++" is "grad_cam_plus_plus"."""
    return re.sub(r"[^0-9a-z×]", "", str(name).casefold().replace("+", "plus"))


def wanted(lines: str | Iterable[str] | None) -> frozenset[str]:
    """Ids of the checks on demand that are asked for: "all", some, or none; UserError lists what there is."""
    known = [one.id for one in checks()]
    if lines is None:
        return frozenset()
    if lines == ALL:
        return frozenset(known)
    asked = (lines,) if isinstance(lines, str) else tuple(lines)
    for one in asked:
        if one not in known:
            raise UserError(f"There is no check {one!r}; expected {ALL!r} or some of: {', '.join(known)}.")
    return frozenset(asked)
