"""Class activation maps by their formulas in numpy, on features and gradients that plain hooks took."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

import model_zoo
from explainers import registry

MAPS = tuple(one.id for one in registry.methods() if one.family == "activation")
Formula = Callable[[np.ndarray, np.ndarray], np.ndarray]
HEIGHT, WIDTH, CLASSES = 20, 28, 3


def plus_plus(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    divisor = 2 * g**2 + a.sum((1, 2), keepdims=True) * g**3
    alpha = np.divide(g**2, divisor, out=np.zeros_like(g), where=(g > 0) & (divisor > 0))
    return np.einsum("k,kij->ij", (alpha * np.maximum(g, 0)).sum((1, 2)), a)


def eigen(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    rows = np.stack([channel.ravel() for channel in a], 1)
    if -a[a < 0].sum() > 0.2 * np.abs(a).sum():
        rows = rows - rows.mean(0, keepdims=True)
    first = np.linalg.eigh(rows.T @ rows)[1][:, -1]  # of V, by another road than a singular value decomposition
    found = (rows @ first).reshape(a.shape[1:])
    return found * np.sign((found**3).sum())


FORMULAS: dict[str, Formula] = {
    "grad_cam": lambda a, g: np.einsum("k,kij->ij", g.mean((1, 2)), a),
    "grad_cam_plus_plus": plus_plus,
    "hires_cam": lambda a, g: np.einsum("kij,kij->ij", g, a),
    "layer_cam": lambda a, g: np.einsum("kij,kij->ij", np.maximum(g, 0), a),
    "eigen_cam": eigen,
}


def taken(network: nn.Module, layer: nn.Module, x: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of `layer` and the gradient of the target's logit there, as the layer gives them, by a plain hook."""
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output)
        return output.clone()

    handle = layer.register_forward_hook(keep)
    leaf = torch.tensor(x[None], dtype=next(network.parameters()).dtype, requires_grad=True)
    score = network(leaf)[0, target]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[-1])
    return kept[-1][0].detach().double().numpy(), gradient[0].double().numpy()


def enlarged(small: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation by hand: pixel centres, edges repeated."""

    def weights(into: int, out: int) -> np.ndarray:
        place = np.clip((np.arange(into) + 0.5) * out / into - 0.5, 0, out - 1)
        below = np.minimum(place.astype(int), out - 1)
        found = np.zeros((into, out))
        np.add.at(found, (np.arange(into), below), 1 - (place - below))
        np.add.at(found, (np.arange(into), np.minimum(below + 1, out - 1)), place - below)
        return found

    return weights(height, small.shape[0]) @ small @ weights(width, small.shape[1]).T


def convolutional(head: str = "mean", active: Callable[[], nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    """Two convolutions, the map after the second, and a head: "mean" is linear, "flat" too, "deep" is not."""
    torch.manual_seed(seed)
    places = 8 * 9 * 13
    heads = {
        "mean": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)],
        "flat": [nn.Flatten(), nn.Linear(places, CLASSES)],
        "deep": [nn.Flatten(), nn.Linear(places, 16), nn.Tanh(), nn.Linear(16, CLASSES)],
    }
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 8, (2, 2)), active(), *heads[head]
    ).eval()


def wrapped(network: nn.Module, size: tuple[int, int] = (HEIGHT, WIDTH)) -> model_zoo.Model:
    names = ["ash", "birch", "cedar"]
    return model_zoo.wrap(network, modality="image", output="logit", class_names=names, size=size)


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
