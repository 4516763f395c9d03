"""What the modalities share: reading what a person gives, and references that a person gives.

Nothing here knows a modality; it raises UserError with the name that the person knows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.types import Reference, UserError

MOST_BYTES = 256 * 2**20


def read_bytes(raw: Any, name: str = "") -> tuple[bytes, str]:
    """The bytes of a path or of bytes, and a name for them; UserError if there is no such file or it is too large."""
    if isinstance(raw, (bytes, bytearray, memoryview)):
        data = bytes(raw)
    else:
        if not isinstance(raw, (str, os.PathLike)):
            raise UserError(f"A path or the bytes of a file are expected; {type(raw).__name__} came.")
        path = Path(os.fspath(raw))
        name = name or path.name
        try:
            if path.stat().st_size > MOST_BYTES:
                raise UserError(f"{name} is larger than {MOST_BYTES // 2**20} MB; give a smaller file.")
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            reason = "it is a folder" if isinstance(error, IsADirectoryError) else "there is no such file to read"
            raise UserError(f"{name or 'The file'} could not be opened: {reason}. Check the path.") from error
    if not data:
        raise UserError(f"{name or 'The file'} is empty (0 bytes); give a file that has something in it.")
    return data, name


def arrayed(value: Any) -> Any:
    """A torch tensor (of any device, type or wish for gradients) or sparse matrix as numpy; the rest as it came."""
    if hasattr(value, "detach"):
        found = value.detach().cpu().resolve_conj().resolve_neg()
        return (found.float() if str(found.dtype) == "torch.bfloat16" else found).numpy()  # numpy has no bfloat16
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        return value.toarray()
    if isinstance(value, (list, tuple)) and any(hasattr(one, "detach") for one in value):
        return [arrayed(one) for one in value]
    return value


def named(baseline: Any, own: Any, names: tuple[str, ...]) -> Any:
    """The baseline meant by a request: None means the model's own, else the first name; "given" the model's own."""
    if baseline is None:
        baseline = names[0]
    if isinstance(baseline, str) and baseline == "given" and "given" in names:
        return own
    if isinstance(baseline, str) and baseline not in names:
        raise UserError(f"The baseline is one of {', '.join(names)}, a number or an array; {baseline!r} came.")
    return baseline


def ordered(own: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of baselines with the model's own first: moved there if it is a name, else called "given"."""
    if own is None:
        return names
    if isinstance(own, str):
        return (own, *(name for name in names if name != own))
    return ("given", *names)


def constant(baseline: Any, x: np.ndarray) -> Reference:
    """One row like x from a number or an array; UserError if its shape or its numbers do not fit."""
    try:
        row = np.asarray(arrayed(baseline), dtype=x.dtype)
    except (TypeError, ValueError) as error:
        told = repr(baseline) if len(repr(baseline)) <= 60 else type(baseline).__name__
        raise UserError(f"A baseline is a number or an array of shape {x.shape}; {told} came.") from error
    if row.shape == (1, *x.shape):
        row = row[0]
    if row.ndim and row.shape != x.shape:
        raise UserError(f"A baseline array has the input's shape {x.shape}; one of shape {row.shape} came.")
    if not np.isfinite(row).all():
        raise UserError("A baseline is made of finite numbers; NaN or infinity came.")
    sentence = f"{row.item():g} everywhere" if row.ndim == 0 else "the baseline given"
    return Reference("given", np.broadcast_to(row, x.shape)[None].copy(), sentence)


def stacked(rows: Any, x: np.ndarray, what: str = "background") -> np.ndarray:
    """Rows (n, *x.shape) like x from an array or a sequence of arrays; UserError if they do not fit."""
    try:
        found = np.asarray(arrayed(rows), dtype=x.dtype)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The {what} is an array of numbers of shape (rows, {_shape(x)}); it cannot be read."
        ) from error
    if found.shape == x.shape:
        found = found[None]
    if found.ndim != x.ndim + 1 or found.shape[1:] != x.shape or not len(found):
        raise UserError(f"The {what} has shape (rows, {_shape(x)}) with at least one row; {found.shape} came.")
    if not np.isfinite(found).all():
        raise UserError(f"The {what} is made of finite numbers; NaN or infinity came.")
    return found


def listed(words: Sequence[str], most: int = 5) -> str:
    """The words in quotes with commas, cut after a few."""
    shown = ", ".join(f"'{word}'" for word in words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most:,} more"


def _shape(x: np.ndarray) -> str:
    return ", ".join(map(str, x.shape))
