"""What every method owes pictures and texts: the model as it was, the same bytes for the same seed, finite values."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from tiny_transformers import made

import explainers
import model_zoo
from explainers import registry
from explainers.types import Method
from model_zoo.model import Model
from model_zoo.types import UserError

FEW = 48  # evaluations, where a method takes as many as it is given
TEXT = "a bb ccc dddd eeeee ffffff"


class Picture(torch.nn.Module):
    """A convolutional network with batch norm and dropout, left in training mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 8, 3, stride=2, padding=1),
            torch.nn.ReLU(),
        )
        self.head = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(8, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


def _picture() -> tuple[Model, Any]:
    x = np.random.default_rng(4).normal(size=(3, 24, 24)).astype(np.float32)
    return model_zoo.wrap(Picture().train(), modality="image", size=(24, 24)), x


def _text() -> tuple[Model, Any]:
    network = made(
        "BertForSequenceClassification",
        "BertConfig",
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
    )
    tokenizer = lambda text: [len(word) for word in text.split()]  # noqa: E731
    return model_zoo.wrap(network.train(), modality="text", tokenizer=tokenizer), TEXT


MAKERS = {"image": _picture, "text": _text}
CASES = [(one, modality) for one in registry.methods() for modality in MAKERS if modality in one.modalities]


def _cheap(method: Method) -> dict[str, Any]:
    """Parameters with which a method is quick; few parts, so that what enumerates can."""
    known = {one.name: one for one in fields(method.params)}
    found: dict[str, Any] = {}
    if method.effort:
        about = known[method.effort].metadata
        found[method.effort] = int(max(about.get("low") or 1, FEW))
    if "segments" in known:
        found["segments"] = 6
    return found


def _fingerprint(module: torch.nn.Module) -> str:
    found = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        found.update(name.encode() + tensor.numpy().tobytes())
    for name, one in module.named_modules():
        hooks = (one._forward_hooks, one._forward_pre_hooks, one._backward_hooks, one._backward_pre_hooks)
        found.update(f"{name} {one.training} {[len(h) for h in hooks]}".encode())
    found.update(str([(p.requires_grad, p.grad) for p in module.parameters()]).encode())
    return found.hexdigest()


@pytest.mark.parametrize(("method", "modality"), CASES, ids=lambda one: getattr(one, "id", one))
def test_the_model_is_left_as_it_was_and_the_same_seed_says_the_same(method: Method, modality: str) -> None:
    model, given = MAKERS[modality]()
    before, state, numpy_state = _fingerprint(model.network), torch.get_rng_state(), np.random.get_state()[1].copy()
    found = None
    with contextlib.suppress(UserError):  # it does not apply, or would be wrong here: nothing changed either
        found = explainers.explain(model, given, method.id, seed=5, **_cheap(method))
    assert _fingerprint(model.network) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    if found is None:
        return
    assert np.isfinite(found.values).all()
    again = explainers.explain(model, given, method.id, seed=5, batches=found.provenance.batches, **_cheap(method))
    assert again.values.tobytes() == found.values.tobytes()
    assert found.sentence().endswith(".")
