"""TorchScript files: scripted, traced, frozen and quantised networks, against the networks that they were made of."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from corpus import Built, Entry
from small_networks import PHOTO, ROW, TEXT, Recurrent, Transformer, cnn, mlp, scores_of, tokenizer

from model_zoo import guessing
from model_zoo.facts import Facts

TEXTS = Facts(modality="text", tokenizer=tokenizer())


def _saved(folder: Path, script: Any) -> Path:
    path = folder / "model.pt"
    torch.jit.save(script, path)
    return path


def _scripted_cnn(folder: Path) -> Built:
    network = cnn(16)
    return Built(_saved(folder, torch.jit.script(network)), PHOTO, scores_of(network))


def _traced_resnet(folder: Path) -> Built:
    from model_zoo.vision import torchvision

    torch.manual_seed(0)
    network = torchvision().models.resnet18(num_classes=5).eval()
    return Built(_saved(folder, torch.jit.trace(network, torch.rand(1, 3, 64, 64))), PHOTO, scores_of(network))


def _scripted_transformer(folder: Path) -> Built:
    network = Transformer()
    return Built(_saved(folder, torch.jit.script(network)), TEXT, scores_of(network))


def _traced_lstm(folder: Path) -> Built:
    network = Recurrent()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        script = torch.jit.trace(network, torch.zeros(1, 9, dtype=torch.long))
    return Built(_saved(folder, script), TEXT, scores_of(network))


def _frozen_mlp(folder: Path) -> Built:
    network = mlp()
    return Built(_saved(folder, torch.jit.freeze(torch.jit.script(copy.deepcopy(network)))), ROW, scores_of(network))


def _quantised_mlp(folder: Path) -> Built:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's quantisation is deprecated; files of it stay
        network = torch.ao.quantization.quantize_dynamic(mlp(), {torch.nn.Linear})
    return Built(_saved(folder, torch.jit.script(network)), ROW, scores_of(network))


ENTRIES = (
    Entry("torchscript_cnn", "torchscript", "a small CNN, scripted", _scripted_cnn),
    Entry(
        "torchscript_resnet18",
        "torchscript",
        "ResNet-18 of torchvision, traced",
        _traced_resnet,
        Facts(size=(32, 32)),
    ),
    Entry("torchscript_transformer", "torchscript", "a transformer of texts, scripted", _scripted_transformer, TEXTS),
    Entry("torchscript_lstm", "torchscript", "a BiLSTM of texts, traced", _traced_lstm, TEXTS),
    Entry(
        "torchscript_frozen_mlp",
        "torchscript",
        "a perceptron, scripted and frozen",
        _frozen_mlp,
        Facts(modality="tabular", columns=guessing.columns(6)),
    ),
    Entry(
        "torchscript_quantised_mlp", "torchscript", "a perceptron, dynamically quantised", _quantised_mlp, gradient=""
    ),
)
