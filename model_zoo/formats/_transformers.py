"""Models of the transformers library as networks from token ids or pixels to scores, and the library kept quiet.

A batch of texts is what the library's own tokenizer makes of it with padding: ids, and a mask that is 1 where the id is
not the pad. This module imports torch at the top; whoever needs it imports it inside a function.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import torch

from model_zoo import vision
from model_zoo.formats import _hf_tokenizer
from model_zoo.formats._hf_config import contradiction
from model_zoo.types import UserError, quoted

NO_PAD = -1  # an id that no text has
TURNED = ("xlnet",)  # types that turn ids around before they look them up: the look-up is done outside, the same one
LONGEST = 4096  # tokens
USUAL = 512  # tokens, where nobody says


@contextlib.contextmanager
def quiet() -> Iterator[Any]:
    """The transformers module: without network, progress bars or reports while inside, and as it was afterwards."""
    vision.ready()
    import huggingface_hub.constants as hub
    import transformers
    from transformers.utils import logging

    was = hub.HF_HUB_OFFLINE, hub.HF_HUB_DISABLE_TELEMETRY, logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub.HF_HUB_OFFLINE = hub.HF_HUB_DISABLE_TELEMETRY = True
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        hub.HF_HUB_OFFLINE, hub.HF_HUB_DISABLE_TELEMETRY = was[:2]
        logging.set_verbosity(was[2])
        if was[3]:
            logging.enable_progress_bar()


def assembled(cls: Any, config: Any, tensors: dict[str, torch.Tensor], name: str) -> tuple[Any, tuple[str, ...]]:
    """The library's network with these weights in float32, and notes; UserError unless they fit it.

    Nothing is allocated for a configuration that asks for much more than the weights have.
    """
    have = sum(one.numel() for one in tensors.values())
    try:
        with torch.device("meta"):
            wanted = sum(one.numel() for one in cls(config).parameters())
    except Exception as error:  # a configuration may contradict itself in any way
        raise UserError(
            f"config.json in {name} does not make a {cls.__name__}: {quoted(error)}. Give the one saved with it."
        ) from error
    if wanted > 1.5 * have + 10_000_000:
        raise contradiction(name, config, f"one asks for {wanted:,} parameters, the others are {have:,}")
    network, report = cls.from_pretrained(
        None,
        config=config,
        state_dict=tensors,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    for key, came, asked in sorted(report["mismatched_keys"]):
        raise contradiction(name, config, f"{key} has the shape {tuple(came)} and was expected to have {tuple(asked)}")
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"The weights in {name} lack {len(missing)} tensors of a {cls.__name__}, {missing[0]} for one, so that part"
            " was never trained or saved; save the whole model with model.save_pretrained(folder)."
        )
    notes = []
    spare = sorted(report["unexpected_keys"])
    if spare:
        notes.append(
            f"{len(spare)} tensors in the file belong to no part of the network and were left out: {spare[0]}."
        )
    coarse = {str(one.dtype).removeprefix("torch.") for one in tensors.values() if one.dtype.itemsize < 4}
    coarse -= {"bool", "uint8", "int8", "int16"}
    if coarse:
        notes.append(f"Its weights are kept in {' and '.join(sorted(coarse))}; they are computed with in float32.")
    return network, tuple(notes)


class TextScores(torch.nn.Module):
    """A classifier or regression of texts: ids (n, tokens) to logits (n, outputs)."""

    def __init__(self, body: Any, pad: int | None) -> None:
        super().__init__()
        self.body = body
        self.pad = NO_PAD if pad is None else pad
        if getattr(body.config, "pad_token_id", None) is None:
            body.config.pad_token_id = self.pad  # decoders look for it, to find the last token of each text
        self._taken = _taken(body)

    def reads(self, tokenizer: str) -> tuple[str, ...]:
        """Take the pad from the text of a tokenizer.json; outputs have no names in it."""
        self.pad = _pad(tokenizer, self.pad)
        self.body.config.pad_token_id = self.pad
        return ()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits (n, outputs)."""
        given = _given(ids, (ids != self.pad).long(), self._taken)
        if self.body.config.model_type in TURNED:
            given["inputs_embeds"] = self.body.get_input_embeddings()(given.pop("input_ids"))
        return self.body(**given).logits


class NextToken(torch.nn.Module):
    """A causal language model as a classifier of what comes next: ids (n, tokens) to logits (n, vocabulary).

    The scores are those at each text's last token that is no pad.
    """

    def __init__(self, body: Any, pad: int | None) -> None:
        super().__init__()
        self.body = body
        self.pad = NO_PAD if pad is None else pad
        self._taken = _taken(body)

    def reads(self, tokenizer: str) -> tuple[str, ...]:
        """Take the pad from the text of a tokenizer.json, and from its vocabulary the names of the outputs."""
        self.pad = _pad(tokenizer, self.pad)
        found = _hf_tokenizer.parsed(tokenizer, "the card")
        return _hf_tokenizer.spellings(found, self.body.get_output_embeddings().weight.shape[0])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits (n, vocabulary)."""
        read = ids != self.pad
        last = (read * torch.arange(1, ids.shape[1] + 1, device=ids.device)).argmax(1)
        rows = torch.arange(len(ids), device=ids.device)
        given = _given(ids, read.long(), self._taken)
        if "logits_to_keep" not in self._taken:
            return self.body(**given).logits[rows, last]
        places, which = last.unique(return_inverse=True)  # logits of other positions would be wasted
        return self.body(**given, logits_to_keep=places).logits[rows, which]


class ImageScores(torch.nn.Module):
    """A classifier of pictures: pixels (n, channels, height, width) to logits (n, classes)."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes)."""
        return self.body(pixel_values=pixels, return_dict=True).logits


def _pad(tokenizer: str, otherwise: int) -> int:
    found = _hf_tokenizer.pad_of(_hf_tokenizer.parsed(tokenizer, "the card"), {}, {})
    return otherwise if found is None else found


def _taken(body: Any) -> frozenset[str]:
    return frozenset(inspect.signature(body.forward).parameters)


def _given(ids: torch.Tensor, mask: torch.Tensor, taken: frozenset[str]) -> dict[str, Any]:
    """What the network is called with: the arguments that it has a name for."""
    wanted = {"input_ids": ids, "attention_mask": mask, "use_cache": False, "use_mems": False, "return_dict": True}
    always = ("input_ids", "return_dict")
    return {name: value for name, value in wanted.items() if name in taken or name in always}


def longest(body: Any, said: int | None) -> int:
    """The most tokens that are read: by the tokenizer's settings and the network's table of positions."""
    positions = getattr(body.config, "max_position_embeddings", None)
    for name, one in body.named_modules():
        if isinstance(one, torch.nn.Embedding) and "position" in name and one.padding_idx is not None:
            positions = one.num_embeddings - one.padding_idx - 1  # RoBERTa counts from behind the pad
    known = [one for one in (said, positions) if isinstance(one, int) and one > 0]
    return min(*known, LONGEST) if said else min(*known, USUAL) if known else USUAL


def told(body: Any, outputs: int | None, kind: str) -> str:
    """The network in a few words."""
    from model_zoo.formats._weights import parameters

    what = "tokens" if kind == "next token" else "outputs"
    counted = f", {outputs:,} {what if outputs != 1 else what.rstrip('s')}" if outputs else ""
    return f"{type(body).__name__} of transformers, {parameters(body)}{counted}"
