"""Fakes of an attribution: as structured as the map itself, but in the wrong places.

A map over a picture is rolled, turned and mirrored as a whole, and one over time rolled and reversed, since random
pixels are too weak an opponent: smooth noise beats them half of the time. Other values change places at random; where
the players are few, every arrangement is tried.
Reference: Fisher (1935), the permutation test: under chance the map is one more draw among its copies, so that
p = (1 + copies as good) / (1 + copies).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np

from model_zoo.types import Players

ALL = 7  # players, up to which every arrangement is tried
IN_TIME = ("steps", "samples", "spans")  # kinds of players that follow one another
FEW, MANY = 199, 39  # copies for few players, whose coalitions repeat, and for many


def arrangements(values: np.ndarray) -> float:
    """How many different maps the values make when they change places; equal values make fewer."""
    size = float(np.abs(values).max(initial=0.0))
    kinds = Counter(np.round(values / size, 9).tolist() if size > 0 else [0.0] * len(values))
    logarithm = math.lgamma(len(values) + 1) - sum(math.lgamma(one + 1) for one in kinds.values())
    return math.exp(min(logarithm, 700.0))


def copies(values: np.ndarray, players: Players, source: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Fakes (copies, players), and whether they are all arrangements, the map itself among them."""
    count = players.count
    if count <= ALL:
        return np.array(list(itertools.permutations(values))), True
    wanted = FEW if count <= 10 else MANY
    if players.kind in IN_TIME and count >= MANY:
        return np.array([_rolled(values, source) for _ in range(wanted)]), False
    if players.owner.ndim == 2:
        return np.array([_moved(values, players, source) for _ in range(wanted)]), False
    return np.array([source.permutation(values) for _ in range(wanted)]), False


def _rolled(values: np.ndarray, source: np.random.Generator) -> np.ndarray:
    """Values in time begun elsewhere, half of the time backwards."""
    turned = values[::-1] if source.integers(2) else values
    return np.roll(turned, int(source.integers(len(values))))


def _moved(values: np.ndarray, players: Players, source: np.random.Generator) -> np.ndarray:
    """The map rolled, turned and mirrored; a segment takes the mean of what comes to lie on it."""
    owner = players.owner
    dense = np.append(values, 0.0)[owner]
    height, width = dense.shape
    turns = int(source.integers(4)) if height == width else 2 * int(source.integers(2))
    moved = np.rot90(dense, turns)
    if source.integers(2):
        moved = moved[:, ::-1]
    moved = np.roll(moved, (int(source.integers(height)), int(source.integers(width))), (0, 1))
    if players.kind == "pixels":
        found = np.zeros(players.count)
        found[owner[owner >= 0]] = moved[owner >= 0]
        return found
    own = owner.reshape(-1) >= 0
    total = np.bincount(owner.reshape(-1)[own], moved.reshape(-1)[own], minlength=players.count)
    return total / np.maximum(np.bincount(owner.reshape(-1)[own], minlength=players.count), 1)
