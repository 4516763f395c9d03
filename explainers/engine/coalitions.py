"""Coalitions drawn in pairs, each with its complement, without replacement and by leverage score.

The leverage of a coalition S of d players in the Shapley regression is 1 / C(d, |S|): every size counts the same. So
the same number of pairs is wanted of every size, and where a size has no more than that, all of it is taken. Sizes
share the budget by systematic rounding, which keeps each size's number within one of its expectation; within a size
every pair is as likely as another. Sizes s and d - s come together, as complements.
Reference: Musco and Witter (2024), arXiv:2410.01917; there each coalition is drawn by its own coin instead.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import comb

import numpy as np


@dataclass(frozen=True)
class Pairs:
    """Of each pair the one coalition, bool (n, players), and the chance (n,) with which it was drawn."""

    first: np.ndarray
    chance: np.ndarray

    def part(self, count: int) -> Pairs:
        """The first `count` of pairs in random order, which are a smaller draw of the same kind."""
        return Pairs(self.first[:count], self.chance[:count] * (count / len(self.first)))


def draw(players: int, count: int, random: np.random.Generator) -> Pairs:
    """About `count` pairs of coalitions of 2 or more players, neither nobody nor everybody."""
    sizes = range(1, players // 2 + 1)
    there = np.array([comb(players, size) // (2 if 2 * size == players else 1) for size in sizes], dtype=np.float64)
    share = np.array([0.5 if 2 * size == players else 1.0 for size in sizes])  # the middle size is its own complement
    wanted = _shared(there, share, count)
    whole = wanted >= there * (1 - 1e-9)
    edges = np.floor(np.concatenate([[0.0], np.cumsum(wanted * ~whole)]) + random.random()).astype(int)
    numbers = np.where(whole, np.minimum(there, 2.0**62), np.minimum(np.diff(edges), there)).astype(np.int64)
    first, chance = [], []
    for size, number in zip(sizes, numbers, strict=True):
        if number:
            first.append(_of_size(players, size, int(number), random))
            place = size - 1
            chance.append(np.full(len(first[-1]), 1.0 if whole[place] else wanted[place] / there[place]))
    return Pairs(np.concatenate(first), np.concatenate(chance))


def _shared(there: np.ndarray, share: np.ndarray, count: int) -> np.ndarray:
    """How many pairs of each size are expected, (sizes,): in proportion to `share`, no more than `there` are."""
    found, left, open_ = np.zeros(len(there)), float(count), np.ones(len(there), dtype=bool)
    while left > 0 and open_.any():
        level = left / share[open_].sum()
        full = open_ & (there <= level * share)
        if not full.any():
            found[open_] = level * share[open_]
            break
        found[full], open_ = there[full], open_ & ~full
        left = count - found.sum()
    return found


def _of_size(players: int, size: int, number: int, random: np.random.Generator) -> np.ndarray:
    """Different coalitions of a size, bool (number, players); of the middle size those with the first player."""
    middle = 2 * size == players
    there = comb(players, size) // (2 if middle else 1)
    found = np.zeros((number, players), dtype=bool)
    if 2 * number > there:  # so few that they can be listed
        every = itertools.combinations(range(players), size)  # in the middle size the first half has the first player
        chosen = np.sort(random.choice(there, number, replace=False)) if number < there else np.arange(there)
        wanted = iter(chosen)
        following, row = next(wanted, None), 0
        for place, members in enumerate(every):
            if place == following:
                found[row, list(members)] = True
                following, row = next(wanted, None), row + 1
            if following is None:
                break
        return found
    seen: set[bytes] = set()
    while len(seen) < number:
        one = np.zeros(players, dtype=bool)
        one[random.choice(players, size, replace=False)] = True
        if middle and not one[0]:
            one = ~one
        if one.tobytes() not in seen:
            found[len(seen)] = one
            seen.add(one.tobytes())
    return found
