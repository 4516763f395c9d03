"""XGBoost's own files: JSON and universal binary JSON; the binary format of before 1.6 is known and told.

Specification: xgboost.readthedocs.io, "Introduction to Model IO".
"""

from __future__ import annotations

import re

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _boosters
from model_zoo.types import UserError

TEXT = re.compile(rb'\s*\{\s*"(?:learner"\s*:\s*\{|version"\s*:\s*\[[\d,\s]+\]\s*,\s*"learner"|Config"|Model")')
UNIVERSAL = re.compile(rb"\{L\x00{7}(?:\x07learner|\x07version|\x06Config|\x05Model)")
OLD = re.compile(rb"\x00{7}[\s\S](?:binary|reg|multi|rank|count|survival):\w+[\s\S]\x00{7}(?:gbtree|gblinear|dart)")


def sniff(file: ModelFile) -> bool:
    """Whether it starts with a learner, in text or in universal binary JSON, or as the old binary files did."""
    head = file.head
    return bool(TEXT.match(head) or UNIVERSAL.match(head)) or _old(head)


def _old(head: bytes) -> bool:
    return head.startswith((b"binf", b"bs64")) or bool(OLD.search(head[:512]))


def open(file: ModelFile, said: Facts) -> Opened:
    """The booster."""
    try:
        import xgboost
    except ImportError as error:
        raise _boosters.missing("XGBoost") from error
    if _old(file.head):
        raise UserError(
            f"{file.name} is in XGBoost's old binary format, which XGBoost no longer reads since 3.1; load it with the"
            " version that saved it, and save it again with save_model('model.ubj')."
        )
    try:
        own = xgboost.Booster()
        with file.open() as stream:
            own.load_model(bytearray(stream.read()))
        return _boosters.opened(own, "XGBoost", said)
    except UserError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise _boosters.failure(file, "XGBoost", ".ubj", error) from error


FORMAT = Format(
    id="xgboost_file",
    title="XGBoost model",
    endings=(".json", ".ubj"),
    trust=Trust.SANDBOX,
    sniff=sniff,
    open=open,
    summary="Boosted trees, explained by tree SHAP and by every method that needs no gradient.",
)
