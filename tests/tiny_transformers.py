"""Small seeded models of transformers, with tokenizers trained on a few sentences; nothing is fetched."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

TEXT = "It was a good film, and the actors were wonderful."
SENTENCES = (TEXT, "It was a bad film.", "The plot is dull, the ending worse!", "I would see it again any day.")
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
LABELS = {0: "negative", 1: "neutral", 2: "positive"}


def library() -> Any:
    """transformers, importable with any torch."""
    from model_zoo import vision

    vision.ready()
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def wordpiece() -> Any:
    """A tokenizer as BERT's, with [CLS] text [SEP]."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    )
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


def byte_pairs(special: tuple[str, ...] = ("<s>", "<pad>", "</s>", "<unk>", "<mask>"), framed: bool = True) -> Any:
    """A tokenizer as RoBERTa's, or as GPT-2's where nothing stands around a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=list(special), initial_alphabet=letters, show_progress=False
    )
    made.train_from_iterator(SENTENCES, trainer)
    if framed:
        made.post_processor = processors.RobertaProcessing((special[2], 2), (special[0], 0))
    return made


def gpt2_pairs() -> Any:
    """A tokenizer as GPT-2's: one special token and no pad."""
    return byte_pairs(("<|endoftext|>",), framed=False)


def made(architecture: str, config: str, seed: int = 0, **settings: Any) -> Any:
    """A network of the library with seeded weights that are large enough for scores to differ."""
    import torch

    transformers = library()
    torch.manual_seed(seed)
    network = getattr(transformers, architecture)(getattr(transformers, config)(**settings)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def save_tokenizer(tokenizer: Any, folder: Path, kind: str = "json", **settings: Any) -> None:
    """tokenizer.json; or, as kind says, the vocabulary files alone ("vocab.txt", "merges.txt")."""
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if kind == "json":
        tokenizer.save(str(folder / "tokenizer.json"))
        return
    vocabulary = tokenizer.get_vocab()
    if kind == "vocab.txt":
        (folder / kind).write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)))
        return
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    pairs = json.loads(tokenizer.to_str())["model"]["merges"]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in pairs)]))


def text_scores(architecture: str, folder: Path, x: np.ndarray) -> np.ndarray:
    """What the library says of token ids (tokens,): logits, of the last position for a language model."""
    import torch

    network = getattr(library(), architecture).from_pretrained(folder, dtype=torch.float32).eval()
    return logits(network, x)


def logits(network: Any, x: np.ndarray) -> np.ndarray:
    """The same of a network at hand."""
    import torch

    ids = torch.as_tensor(x)[None]
    with torch.no_grad():
        found = network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].numpy()
    return found if found.ndim == 1 else found[-1]


def image_scores(architecture: str, folder: Path, x: np.ndarray) -> np.ndarray:
    """What the library says of pixels (channels, height, width)."""
    return pixels(getattr(library(), architecture).from_pretrained(folder).eval(), x)


def pixels(network: Any, x: np.ndarray) -> np.ndarray:
    """The same of a network at hand."""
    import torch

    with torch.no_grad():
        return network(pixel_values=torch.as_tensor(x)[None]).logits[0].numpy()


def text_folder(
    folder: Path,
    architecture: str,
    config: str,
    tokenizer: Any,
    *,
    kind: str = "json",
    limit: int = 64,
    **settings: Any,
) -> Path:
    """A folder as save_pretrained writes it."""
    own = tokenizer()
    network = made(architecture, config, vocab_size=own.get_vocab_size(), **settings)
    network.save_pretrained(folder)
    save_tokenizer(own, folder, kind, model_max_length=limit)
    return folder


def scores_of(kind: Any, architecture: str, folder: Path) -> Any:
    """text_scores or image_scores of a folder, as the corpus wants it."""
    return partial(kind, architecture, folder)
