"""Classifiers and regressions of texts on an encoder: BERT, DistilBERT, RoBERTa, ELECTRA, ALBERT, MPNet, DeBERTa.

Weights without a head, and those with one for another task, are recognised too, to say what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from model_zoo.recognition import Architecture, Finder, Near, Shapes
from model_zoo.recognition._transformers import BUFFERS, Family, Heads, consistent, heads, layers, refused, rows, text

PUBLISHED = {384: (12, "MiniLM"), 312: (12, "TinyBERT"), 128: (2, "BERT-tiny")}
DEBERTA = {384: (6, "DeBERTa-v3-xsmall")}
ALBERT = {768: (12, 12), 1024: (16, 24), 2048: (16, 24), 4096: (64, 12)}  # width -> heads, layers as published
ALBERT_LAYERS = 12  # where nothing is published for a width
WORDS = "embeddings.word_embeddings.weight"
PREFIXES = {"bert.": "BERT", "roberta.": "RoBERTa", "distilbert.": "DistilBERT", "electra.": "ELECTRA",
            "albert.": "ALBERT", "mpnet.": "MPNet", "deberta.": "DeBERTa"}  # fmt: skip
TWO_LAYERS = ("classifier.dense.weight", "classifier.out_proj.weight")  # RoBERTa's head
BERT_LAYER = "encoder.layer.0.attention.self.query.weight"


def find(shapes: Shapes) -> Iterator[Architecture]:
    """The encoder with its head, once for each number of heads that is usual; else why there are no scores."""
    inside = _inside(shapes)
    if inside is None:
        return
    family = consistent(lambda: _family(shapes, inside, _others(shapes, inside)))
    if family is not None:
        yield from family.architectures()
    elif inside in PREFIXES or inside + BERT_LAYER in shapes:
        yield _without_scores(inside, _others(shapes, inside))


def near(shapes: Shapes) -> Iterator[Near]:
    """The encoder whose names these resemble, where some tensors differ."""
    inside = _inside(shapes)
    family = None if inside is None else consistent(lambda: _family(shapes, inside, _others(shapes, inside)))
    if family is not None:
        yield family.near(shapes)


def _inside(shapes: Shapes) -> str | None:
    """What comes before the encoder's own names: "bert.", or what an owner's class calls it; None: no encoder."""
    found = next((name[: -len(WORDS)] for name in shapes if name.endswith(WORDS)), None)
    return None if found is None or found.count(".") > 1 else found


def _others(shapes: Shapes, inside: str) -> set[str]:
    """Names outside the encoder."""
    return {one for one in shapes if not one.startswith(inside) and not one.endswith(BUFFERS)} if inside else set()


def _family(shapes: Shapes, inside: str, others: set[str]) -> Family | None:
    known = {"distilbert.": _distilbert, "albert.": _albert, "mpnet.": _mpnet, "deberta.": _deberta}
    if inside in known:
        return known[inside](shapes)
    if inside + BERT_LAYER not in shapes:
        return None
    if inside == "roberta." and set(TWO_LAYERS) <= others:
        return _roberta(shapes)
    if inside == "electra." and set(TWO_LAYERS) <= others:
        return _electra(shapes)
    return _bert(shapes, inside, others)


def _sizes(shapes: Shapes, inside: str, outputs: int) -> dict[str, Any]:
    """Settings that BERT and those that took its names share."""
    return {
        "vocab_size": rows(shapes, inside + WORDS),
        "hidden_size": rows(shapes, inside + BERT_LAYER),
        "num_hidden_layers": layers(shapes, f"{inside}encoder.layer."),
        "intermediate_size": rows(shapes, f"{inside}encoder.layer.0.intermediate.dense.weight"),
        "max_position_embeddings": rows(shapes, f"{inside}embeddings.position_embeddings.weight"),
        "type_vocab_size": rows(shapes, f"{inside}embeddings.token_type_embeddings.weight"),
        "num_labels": outputs,
    }


def _bert(shapes: Shapes, inside: str, others: set[str]) -> Family | None:
    """BERT with one linear layer on its pooled output, whatever an owner's class calls the two."""
    weights = [one for one in others if len(shapes[one]) == 2]
    width = rows(shapes, inside + BERT_LAYER)
    if len(weights) != 1 or inside in PREFIXES.keys() - {"bert."} or f"{inside}pooler.dense.weight" not in shapes:
        return None
    head = weights[0].removesuffix(".weight")
    if others != {f"{head}.weight", f"{head}.bias"} or shapes[weights[0]][1] != width:
        return None
    settings = _sizes(shapes, inside, shapes[weights[0]][0]) | {"pad_token_id": 0}
    before = {old: new for old, new in ((inside, "bert."), (f"{head}.", "classifier.")) if old != new}
    notes: tuple[str, ...] = ()
    if head != "classifier":
        notes = (f"Its last layer {head!r} is taken to read the pooled output of BERT, as its own classifier does.",)
    return Family(
        "bert", "BERT classifier", "BertForSequenceClassification", "BertConfig", settings, "text",
        text(settings["num_labels"], settings["max_position_embeddings"]), heads(width, PUBLISHED), pad=0, notes=notes,
        before=before,
    )  # fmt: skip


