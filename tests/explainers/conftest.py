"""Small models whose explanations are known exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import model_zoo
from model_zoo.model import Model

FEATURES, CLASSES = 5, 3


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def linear_model() -> Callable[..., tuple[Model, np.ndarray]]:
    """F(x) = W x + c as a model, and W."""

    def build(features: int = FEATURES, classes: int = CLASSES, **about: object) -> tuple[Model, np.ndarray]:
        torch.manual_seed(0)
        module = torch.nn.Linear(features, classes, dtype=torch.float64)
        weights = module.weight.detach().numpy().copy()
        model = model_zoo.wrap(
            module,
            modality="tabular",
            task="classification",
            output="logit",
            feature_names=[f"f{i}" for i in range(features)],
            class_names=[f"c{i}" for i in range(classes)],
            **about,
        )
        return model, weights

    return build


class Net(torch.nn.Module):
    """A small non-linear table network that ignores feature 4 and treats features 0 and 1 alike."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.hidden = torch.nn.Linear(FEATURES, 16, dtype=torch.float64)
        self.out = torch.nn.Linear(16, CLASSES, dtype=torch.float64)
        self.curve = torch.nn.functional.softplus
        with torch.no_grad():
            self.hidden.weight[:, 4] = 0
            self.hidden.weight[:, 1] = self.hidden.weight[:, 0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.curve(self.hidden(x)))


@pytest.fixture
def symmetric_model() -> Model:
    """A net with an unused feature (4) and two alike (0, 1)."""
    background = np.random.default_rng(2).normal(size=(6, FEATURES))
    background[:, 1] = background[:, 0]
    return model_zoo.wrap(Net(), modality="tabular", background=background, class_names=["a", "b", "c"])


class Picture(torch.nn.Module):
    """A small convolutional network for 3 × 32 × 32 pictures."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 8, 3, stride=2, padding=1),
            torch.nn.ReLU(),
        )
        self.head = torch.nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


@pytest.fixture
def picture_model() -> Model:
    """The small convolutional network as an image model."""
    return model_zoo.wrap(Picture(), modality="image", class_names=["a", "b", "c", "d"])


@pytest.fixture
def picture() -> np.ndarray:
    """One picture in the network's own space, (3, 32, 32)."""
    return np.random.default_rng(4).normal(size=(3, 32, 32)).astype(np.float32)
