"""Gradient boosted trees on Adult census income; trained by training/adult_trees.py.

A category is its place in the column's list, which stands in order of the share of people who earn more, so that every
column is exactly one feature and a tree may cut it anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_zoo.bundled import _adult
from model_zoo.types import Capability, ModelCard
from model_zoo.weights import BUNDLED, checked

if TYPE_CHECKING:
    from model_zoo.model import Model

CARD = ModelCard(
    id="adult_trees",
    title="Income trees",
    modality="tabular",
    task="binary",
    output="logit",
    labels=_adult.LABELS,
    can=Capability.TREES,
    description="Gradient boosted decision trees that tell whether someone earns more than 50,000 US$ a year (1994).",
    inputs=_adult.INPUTS,
    metric="AUC 0.930 and accuracy 86.7 % on 9,768 people held out (75.1 % earn at most 50,000 US$).",
    data=_adult.DATA,
    licence=_adult.LICENCE,
    source=f"{_adult.SOURCE} model_zoo/training/adult_trees.py",
    digest="sha256:54abec19b5823e3f7857dd0c6d1a3e2db00e245a9135900d875b9b3d9ff57f6c",
    columns=_adult.COLUMNS,
    examples=_adult.EXAMPLES,
)


def load(device: str = "cpu") -> Model:
    """The booster, called as a function of arrays that returns log-odds; it stays on the CPU."""
    import numpy as np
    import xgboost

    from model_zoo.modalities.tabular import TableInput
    from model_zoo.model import Model

    *_, content = checked(CARD, _adult.COLUMNS_FILE, _adult.BACKGROUND_FILE, BUNDLED / "adult_trees.ubj")
    booster = xgboost.Booster({"nthread": 1})  # more threads cost more than they give on small batches
    booster.load_model(bytearray(content))

    def margin(rows: np.ndarray) -> np.ndarray:
        """Log-odds (n,) of rows (n, columns)."""
        return booster.inplace_predict(rows, predict_type="margin")

    rows, named = _adult.background(), "rows of the training data"
    taken = TableInput(_adult.COLUMNS, "ordinal", background_rows=rows, rows_name=named)
    return Model(CARD, margin, taken, trees=booster, arrays=True).to(device)
