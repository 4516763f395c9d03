"""Shapley interactions of a game by their definitions, from what all 2^d coalitions are worth.

With the Möbius transform m(T) = sum over S in T of (-1)^(|T| - |S|) v(S), what T adds that none of its parts does:
    SII(S)  = sum over T with S of m(T) / (|T| - |S| + 1)
    k-SII   = SII at order k; below, what the higher orders count again is taken off, with Bernoulli numbers
    STII(S) = m(S) below order k; at order k the sum over T with S of m(T) / C(|T|, k)
    FSII(S) = the coefficients of the polynomial of order k that fits v best under the Shapley kernel.
All three add up, over every S of at most k players, to v(everybody) - v(nobody).
References: Bordt and von Luxburg (2023), arXiv:2209.04012; Sundararajan and others (2020), arXiv:1902.05622; Tsai and
others (2023), arXiv:2203.00870.
"""

from __future__ import annotations

import itertools
from math import comb

import numpy as np

BERNOULLI = (1.0, -0.5, 1 / 6, 0.0)
Groups = dict[tuple[int, ...], float]


def exact(worths: np.ndarray, order: int, index: str) -> Groups:
    """Values of every group of 1 to `order` players, by players in order; index "k-SII", "STII" or "FSII"."""
    players = len(worths).bit_length() - 1
    order = min(order, players)
    möbius = _möbius(worths)
    codes = np.arange(len(worths))
    sizes = (codes[:, None] >> np.arange(players) & 1).sum(1)
    rule = {"k-SII": _sii, "STII": _stii, "FSII": _fsii}[index]
    table = {own: [rule(own, int(size), order) for size in range(players + 1)] for own in range(1, order + 1)}
    found = {}
    for group in groups(players, order):
        code = sum(1 << player for player in group)
        holds = codes & code == code
        found[group] = float((np.array(table[len(group)])[sizes[holds]] * möbius[holds]).sum())
    return _aggregated(found, players, order) if index == "k-SII" else found


def groups(players: int, order: int) -> list[tuple[int, ...]]:
    """Every group of 1 to `order` of the players, smaller ones first."""
    return [group for size in range(1, order + 1) for group in itertools.combinations(range(players), size)]


def _möbius(worths: np.ndarray) -> np.ndarray:
    found = worths.copy()
    for player in range(len(worths).bit_length() - 1):
        sides = found.reshape(-1, 2, 2**player)
        sides[:, 1] -= sides[:, 0]
    return found


def _sii(own: int, size: int, order: int) -> float:
    return 1 / (size - own + 1) if size >= own else 0.0


def _stii(own: int, size: int, order: int) -> float:
    if own < order:
        return float(size == own)
    return 1 / comb(size, order) if size >= order else 0.0


def _fsii(own: int, size: int, order: int) -> float:
    if size <= order:
        return float(size == own)
    sign = (-1) ** (order - own)
    return sign * own / (order + own) * comb(order, own) * comb(size - 1, order) / comb(size + order - 1, order + own)


def _aggregated(found: Groups, players: int, order: int) -> Groups:
    """SII of every order made to add up: each group takes its share off those of which it is a part."""
    total = dict(found)
    for group, value in found.items():
        for size in range(1, len(group)):
            for part in itertools.combinations(group, size):
                total[part] += BERNOULLI[len(group) - size] * value
    return total
