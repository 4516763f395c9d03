"""LightGBM's own text files, as Booster.save_model writes them."""

from __future__ import annotations

import re

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _boosters
from model_zoo.types import UserError

START = re.compile(rb"tree\r?\nversion=v?\d")
END = b"end of trees"


def sniff(file: ModelFile) -> bool:
    """Whether it starts as the library's files do."""
    return bool(START.match(file.head))


def open(file: ModelFile, said: Facts) -> Opened:
    """The booster; its parser trusts every count in the file, so one that was cut off is not handed to it."""
    try:
        import lightgbm
    except ImportError as error:
        raise _boosters.missing("LightGBM") from error
    with file.open() as stream:
        text = stream.read()
    if END not in text:
        raise UserError(f"{file.name} is cut off: it has no line '{END.decode()}'. Save or upload it again.")
    try:
        own = lightgbm.Booster(model_str=text.decode())
        return _boosters.opened(own, "LightGBM", said)
    except UserError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise _boosters.failure(file, "LightGBM", ".txt", error) from error


FORMAT = Format(
    id="lightgbm_file",
    title="LightGBM model",
    endings=(".txt",),
    trust=Trust.SANDBOX,
    sniff=sniff,
    open=open,
    summary="Boosted trees, explained by tree SHAP and by every method that needs no gradient.",
)
