"""Compiled graphs as the rest of Assay calls a network: one batch of any size in, scores of that batch out.

A graph may have been made for batches of one size: then a batch is taken apart, the last part filled up with its last
row. It may want the companions of token ids (a mask of what is text, segments, places), which follow from the ids.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, final

import torch

from model_zoo import lookup
from model_zoo.facts import Facts
from model_zoo.files import ModelFile
from model_zoo.model import tensor_of
from model_zoo.types import UserError

# What a text model may want besides its ids, by the names that are usual for it.
COMPANIONS = {
    "attention_mask": "mask",
    "input_mask": "mask",
    "mask": "mask",
    "token_type_ids": "segments",
    "segment_ids": "segments",
    "position_ids": "places",
}
IDS = ("input_ids", "ids", "tokens", "token_ids", "input", "x", "text", "input_word_ids")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # sizes for which graphs are made
LARGEST = 1 << 26  # numbers in a batch that is made up to try a size


@final
class Graph(torch.nn.Module):
    """A graph of one input: `call` is given the tensors that it takes, in its order.

    roles: "x", or a companion of token ids, for each tensor that the graph takes.
    batch: rows that it takes at once; None: any number.
    pad: the token id that is no text, for the mask.
    last: the channels are the last axis of a picture there.
    length: tokens that it takes, no more and no fewer; shorter texts are filled up with the pad.
    kind: the type that it takes, where that is another than the model's; floats are rounded to whole numbers for it.
    smooth: whole numbers are given as floats, which it turns them into first itself, so that gradients come through.
    columns: how many columns of a table the file says, or suggests, that it takes.
    mark: what tells this file from others: its digest, for not all that counts is in the parameters.
    """

    mark: torch.Tensor
    columns: int | None = None

    def __init__(
        self,
        network: Any,
        roles: Sequence[str] = ("x",),
        *,
        batch: int | None = None,
        pad: int | None = None,
        last: bool = False,
        length: int | None = None,
        kind: torch.dtype | None = None,
        smooth: bool = False,
        mark: bytes = b"",
    ) -> None:
        super().__init__()
        self.network = network
        self.roles = tuple(roles)
        self.batch = batch
        self.pad = pad
        self.last = last
        self.length = length
        self.kind = kind
        self.smooth = smooth
        self.register_buffer("mark", torch.frombuffer(bytearray(mark or b"\0"), dtype=torch.uint8), persistent=True)

    def forward(self, x: torch.Tensor) -> Any:
        """Scores of inputs x (n, ...), whatever the number of rows that the graph was made for."""
        if self.batch is None or self.batch == len(x):
            return self._run(x)
        parts = []
        for start in range(0, len(x), self.batch):
            count = min(self.batch, len(x) - start)
            chosen = torch.arange(start, start + self.batch, device=x.device).clamp(max=start + count - 1)
            with lookup.rows(chosen):
                parts.append(tensor_of(self._run(x[chosen]))[:count])
        return torch.cat(parts)

    def train(self, mode: bool = True) -> Graph:
        """Nothing is trained here, and an exported program refuses to be told so."""
        for one in self.modules():
            one.training = False
        return self

    def _run(self, x: torch.Tensor) -> Any:
        if self.last:
            x = x.permute(0, 2, 3, 1)
        if self.kind is not None:
            x = _as(x, self.kind, self.smooth)
        if self.length is None or x.shape[1] >= self.length:
            return self.network(*(self._given(role, x, x.shape[1]) for role in self.roles))
        pad = self.pad or 0
        whole = torch.nn.functional.pad(x, (0, self.length - x.shape[1]), value=pad)
        with lookup.filled(self.length, pad):
            return self.network(*(self._given(role, whole, x.shape[1]) for role in self.roles))

    def _given(self, role: str, x: torch.Tensor, tokens: int) -> torch.Tensor:
        """One input of the graph, for ids x of which the first `tokens` are a person's."""
        if role == "mask":
            there = (torch.arange(x.shape[1], device=x.device) < tokens).expand_as(x)
            return (there if self.pad is None else there & (x != self.pad)).to(x.dtype)
        if role == "segments":
            return torch.zeros_like(x)
        if role == "places":
            return torch.arange(x.shape[1], device=x.device, dtype=x.dtype).expand_as(x)
        return x


def _as(x: torch.Tensor, kind: torch.dtype, smooth: bool) -> torch.Tensor:
    """Inputs of a type; floats become the nearest whole numbers, whose gradient is that of x if they stay floats."""
    if kind.is_floating_point or kind == torch.bool or not x.is_floating_point():
        return x.to(kind)
    limits = torch.iinfo(kind)
    whole = x.detach().round().clamp(limits.min, limits.max)
    return whole + (x - x.detach()) if smooth else whole.to(kind)


