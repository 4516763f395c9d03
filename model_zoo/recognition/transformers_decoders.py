"""Decoders: GPT-2 and those with Llama's names, as language models or with a classifier on the last token.

What a file cannot say of the Llama family (the base of its rotary positions, the width of a head) is that of the
published model of its width, layers and width of keys; where several are published, each is a choice, those with its
vocabulary first.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from model_zoo.facts import Facts
from model_zoo.recognition import Architecture, Finder, Near, Shapes
from model_zoo.recognition._transformers import Family, consistent, heads, layers, rows, text

NEXT = Facts(modality="text", task="classification", output="logit")
SAID = "It is explained as a choice of the token that comes next after the text."
END = 50256  # of GPT-2's vocabulary
LONGEST = 2048


def find(shapes: Shapes) -> Iterator[Architecture]:
    """GPT-2, or a network with Llama's names."""
    for family in _families(shapes):
        yield from family.architectures()


def near(shapes: Shapes) -> Iterator[Near]:
    """The decoder whose names these resemble, where some tensors differ."""
    for family in tuple(_families(shapes))[:1]:
        yield family.near(shapes)


def _families(shapes: Shapes) -> Iterator[Family]:
    for inside in ("transformer.", ""):
        if f"{inside}h.0.attn.c_attn.weight" in shapes and f"{inside}wte.weight" in shapes:
            found = consistent(functools.partial(_gpt2, shapes, inside))
            if found is not None:
                yield found
            return
    if "model.layers.0.self_attn.q_proj.weight" in shapes and "model.embed_tokens.weight" in shapes:
        yield from _llama(shapes)


def _gpt2(shapes: Shapes, inside: str) -> Family:
    vocabulary, width = shapes[f"{inside}wte.weight"]
    score = rows(shapes, "score.weight")
    end = END if vocabulary > END else None  # of another vocabulary it is not known
    places = rows(shapes, f"{inside}wpe.weight")
    settings: dict[str, Any] = {
        "vocab_size": vocabulary,
        "n_embd": width,
        "n_layer": layers(shapes, f"{inside}h."),
        "n_positions": places,
        "n_inner": shapes[f"{inside}h.0.mlp.c_fc.weight"][-1],
        "bos_token_id": end,
        "eos_token_id": end,
    }
    before = {} if inside else {"h.": "transformer.h.", "w": "transformer.w", "ln_f.": "transformer.ln_f."}
    if score:
        settings |= {"num_labels": score, "pad_token_id": end}
        return Family(
            "gpt2-classifier", "GPT-2 classifier", "GPT2ForSequenceClassification", "GPT2Config", settings, "text",
            text(score, places), heads(width), "n_head", end, before=before,
        )  # fmt: skip
    return Family(
        "gpt2", "GPT-2 language model", "GPT2LMHeadModel", "GPT2Config", settings, "next token",
        Facts(limit=places).over(NEXT), heads(width), "n_head", end, (SAID,), before=before,
        added=lambda own: {"lm_head.weight": own.get("lm_head.weight", own.get("transformer.wte.weight"))},
    )  # fmt: skip


@dataclass(frozen=True)
class Published:
    """What is known of a published model: base of the rotary positions, width of a head, and their scaling."""

    title: str
    base: float
    head: int
    epsilon: float = 1e-5
    scaling: dict[str, Any] | None = None
    vocabulary: int = 0
    reason: str = "Its width, its layers and the width of its keys are the file's"


def _stretched(factor: float) -> dict[str, Any]:
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


KNOWN: dict[tuple[str, int, int, int], tuple[Published, ...]] = {  # names, width, layers, width of the keys
    ("Llama", 2048, 22, 256): (Published("TinyLlama", 1e4, 64, vocabulary=32000),),
    ("Llama", 4096, 32, 4096): (
        Published("Llama-2-7B", 1e4, 128, vocabulary=32000),
        Published("Llama-7B", 1e4, 128, 1e-6, vocabulary=32000),
        Published("CodeLlama-7B", 1e6, 128, vocabulary=32016),
    ),
    ("Llama", 5120, 40, 5120): (
        Published("Llama-2-13B", 1e4, 128, vocabulary=32000),
        Published("Llama-13B", 1e4, 128, 1e-6, vocabulary=32000),
        Published("CodeLlama-13B", 1e6, 128, vocabulary=32016),
    ),
    ("Llama", 576, 30, 192): (
        Published("SmolLM2-135M", 1e5, 64, vocabulary=49152),
        Published("SmolLM-135M", 1e4, 64, vocabulary=49152),
    ),
    ("Llama", 960, 32, 320): (
        Published("SmolLM2-360M", 1e5, 64, vocabulary=49152),
        Published("SmolLM-360M", 1e4, 64, vocabulary=49152),
    ),
    ("Llama", 2048, 24, 2048): (
        Published("SmolLM2-1.7B", 1.3e5, 64, vocabulary=49152),
        Published("SmolLM-1.7B", 1e4, 64, vocabulary=49152),
    ),
    ("Llama", 2048, 16, 512): (Published("Llama-3.2-1B", 5e5, 64, scaling=_stretched(32.0), vocabulary=128256),),
    ("Llama", 3072, 28, 1024): (Published("Llama-3.2-3B", 5e5, 128, scaling=_stretched(32.0), vocabulary=128256),),
    ("Llama", 4096, 32, 1024): (
        Published("Llama-3.1-8B", 5e5, 128, scaling=_stretched(8.0), vocabulary=128256),
        Published("Llama-3-8B", 5e5, 128, vocabulary=128256),
        Published("Mistral-7B-v0.1", 1e4, 128, vocabulary=32000),
        Published("Mistral-7B-Instruct-v0.2", 1e6, 128, vocabulary=32000),
        Published("Mistral-7B-v0.3", 1e6, 128, vocabulary=32768),
    ),
    ("Qwen2", 896, 24, 128): (Published("Qwen2-0.5B", 1e6, 64, 1e-6, vocabulary=151936),),
    ("Qwen2", 1536, 28, 256): (
        Published("Qwen2-1.5B", 1e6, 128, 1e-6, vocabulary=151936),
        Published("Qwen2.5-Math-1.5B", 1e4, 128, 1e-6, vocabulary=151936),
    ),
    ("Qwen2", 2048, 36, 256): (Published("Qwen2.5-3B", 1e6, 128, 1e-6, vocabulary=151936),),
    ("Qwen2", 3584, 28, 512): (
        Published("Qwen2-7B", 1e6, 128, 1e-6, vocabulary=152064),
        Published("Qwen2.5-Math-7B", 1e4, 128, 1e-6, vocabulary=152064),
    ),
}
ADDED = 1024  # tokens that an owner may have added to a published vocabulary
WIDE = 3072  # from this width on, heads of 128 are usual; below, heads of 64
MOST_CHOICES = 3


