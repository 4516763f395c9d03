"""Bare state dicts of transformers, without configuration or code, against the network that they were taken from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Built, Entry
from tiny_transformers import TEXT, byte_pairs, gpt2_pairs, logits, made, pixels, wordpiece

from model_zoo.facts import Facts

PHOTO = np.random.default_rng(2).integers(0, 256, (36, 48, 3), dtype=np.uint8)
TINY = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 192}
DISTIL = {"dim": 128, "n_layers": 2, "n_heads": 2, "hidden_dim": 192}
GPT2 = {"n_embd": 128, "n_layer": 2, "n_head": 2, "n_positions": 64}
MINILM = {"hidden_size": 384, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 384}
LLAMA = {**TINY, "num_key_value_heads": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
ROBERTA = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-5}
ALBERT = {"embedding_size": 16, **TINY, "num_hidden_layers": 12}
DEBERTA = {
    **TINY,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 256,
    "type_vocab_size": 0,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "layer_norm_eps": 1e-7,
}
VIT = {**TINY, "hidden_size": 192, "num_attention_heads": 3, "image_size": 32, "patch_size": 8}


def _saved(tensors: dict[str, Any], folder: Path, safe: bool) -> Path:
    import torch
    from safetensors.torch import save_file

    path = folder / ("weights.safetensors" if safe else "weights.pt")
    if safe:
        save_file({name: one.clone() for name, one in tensors.items()}, path)
    else:
        torch.save(tensors, path)
    return path


def _dict(
    name: str, config: str, tokenizer: Any, safe: bool = False, alter: Any = None, **settings: Any
) -> Callable[[Path], Built]:
    def build(folder: Path) -> Built:
        own = {} if tokenizer is None else {"vocab_size": tokenizer().get_vocab_size()}
        network = made(name, config, **own, **settings)
        tensors = network.state_dict()
        path = _saved(tensors if alter is None else alter(tensors), folder, safe)
        return Built(
            path, PHOTO if tokenizer is None else TEXT, partial(pixels if tokenizer is None else logits, network)
        )

    return build


def _untied(tensors: dict[str, Any]) -> dict[str, Any]:
    """As safetensors has it: a tied head is not written twice."""
    return {name: one for name, one in tensors.items() if name != "lm_head.weight"}


def _openai(tensors: dict[str, Any]) -> dict[str, Any]:
    """As the published GPT-2: without the head and without the prefix, with the buffers of that time."""
    import torch

    found = {name.removeprefix("transformer."): one for name, one in _untied(tensors).items()}
    return found | {"h.0.attn.bias": torch.ones(1, 1, 64, 64)}


def _own_class(tensors: dict[str, Any]) -> dict[str, Any]:
    """As an owner's class has it: self.encoder = BertModel, self.fc = Linear."""
    found = {name.replace("bert.", "encoder.", 1): one for name, one in tensors.items()}
    return {name.replace("classifier.", "fc."): one for name, one in found.items()}


def _version_4(tensors: dict[str, Any]) -> dict[str, Any]:
    """A ViT by the names that version 4 of the library had."""
    parts = {
        "attention.q_proj": "attention.attention.query",
        "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value",
        "attention.o_proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    found = {}
    for name, one in tensors.items():
        for new, old in parts.items():
            name = name.replace(new, old)
        found[name.replace("vit.layers.", "vit.encoder.layer.")] = one
    return found


def _entry(id: str, what: str, build: Any, tokenizer: Any = None, safe: bool = False, **facts: Any) -> Entry:
    if tokenizer is not None:
        facts["tokenizer"] = tokenizer().to_str()
    form = "safetensors" if safe else "state_dict"
    return Entry(
        f"bare_{id}", form, f"{what} of transformers, bare state dict", build, Facts(**facts), bare=True,
        parameters={} if tokenizer is not None else {"window": 0.5},
    )  # fmt: skip


ENTRIES = (
    _entry(
        "bert",
        "BERT-tiny classifier of 3",
        _dict("BertForSequenceClassification", "BertConfig", wordpiece, num_labels=3, **TINY),
        wordpiece,
        labels=("ill", "so so", "well"),
    ),
    _entry(
        "bert_own_class",
        "MiniLM in an owner's class",
        _dict("BertForSequenceClassification", "BertConfig", wordpiece, alter=_own_class, **MINILM),
        wordpiece,
    ),
    _entry(
        "distilbert",
        "DistilBERT classifier",
        _dict("DistilBertForSequenceClassification", "DistilBertConfig", wordpiece, True, **DISTIL),
        wordpiece,
        safe=True,
    ),
    _entry(
        "roberta",
        "RoBERTa regression",
        _dict("RobertaForSequenceClassification", "RobertaConfig", byte_pairs, num_labels=1, **TINY, **ROBERTA),
        byte_pairs,
    ),
    _entry(
        "electra",
        "ELECTRA classifier",
        _dict("ElectraForSequenceClassification", "ElectraConfig", wordpiece, embedding_size=64, **TINY),
        wordpiece,
    ),
    _entry(
        "albert",
        "ALBERT classifier",
        _dict("AlbertForSequenceClassification", "AlbertConfig", wordpiece, **ALBERT),
        wordpiece,
    ),
    _entry(
        "mpnet",
        "MPNet classifier",
        _dict("MPNetForSequenceClassification", "MPNetConfig", byte_pairs, **TINY, **ROBERTA),
        byte_pairs,
    ),
    _entry(
        "deberta",
        "DeBERTa-v3 classifier",
        _dict("DebertaV2ForSequenceClassification", "DebertaV2Config", wordpiece, **DEBERTA),
        wordpiece,
    ),
    _entry(
        "gpt2",
        "GPT-2 language model with a tied head",
        _dict("GPT2LMHeadModel", "GPT2Config", gpt2_pairs, True, _untied, **GPT2),
        gpt2_pairs,
        safe=True,
    ),
    _entry(
        "gpt2_published",
        "GPT-2 as first published",
        _dict("GPT2LMHeadModel", "GPT2Config", gpt2_pairs, alter=_openai, **GPT2),
        gpt2_pairs,
    ),
    _entry(
        "gpt2_classifier",
        "GPT-2 classifier",
        _dict("GPT2ForSequenceClassification", "GPT2Config", gpt2_pairs, num_labels=4, pad_token_id=0, **GPT2),
        gpt2_pairs,
    ),
    _entry("llama", "Llama language model", _dict("LlamaForCausalLM", "LlamaConfig", gpt2_pairs, **LLAMA), gpt2_pairs),
    _entry("vit", "ViT-tiny classifier", _dict("ViTForImageClassification", "ViTConfig", None, num_labels=7, **VIT)),
    _entry(
        "vit_version_4",
        "ViT by the names of version 4",
        _dict("ViTForImageClassification", "ViTConfig", None, True, _version_4, num_labels=3, **VIT),
        safe=True,
    ),
    _entry(
        "deit",
        "DeiT with a teacher",
        _dict("DeiTForImageClassificationWithTeacher", "DeiTConfig", None, num_labels=5, **VIT),
    ),
)
