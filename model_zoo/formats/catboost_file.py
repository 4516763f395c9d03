"""CatBoost's own files: .cbm (flat buffers) and the JSON that save_model(format="json") writes."""

from __future__ import annotations

import re

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _boosters
from model_zoo.types import UserError

BINARY = b"CBM1"
KEYS = re.compile(rb'\s*\{\s*"(?:ctr_data|features_info|model_info|oblivious_trees|trees|scale_and_bias)"\s*:')


def sniff(file: ModelFile) -> bool:
    """Whether it starts with the mark of .cbm, or as an object with the keys of CatBoost's JSON."""
    return file.head.startswith(BINARY) or bool(KEYS.match(file.head))


def open(file: ModelFile, said: Facts) -> Opened:
    """The booster."""
    try:
        import catboost
    except ImportError as error:
        raise _boosters.missing("CatBoost") from error
    try:
        own = catboost.CatBoost()
        own.load_model(str(file.path), format="cbm" if file.head.startswith(BINARY) else "json")
        if own.get_text_feature_indices() or own.get_embedding_feature_indices():
            raise UserError(
                f"{file.name} takes texts or vectors in some of its columns; models of numbers and categories can be"
                " explained."
            )
        return _boosters.opened(own, "CatBoost", said)
    except UserError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise _boosters.failure(file, "CatBoost", ".cbm", error) from error


FORMAT = Format(
    id="catboost_file",
    title="CatBoost model",
    endings=(".cbm", ".json"),
    trust=Trust.SANDBOX,
    sniff=sniff,
    open=open,
    summary="Boosted trees, explained by tree SHAP and by every method that needs no gradient.",
)
