"""Games whose Shapley values are known, as models of 0 and 1: x is everybody, the baseline nobody."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

import explainers
import model_zoo
from model_zoo.model import Model

Worth = Callable[[np.ndarray], np.ndarray]


def game(worth: Worth, players: int) -> Model:
    """A model that computes worth((n, players)) -> (n,), compared with nobody."""
    return model_zoo.wrap(
        lambda rows: worth(np.asarray(rows, dtype=np.float64))[:, None],
        modality="tabular",
        task="regression",
        feature_names=[f"p{player}" for player in range(players)],
        baseline=0.0,
    )


def shared(worth: Worth, players: int, method: str, **options: object) -> explainers.Explanation:
    """How a method shares the game among its players."""
    return explainers.explain(game(worth, players), np.ones(players), method, **options)


def by_orders(worth: Worth, players: int) -> np.ndarray:
    """Shapley values by the definition over all orders of arrival."""
    total = np.zeros(players)
    for order in itertools.permutations(range(players)):
        present = np.zeros((players + 1, players))
        for place, player in enumerate(order):
            present[place + 1 :, player] = 1
        total[list(order)] += np.diff(worth(present))
    return total / math.factorial(players)


def unanimity(members: tuple[int, ...]) -> Worth:
    """1 where all members are there; each of them gets the same share of it."""
    return lambda rows: rows[:, list(members)].prod(1)


def airport(costs: np.ndarray) -> Worth:
    """The runway that the largest needs (Littlechild and Owen, 1973)."""
    return lambda rows: (rows * costs).max(1)


def airport_values(costs: np.ndarray) -> np.ndarray:
    """Each stretch of the runway is shared among those that need it; costs rise."""
    users = np.arange(len(costs), 0, -1)
    return np.cumsum(np.diff(costs, prepend=0.0) / users)


def voting(weights: np.ndarray, quota: float) -> Worth:
    """1 where the votes pass the quota."""
    return lambda rows: (rows @ weights >= quota).astype(float)


def cubic(players: int, seed: int = 4) -> Worth:
    """Random weights, and random products of three."""
    random = np.random.default_rng(seed)
    weights, triples = random.normal(size=players), list(itertools.combinations(range(players), 3))
    factors = random.normal(size=len(triples)) * (random.random(len(triples)) < 0.3)
    members = np.array(triples)
    return lambda rows: rows @ weights + (rows[:, members].prod(2) @ factors)


def smooth(players: int, seed: int = 3) -> Worth:
    """A small network with tanh."""
    random = np.random.default_rng(seed)
    inner, outer = 0.8 * random.normal(size=(players, 8)), random.normal(size=8)
    return lambda rows: np.tanh(rows @ inner - 0.3) @ outer
