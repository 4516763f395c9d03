"""Hugging Face folders and zips, against transformers itself: its own class, loaded from the same folder."""

from __future__ import annotations

import functools
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Built, Entry
from tiny_transformers import (
    LABELS,
    SIZES,
    TEXT,
    byte_pairs,
    gpt2_pairs,
    image_scores,
    library,
    made,
    scores_of,
    text_folder,
    text_scores,
    wordpiece,
)

PHOTO = np.random.default_rng(1).integers(0, 256, (40, 56, 3), dtype=np.uint8)
ALBERT = {"embedding_size": 16, **SIZES}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
XLNET = {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48}
LLAMA = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 64}
BART = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}  # fmt: skip
DEBERTA = {**SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0}
FRAMED = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
ENDED = {"bos_token_id": 0, "eos_token_id": 0}  # as GPT-2: one token ends a text and fills it up
NAMED = {"id2label": LABELS, "label2id": {name: index for index, name in LABELS.items()}}


def _text(name: str, config: str, tokenizer: Any, settings: dict[str, Any], **how: Any) -> Callable[[Path], Built]:
    def build(folder: Path) -> Built:
        path = text_folder(folder, name, config, tokenizer, **how, **settings)
        return Built(path, TEXT, scores_of(text_scores, name, path))

    return build


def _zipped(build: Callable[[Path], Built], inside: str = "") -> Callable[[Path], Built]:
    """The same folder as a zip, with one folder around its files where `inside` names it."""

    def zipped(folder: Path) -> Built:
        own = folder / "model"
        own.mkdir()
        built = build(own)
        path = folder / "model.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for one in sorted(own.iterdir()):
                archive.write(one, inside + one.name)
        return Built(path, built.raw, built.scores)

    return zipped


def _sharded(folder: Path) -> Built:
    path = text_folder(folder, "DistilBertForSequenceClassification", "DistilBertConfig", wordpiece, **DISTIL, **NAMED)
    network = library().DistilBertForSequenceClassification.from_pretrained(path)
    (path / "model.safetensors").unlink()
    network.save_pretrained(path, max_shard_size="20KB")
    assert (path / "model.safetensors.index.json").exists()
    return Built(path, TEXT, scores_of(text_scores, "DistilBertForSequenceClassification", path))


def _half(folder: Path) -> Built:
    """A Llama classifier in bfloat16 whose configuration names no pad."""
    import torch

    name = "LlamaForSequenceClassification"
    path = text_folder(folder, name, "LlamaConfig", gpt2_pairs, **LLAMA, **ENDED, **NAMED)
    library().LlamaForSequenceClassification.from_pretrained(path).to(torch.bfloat16).save_pretrained(path)
    return Built(path, TEXT, scores_of(text_scores, name, path))


def _minilm(folder: Path) -> Built:
    """The real MiniLM encoder of its package, with a classifier put on."""
    import torch

    from model_zoo.bundled.minilm_sentiment import ENCODER, PACKAGE
    from model_zoo.weights import packaged

    home = packaged(PACKAGE, ENCODER).parent
    torch.manual_seed(0)
    kind = library().BertForSequenceClassification
    network = kind.from_pretrained(home, id2label={0: "ill", 1: "well"}, label2id={"ill": 0, "well": 1})
    network.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(home / name, folder)
    return Built(folder, TEXT, scores_of(text_scores, "BertForSequenceClassification", folder))


def _picture(name: str, config: str, processor: dict[str, Any], settings: dict[str, Any]) -> Callable[[Path], Built]:
    def build(folder: Path) -> Built:
        made(name, config, **NAMED, **settings).save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        return Built(folder, PHOTO, functools.partial(image_scores, name, folder))

    return build


def _timm(folder: Path) -> Built:
    """As timm.models.save_for_hf writes it."""
    import torch

    from model_zoo import vision

    vision.ready()
    import timm
    from timm.models import save_for_hf

    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=3).eval()
    save_for_hf(network, str(folder), model_config={"num_classes": 3, "label_names": list(LABELS.values())})

    def scores(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.as_tensor(x)[None])[0].numpy()

    return Built(folder, PHOTO, scores)


HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True, "do_rescale": True}
SQUEEZED = HALF | {"size": {"height": 32, "width": 32}, "resample": 2, "rescale_factor": 1 / 255}
CUT = HALF | {"size": {"shortest_edge": 40}, "crop_size": 32, "do_center_crop": True, "resample": 3}
SHARE = HALF | {"size": {"shortest_edge": 32}, "crop_pct": 0.875, "resample": 3}
VIT = {**SIZES, "image_size": 32, "patch_size": 8}
SWIN = {"image_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2]}
STAGES = {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1]}
RESNET = {"embedding_size": 8, "layer_type": "basic", **STAGES}
TEXTS = {  # name -> what it is, class, configuration, tokenizer, settings, how it is saved
    "bert": ("BERT classifier", "BertForSequenceClassification", "BertConfig", wordpiece, {**SIZES, **NAMED}, {}),
    "roberta": (
        "RoBERTa classifier with vocab.json and merges.txt",
        *("RobertaForSequenceClassification", "RobertaConfig", byte_pairs),
        {**SIZES, **NAMED, **FRAMED, "max_position_embeddings": 66},
        {"kind": "merges.txt", "limit": 512},
    ),
    "electra": (
        "ELECTRA classifier with vocab.txt",
        *("ElectraForSequenceClassification", "ElectraConfig", wordpiece),
        {**ALBERT, **NAMED},
        {"kind": "vocab.txt"},
    ),
    "deberta": (
        "DeBERTa-v2 of labels that do not exclude one another",
        *("DebertaV2ForSequenceClassification", "DebertaV2Config", wordpiece),
        {**DEBERTA, **NAMED, "problem_type": "multi_label_classification"},
        {},
    ),
    "mpnet": (
        "MPNet classifier",
        *("MPNetForSequenceClassification", "MPNetConfig", byte_pairs),
        {**SIZES, **NAMED, **FRAMED},
        {},
    ),
    "xlnet": (
        "XLNet classifier",
        *("XLNetForSequenceClassification", "XLNetConfig", byte_pairs),
        {**XLNET, **NAMED, **FRAMED},
        {},
    ),
    "bart": (
        "BART classifier (encoder and decoder)",
        *("BartForSequenceClassification", "BartConfig", byte_pairs),
        {**BART, **NAMED, **FRAMED},
        {},
    ),
    "gpt2": (
        "GPT-2 classifier without a pad",
        *("GPT2ForSequenceClassification", "GPT2Config", gpt2_pairs),
        {**GPT2, **NAMED, **ENDED},
        {},
    ),
    "gpt2_lm": ("GPT-2 language model", "GPT2LMHeadModel", "GPT2Config", gpt2_pairs, {**GPT2, **ENDED}, {}),
    "llama_lm": ("Llama language model", "LlamaForCausalLM", "LlamaConfig", gpt2_pairs, {**LLAMA, **ENDED}, {}),
}
PICTURES = {
    "vit": ("ViT classifier", "ViTForImageClassification", "ViTConfig", SQUEEZED, VIT),
    "deit": ("DeiT classifier", "DeiTForImageClassification", "DeiTConfig", CUT, VIT),
    "beit": ("BEiT classifier", "BeitForImageClassification", "BeitConfig", SQUEEZED, VIT),
    "swin": ("Swin classifier", "SwinForImageClassification", "SwinConfig", SQUEEZED, SWIN),
    "convnext": ("ConvNeXt classifier", "ConvNextForImageClassification", "ConvNextConfig", SHARE, STAGES),
    "resnet": ("ResNet classifier", "ResNetForImageClassification", "ResNetConfig", SHARE, RESNET),
}
_albert = _text("AlbertForSequenceClassification", "AlbertConfig", wordpiece, {**ALBERT, "num_labels": 1})

ENTRIES = (
    *(
        Entry(f"hf_{key}", "hf_folder", f"{what}, folder", _text(*how[:4], **how[4]))
        for key, (what, *how) in TEXTS.items()
    ),
    Entry("hf_distilbert_shards", "hf_folder", "DistilBERT classifier, folder in shards", _sharded),
    Entry("hf_albert_zip", "hf_folder", "ALBERT regression, zip", _zipped(_albert)),
    Entry("hf_llama_bfloat16", "hf_folder", "Llama classifier in bfloat16, folder in a zip", _zipped(_half, "llama/")),
    Entry("hf_timm_vit", "hf_folder", "A small ViT of timm, folder", _timm, parameters={"window": 0.5}),
    Entry("hf_minilm", "hf_folder", "MiniLM-L6 (real weights) with a classifier, folder", _minilm),
    *(
        Entry(f"hf_{key}", "hf_folder", f"{what}, folder", _picture(*how), parameters={"window": 0.5})
        for key, (what, *how) in PICTURES.items()
    ),
)
