"""A multilayer perceptron on Adult census income; trained by training/adult_mlp.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_zoo.bundled import _adult
from model_zoo.types import Capability, ModelCard
from model_zoo.weights import BUNDLED, checked

if TYPE_CHECKING:
    from model_zoo.model import Model

CARD = ModelCard(
    id="adult_mlp",
    title="Income perceptron",
    modality="tabular",
    task="binary",
    output="logit",
    labels=_adult.LABELS,
    can=Capability.GRADIENTS,
    description="A small neural network that tells whether someone earns more than 50,000 US$ a year (1994).",
    inputs=_adult.INPUTS,
    metric="AUC 0.912 and accuracy 84.9 % on 9,768 people held out (75.1 % earn at most 50,000 US$).",
    data=_adult.DATA,
    licence=_adult.LICENCE,
    source=f"{_adult.SOURCE} model_zoo/training/adult_mlp.py",
    digest="sha256:7166b29379ab12a50cebbe66bcceb85337d52367cb42166bc4a4e097a65104a7",
    columns=_adult.COLUMNS,
    examples=_adult.EXAMPLES,
)
WIDTHS = (64, 32)


def load(device: str = "cpu") -> Model:
    """The network with its weights; numbers are standardised, categories are one-hot."""
    from safetensors.torch import load as tensors

    from model_zoo.architectures.mlp import MLP
    from model_zoo.modalities.tabular import TableInput
    from model_zoo.model import Model

    *_, content = checked(CARD, _adult.COLUMNS_FILE, _adult.BACKGROUND_FILE, BUNDLED / "adult_mlp.safetensors")
    weights = tensors(content)
    mean, std = (tuple(weights.pop(name).tolist()) for name in ("input.mean", "input.std"))
    network = MLP(weights["layers.0.weight"].shape[1], WIDTHS)
    network.load_state_dict(weights)
    rows, named = _adult.background(), "rows of the training data"
    taken = TableInput(_adult.COLUMNS, "onehot", mean, std, background_rows=rows, rows_name=named)
    return Model(CARD, network, taken).to(device)