@final
class Script(torch.nn.Module):
    """A script run as it is written, without the executor's own rewriting."""

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.script = script

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the script returns."""
        with torch.jit.optimized_execution(False):
            return self.script(*inputs)


def roles(names: Sequence[str], title: str) -> tuple[str, ...]:
    """What each input is, by its name; UserError where more than one input has to come from a person."""
    if len(names) == 1:
        return ("x",)
    lower = [one.lower() for one in names]
    found = tuple(COMPANIONS.get(one, "x") for one in lower)
    if found.count("x") == 1 and lower[found.index("x")] in IDS:
        return found
    if not names:
        raise UserError(f"{title} takes no input; expected a model of one input. Save the whole model.")
    raise UserError(
        f"{title} takes {len(names)} inputs ({', '.join(names[:6])}); a model of one input is expected, of token ids"
        " perhaps with a mask. Wrap it so that the others are constants, and save it again."
    )


def example(facts: Facts, dtype: torch.dtype, rows: int = 1, words: int = 2) -> torch.Tensor | None:
    """Made-up inputs (rows, ...) of the shape that the facts tell, token ids below `words`; None where they do not."""
    made = torch.Generator().manual_seed(0)
    if facts.modality == "image" and facts.size is not None:
        return torch.rand(rows, facts.channels or 3, *facts.size, generator=made).to(dtype)
    if facts.modality == "tabular" and facts.columns:
        return torch.rand(rows, len(facts.columns), generator=made).to(dtype)
    if facts.modality == "text":
        return torch.randint(0, words, (rows, min(facts.limit or 8, 512)), generator=made)
    return None


def fit(graph: Graph, x: torch.Tensor) -> None:
    """Find out, on rows x (2, ...), how many rows the graph takes at once."""
    with torch.no_grad():
        if any_number(graph, x):
            return
        for count in BATCHES:
            if count * x[0].numel() > LARGEST:
                return
            try:
                scores = tensor_of(graph(x[:1].expand(count, *x.shape[1:]).clone()))
            except Exception:  # a stranger's graph may raise anything
                continue
            if scores.ndim and len(scores) == count:
                graph.batch = count
                return


def returned(graph: Graph, x: torch.Tensor | None) -> tuple[int | None, tuple[str, ...]]:
    """Columns of scores for rows x, None where they are not known; and a note where more than the scores comes."""
    if x is None:
        return None, ()
    try:
        with torch.no_grad():
            rows = x[:1].expand(graph.batch or 1, *x.shape[1:]).clone()
            found = graph._run(rows)
            scores = tensor_of(found)
    except Exception:  # a stranger's graph may raise anything; what goes wrong is told when it is run
        return None, ()
    width = 1 if scores.ndim == 1 and len(scores) == len(rows) else scores[0].numel() if scores.ndim else None
    if not isinstance(found, (tuple, list, dict)) or len(found) < 2 or width is None:
        return width, ()
    which = "the first"
    if isinstance(found, dict):
        which = next(str(name) for name, one in found.items() if one is scores)
    numbers = "one number" if width == 1 else f"{width:,} numbers"
    return width, (f"It returns {len(found)} outputs; {which}, of {numbers}, is explained.",)


def scored(guess: Facts, said: Facts, sigmoid: bool, width: int | None) -> Facts:
    """The guess, with what a last sigmoid tells: one chance, or several labels that do not exclude one another."""
    if not sigmoid or width is None or said.task is not None or said.output is not None:
        return guess
    if width == 1:
        return dataclasses.replace(guess, task="binary", output="probability")
    return dataclasses.replace(guess, task="regression", output="value")


LABELS = "It ends in a sigmoid, so its labels do not exclude one another: the chance of each is explained by itself."


def labelled(guess: Facts, width: int | None) -> tuple[str, ...]:
    """A note where scored() found several labels."""
    return (LABELS,) if guess.task == "regression" and (width or 0) > 1 else ()


def notes(graph: Graph, gradients: bool = False) -> tuple[str, ...]:
    """Sentences about what the graph takes no more and no fewer of; and why there are no gradients, where some are
    expected."""
    found = []
    if graph.batch is not None:
        how = "one by one" if graph.batch == 1 else f"{graph.batch} at a time"
        found.append(f"It was made for batches of {graph.batch:,}, so inputs are run {how}, which takes longer.")
    if graph.kind is not None and not graph.kind.is_floating_point and not graph.smooth and gradients:
        kind = str(graph.kind).removeprefix("torch.")
        found.append(f"It computes with its input as whole numbers ({kind}), so no gradient comes back to the input.")
    if graph.length is not None:
        found.append(
            f"Its length was fixed to {graph.length:,} tokens when it was exported: longer texts are cut, shorter ones"
            " are filled up with the pad."
        )
    return tuple(found)


def any_number(graph: Graph, x: torch.Tensor) -> bool:
    """Whether two rows together have the scores that each has alone."""
    try:
        both = tensor_of(graph(x.clone()))
        each = [tensor_of(graph(one[None].clone())) for one in x]
    except Exception:  # a stranger's graph may raise anything
        return False
    if both.ndim == 0 or len(both) != len(x):
        return False
    if any(one.shape != both[:1].shape for one in each):
        return False
    return torch.allclose(both, torch.cat(each), rtol=1e-3, atol=1e-4, equal_nan=True)


def mark(file: ModelFile) -> bytes:
    """The sha256 of a file, or over those of the files of a folder."""
    if not file.folder:
        with file.open() as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    paths = [file.path / one for one in file.entries]
    return hashlib.sha256(b"".join(mark(ModelFile(one)) for one in paths if not one.is_symlink())).digest()


def pad_of(tokenizer: str) -> int | None:
    """The id that fills up texts, from the text of a tokenizer.json; None where there is none or it cannot be read."""
    from tokenizers import Tokenizer

    from model_zoo.modalities._tokenizer import adapt

    try:
        found = adapt(Tokenizer.from_str(tokenizer)) if tokenizer else None
        return found.pad if found is not None and "pad" in found.piece(found.pad).lower() else None
    except BaseException as error:  # its parser raises past Exception; what is wrong with it is said elsewhere
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return None