def _roberta(shapes: Shapes) -> Family:
    settings = _sizes(shapes, "roberta.", rows(shapes, TWO_LAYERS[1]))
    settings |= {"layer_norm_eps": 1e-5, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    return Family(
        "roberta", "RoBERTa classifier", "RobertaForSequenceClassification", "RobertaConfig", settings, "text",
        text(settings["num_labels"], settings["max_position_embeddings"] - 2),  # it counts from behind the pad
        heads(settings["hidden_size"], PUBLISHED), pad=1,
    )  # fmt: skip


def _electra(shapes: Shapes) -> Family:
    settings = _sizes(shapes, "electra.", rows(shapes, TWO_LAYERS[1]))
    settings |= {"embedding_size": shapes[f"electra.{WORDS}"][1], "pad_token_id": 0}
    return Family(
        "electra", "ELECTRA classifier", "ElectraForSequenceClassification", "ElectraConfig", settings, "text",
        text(settings["num_labels"], settings["max_position_embeddings"]), heads(settings["hidden_size"], PUBLISHED),
        pad=0,
    )  # fmt: skip


def _distilbert(shapes: Shapes) -> Family | None:
    outputs = rows(shapes, "classifier.weight")
    if not outputs or "pre_classifier.weight" not in shapes:
        return None
    vocabulary, width = shapes[f"distilbert.{WORDS}"]
    settings = {
        "vocab_size": vocabulary,
        "dim": width,
        "n_layers": layers(shapes, "distilbert.transformer.layer."),
        "hidden_dim": rows(shapes, "distilbert.transformer.layer.0.ffn.lin1.weight"),
        "max_position_embeddings": rows(shapes, "distilbert.embeddings.position_embeddings.weight"),
        "num_labels": outputs,
        "pad_token_id": 0,
    }
    return Family(
        "distilbert", "DistilBERT classifier", "DistilBertForSequenceClassification", "DistilBertConfig", settings,
        "text", text(outputs, settings["max_position_embeddings"]), heads(width, PUBLISHED), "n_heads", 0,
    )  # fmt: skip


def _albert(shapes: Shapes) -> Family | None:
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0."
    outputs, width = rows(shapes, "classifier.weight"), rows(shapes, f"{layer}attention.query.weight")
    if not outputs or not width:
        return None
    known = ALBERT.get(width)
    count = known[1] if known else ALBERT_LAYERS
    settings = {
        "vocab_size": rows(shapes, f"albert.{WORDS}"),
        "embedding_size": shapes[f"albert.{WORDS}"][1],
        "hidden_size": width,
        "num_hidden_layers": count,
        "num_hidden_groups": layers(shapes, "albert.encoder.albert_layer_groups."),
        "inner_group_num": layers(shapes, "albert.encoder.albert_layer_groups.0.albert_layers."),
        "intermediate_size": rows(shapes, f"{layer}ffn.weight"),
        "max_position_embeddings": rows(shapes, "albert.embeddings.position_embeddings.weight"),
        "type_vocab_size": rows(shapes, "albert.embeddings.token_type_embeddings.weight"),
        "num_labels": outputs,
        "pad_token_id": 0,
    }
    usual = (Heads(known[0], f"as in the published ALBERT of width {width:,}"),) if known else heads(width)
    told = f"Its layers share their weights, so how often they are run is not in the file; {count} times is taken."
    return Family(
        "albert", "ALBERT classifier", "AlbertForSequenceClassification", "AlbertConfig", settings, "text",
        text(outputs, settings["max_position_embeddings"]), usual, pad=0, notes=(told,),
    )  # fmt: skip


def _mpnet(shapes: Shapes) -> Family | None:
    outputs, bias = rows(shapes, TWO_LAYERS[1]), shapes.get("mpnet.encoder.relative_attention_bias.weight")
    if not outputs or bias is None or len(bias) != 2:
        return None
    settings: dict[str, Any] = {
        "vocab_size": rows(shapes, f"mpnet.{WORDS}"),
        "hidden_size": shapes[f"mpnet.{WORDS}"][1],
        "num_hidden_layers": layers(shapes, "mpnet.encoder.layer."),
        "num_attention_heads": bias[1],
        "relative_attention_num_buckets": bias[0],
        "intermediate_size": rows(shapes, "mpnet.encoder.layer.0.intermediate.dense.weight"),
        "max_position_embeddings": rows(shapes, "mpnet.embeddings.position_embeddings.weight"),
        "layer_norm_eps": 1e-5,  # of the published weights; the library's default is another
        "num_labels": outputs,
        "pad_token_id": 1,
    }
    return Family(
        "mpnet", "MPNet classifier", "MPNetForSequenceClassification", "MPNetConfig", settings, "text",
        text(outputs, settings["max_position_embeddings"] - 2), pad=1,
    )  # fmt: skip


def _deberta(shapes: Shapes) -> Family | None:
    outputs, inside, layer = rows(shapes, "classifier.weight"), "deberta.", "deberta.encoder.layer.0.attention.self."
    if not outputs or "pooler.dense.weight" not in shapes:
        return None
    places, table = (
        f"{inside}embeddings.position_embeddings.weight",
        rows(shapes, "deberta.encoder.rel_embeddings.weight"),
    )
    width = rows(shapes, "pooler.dense.weight")
    second = f"{layer}query_proj.weight" in shapes
    content, position = ("pos_key_proj", "pos_query_proj") if second else ("pos_proj", "pos_q_proj")
    shared = second and f"{layer}{content}.weight" not in shapes
    kinds = [
        kind for kind, name in (("c2p", content), ("p2c", position)) if shared or f"{layer}{name}.weight" in shapes
    ]
    settings: dict[str, Any] = {
        "vocab_size": rows(shapes, inside + WORDS),
        "hidden_size": width,
        "num_hidden_layers": layers(shapes, f"{inside}encoder.layer."),
        "intermediate_size": rows(shapes, f"{inside}encoder.layer.0.intermediate.dense.weight"),
        "max_position_embeddings": rows(shapes, places) or 512,
        "position_biased_input": places in shapes,
        "type_vocab_size": rows(shapes, f"{inside}embeddings.token_type_embeddings.weight"),
        "relative_attention": table > 0,
        "pos_att_type": kinds,
        "layer_norm_eps": 1e-7,
        "pooler_hidden_size": width,
        "num_labels": outputs,
        "pad_token_id": 0,
    }
    if second:
        settings |= {"position_buckets": table // 2, "share_att_key": shared}
        settings |= {"norm_rel_ebd": "layer_norm"} if "deberta.encoder.LayerNorm.weight" in shapes else {}
        kernel = shapes.get("deberta.encoder.conv.conv.weight")
        settings |= {"conv_kernel_size": kernel[2], "conv_act": "gelu"} if kernel and len(kernel) == 3 else {}
    elif table:
        settings["max_relative_positions"] = table // 2
    kind = "DebertaV2" if second else "Deberta"
    return Family(
        "deberta-v2" if second else "deberta", "DeBERTa-v2 classifier" if second else "DeBERTa classifier",
        f"{kind}ForSequenceClassification", f"{kind}Config", settings, "text",
        text(outputs, settings["max_position_embeddings"]), heads(width, DEBERTA), pad=0,
    )  # fmt: skip


def _without_scores(inside: str, others: set[str]) -> Architecture:
    whose = PREFIXES.get(inside, "BERT-like")
    parts = sorted({re.sub(r"\.(weight|bias)$", "", one) for one in others})
    if not parts:
        sentence = (
            f"These are the weights of a bare {whose} encoder, which gives no scores of a text to explain; give a"
            " classifier or a regression, such as AutoModelForSequenceClassification trains."
        )
    else:
        sentence = (
            f"These are the weights of a {whose} encoder with a head of another kind ({', '.join(parts[:3])}), whose"
            " computation is not in the file; export the model with its code, as TorchScript or ONNX, or give a"
            " classifier of transformers."
        )
    return refused("encoder", f"{whose} encoder without a classifier", sentence)


FINDER = Finder(find, near)