def _llama(shapes: Shapes) -> Iterator[Family]:
    layer = "model.layers.0.self_attn."
    if len(shapes["model.embed_tokens.weight"]) != 2:
        return
    vocabulary, width = shapes["model.embed_tokens.weight"]
    queries, keys = rows(shapes, f"{layer}q_proj.weight"), rows(shapes, f"{layer}k_proj.weight")
    outputs = rows(shapes, "score.weight")
    kind = "Qwen3" if f"{layer}q_norm.weight" in shapes else "Qwen2" if f"{layer}q_proj.bias" in shapes else "Llama"
    if "model.layers.0.pre_feedforward_layernorm.weight" in shapes:
        return  # Gemma 2: other norms
    for index, known in enumerate(_published(shapes, kind)):
        settings: dict[str, Any] = {
            "vocab_size": vocabulary,
            "hidden_size": width,
            "num_hidden_layers": layers(shapes, "model.layers."),
            "intermediate_size": rows(shapes, "model.layers.0.mlp.gate_proj.weight"),
            "num_attention_heads": queries // known.head,
            "num_key_value_heads": keys // known.head,
            "head_dim": known.head,
            "rms_norm_eps": known.epsilon,
            "rope_theta": known.base,
            "max_position_embeddings": 131072 if known.scaling else LONGEST,
            "tie_word_embeddings": not outputs and "lm_head.weight" not in shapes,
        }
        settings |= {"rope_scaling": dict(known.scaling)} if known.scaling else {}
        notes = (
            f"The base of its positions ({known.base:,.0f}) and its heads of width {known.head} are not in the weights;"
            f" they are {known.title}.",
        )
        name = known.title.removeprefix("those of ").lower().replace(" ", "-")
        classifier = {"num_labels": outputs} if outputs else {}
        yield Family(
            f"{kind.lower()}-{name}",
            f"{kind} {'classifier' if outputs else 'language model'} ({known.title})",
            f"{kind}ForSequenceClassification" if outputs else f"{kind}ForCausalLM",
            f"{kind}Config",
            settings | classifier,
            "text" if outputs else "next token",
            text(outputs, 512) if outputs else Facts(limit=512).over(NEXT),
            notes=notes if outputs else (*notes, SAID),
            reason=known.reason,
            score=0.9 - 0.05 * index,
            added=_tied if settings["tie_word_embeddings"] else None,
        )


def _tied(own: dict[str, Any]) -> dict[str, Any]:
    return {"lm_head.weight": own["model.embed_tokens.weight"]}


def _published(shapes: Shapes, kind: str) -> Iterator[Published]:
    """Models of this width, with as many layers and keys as wide; else what is usual for the family."""
    vocabulary, width = shapes["model.embed_tokens.weight"]
    queries, keys = (rows(shapes, f"model.layers.0.self_attn.{one}_proj.weight") for one in "qk")
    found = [
        one
        for one in KNOWN.get((kind, width, layers(shapes, "model.layers."), keys), ())
        if _divides(one.head, queries, keys)
    ]
    if found:
        apart = [abs(one.vocabulary - vocabulary) for one in found]
        near = [(far, one) for far, one in zip(apart, found, strict=True) if far <= min(apart) + ADDED]
        yield from (one for _, one in sorted(near, key=lambda pair: pair[0]))
        return
    base, epsilon = (1e4, 1e-5) if kind == "Llama" else (1e6, 1e-6)
    norm = shapes.get("model.layers.0.self_attn.q_norm.weight")
    usual = (128, 64) if width >= WIDE else (64, 128)
    fitting = [one for one in (norm or (*usual, 80, 96, 32, 16, 8)) if _divides(one, queries, keys)]
    for one in fitting[:MOST_CHOICES]:
        reason = f"usual for a width of {width:,}" if one == usual[0] else "it divides queries and keys"
        reason = "as wide as the norm of its queries" if norm else reason
        yield Published(f"those of {kind} with heads of {one}", base, one, epsilon, reason=f"Heads of {one}: {reason}")


def _divides(head: int, queries: int, keys: int) -> bool:
    """Whether queries and keys can be split into heads of this width, as many queries for each key."""
    return keys > 0 and not keys % head and not queries % keys and head % 2 == 0


FINDER = Finder(find, near)
