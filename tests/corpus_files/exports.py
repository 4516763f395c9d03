"""torch.export archives: against the networks that they were made of."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpus import Built, Entry
from small_networks import PHOTO, ROW, TEXT, Recurrent, Transformer, cnn, mlp, scores_of, tokenizer

from model_zoo.facts import Facts

TEXTS = Facts(tokenizer=tokenizer())


def saved(folder: Path, network: torch.nn.Module, inputs: torch.Tensor, *moving: int) -> Path:
    """An exported program in which some axes of the input may have any size."""
    path = folder / "model.pt2"
    shapes: Any = (dict.fromkeys(moving, torch.export.Dim.AUTO),) if moving else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (inputs,), dynamic_shapes=shapes), path)
    return path


def _cnn(folder: Path) -> Built:
    network = cnn(16)
    return Built(saved(folder, network, torch.rand(2, 3, 16, 16), 0), PHOTO, scores_of(network))


def _mlp(folder: Path) -> Built:
    network = mlp()
    return Built(saved(folder, network, torch.rand(2, 6), 0), ROW, scores_of(network))


def _transformer(folder: Path) -> Built:
    network = Transformer()
    ids = torch.from_numpy(np.arange(18).reshape(2, 9) % 14)
    return Built(saved(folder, network, ids, 0, 1), TEXT, scores_of(network))


def _fixed_cnn(folder: Path) -> Built:
    network = cnn(16)
    return Built(saved(folder, network, torch.rand(1, 3, 16, 16)), PHOTO, scores_of(network))


def _fixed_gru(folder: Path) -> Built:
    network = Recurrent("GRU")
    scores = scores_of(network)
    return Built(
        saved(folder, network, torch.arange(12)[None]), TEXT, lambda x: scores(np.pad(x, (0, 12 - len(x))))
    )  # [PAD] is 0


ENTRIES = (
    Entry("pt2_cnn", "export", "a small CNN, exported", _cnn),
    Entry("pt2_mlp", "export", "a perceptron, exported", _mlp),
    Entry("pt2_transformer", "export", "a transformer of texts, exported", _transformer, TEXTS),
    Entry("pt2_fixed_batch", "export", "a small CNN, exported for one picture at a time", _fixed_cnn),
    Entry("pt2_gru", "export", "a BiGRU of texts, exported for one text of 12 tokens", _fixed_gru, TEXTS),
)
