"""A network trained in seconds on pictures of which one class bears a mark: where the answer lies is known."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

import model_zoo
from model_zoo.model import Model

SIDE, MARK = 32, 8


@dataclass(frozen=True)
class Pictures:
    """x (n, 1, SIDE, SIDE) float32, labels (n,), and the mark of each, bool (n, SIDE, SIDE)."""

    x: np.ndarray
    labels: np.ndarray
    marks: np.ndarray


def pictures(count: int, seed: int) -> Pictures:
    """Soft textures; class 1 bears a bright square somewhere."""
    rng = np.random.default_rng(seed)
    x = ndimage.gaussian_filter(rng.normal(size=(count, SIDE, SIDE)), (0, 3, 3))
    x *= 0.08 / x.std()
    labels = rng.integers(0, 2, count)
    marks = np.zeros(x.shape, dtype=bool)
    for place, (top, left) in enumerate(rng.integers(1, SIDE - MARK - 1, (count, 2))):
        marks[place, top : top + MARK, left : left + MARK] = labels[place] == 1
    x[marks] += 1.0
    return Pictures(x[:, None].astype(np.float32), labels, marks)


def network(seed: int) -> torch.nn.Module:
    """An untrained one."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 2),
    )


@functools.cache
def trained(seed: int = 0, shuffled: bool = False) -> Model:
    """The network after 400 steps, on true labels or on shuffled ones."""
    shown = pictures(1500, 1)
    labels = np.random.default_rng(seed).permutation(shown.labels) if shuffled else shown.labels
    module = network(seed)
    x, y = torch.tensor(shown.x), torch.tensor(labels)
    optimiser = torch.optim.Adam(module.parameters(), 5e-3)
    source = torch.Generator().manual_seed(seed)
    for _ in range(400):
        rows = torch.randint(0, len(x), (64,), generator=source)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(x[rows]), y[rows]).backward()
        optimiser.step()
    return wrapped(module)


def wrapped(module: torch.nn.Module) -> Model:
    """As a model of pictures."""
    return model_zoo.wrap(module, modality="image", size=(SIDE, SIDE), class_names=["plain", "marked"])


def share(dense: np.ndarray, mark: np.ndarray) -> float:
    """The share of a map's mass (height, width), of either sign, that lies in the mark."""
    mass = np.abs(dense)
    return float(mass[mark].sum() / mass.sum())
