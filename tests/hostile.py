"""Hostile model files: what each tries, and how it is made; tests/test_hostile.py says that none succeeds.

A file in tests/hostile_files/ with ENTRIES is found by looking. Files are built in a temporary folder, seeded; none is
committed. Each must end in a sentence, or in the death of its worker that the parent tells in one. A file that does
nothing but be odd may also open. None may run Python code, and none may read or change a file outside the scratch.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARK = "ASSAY_HOSTILE_CODE_RAN"  # a file that Python code of a hostile file leaves in its current folder


@dataclass(frozen=True)
class World:
    """What lies around the sandbox, for a file to reach for."""

    secret: Path  # holds the canary
    target: Path  # a file to overwrite
    folder: Path  # both lie in it; nothing may be added

    @property
    def code(self) -> str:
        """Python that reads the canary, writes where it may not, and leaves MARK where it may."""
        return (
            f"import os; open({MARK!r}, 'w').close()\n"
            f"try: print(open({str(self.secret)!r}).read())\n"
            "except OSError: pass\n"
            f"try: open({str(self.folder / 'stolen')!r}, 'w').write('x')\n"
            "except OSError: pass\n"
        )


@dataclass(frozen=True)
class Hostile:
    """One file: `build` writes it into an empty folder and returns its path."""

    id: str
    format: str  # what it pretends to be, for the count
    what: str  # what it tries
    build: Callable[[Path, World], Path]
    facts: dict[str, Any] = field(default_factory=dict)  # what its owner says of it
    shape: tuple[int, ...] = ()  # of x; the model is run on noughts of it once it is open
    may_open: bool = False  # odd rather than harmful: opening it is no fault, whatever numbers come of it
    slow: bool = False  # for `make soak` alone
    seconds: float = 20.0


def guest(path: str, name: str, facts: dict[str, Any], shape: list[int], code: bool = False) -> dict[str, Any]:
    """Open a file as a worker does, and run it; called inside the sandbox.

    code: the operator has allowed formats that are code.
    """
    from model_zoo import opening
    from model_zoo.facts import Facts
    from model_zoo.files import ModelFile
    from model_zoo.types import UserError

    trusted = opening.ANY_CODE if code else opening.CONTAINED
    told: dict[str, Any] = {"sentence": "", "found": []}
    said = Facts(**{key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()})
    try:
        file = ModelFile(Path(path), name)
        reading = opening.read(file, said, trusted)
        told["found"].append(repr(reading))
        if reading.problem:
            raise UserError(reading.problem)
        model = opening.open_file(file, said, trusted=trusted)
        told["found"].append(repr(model.card))
        if shape:
            import torch

            with torch.no_grad():
                told["found"].append(repr(model.forward(torch.zeros(2, *shape, dtype=model.dtype))))
    except UserError as error:
        told["sentence"] = str(error)
    except MemoryError:
        told["sentence"] = "The model took more memory than it may."  # as the worker tells it
    told["ran"] = Path(MARK).exists()
    return told


@functools.cache
def entries() -> tuple[Hostile, ...]:
    """Every entry, by format and id."""
    home = importlib.import_module("hostile_files")
    found = [
        entry
        for module in pkgutil.iter_modules(home.__path__)
        for entry in importlib.import_module(f"hostile_files.{module.name}").ENTRIES
    ]
    return tuple(sorted(found, key=lambda one: (one.format, one.id)))
