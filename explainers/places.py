"""Where in a photograph the values lie, in words: "the left half", "the upper right and the bottom".

Of all named places, the one is told that says most about where the mass is: with share m of the mass on share a of the
area that the model saw, m log(m / a) + (1 - m) log((1 - m) / (1 - a)) nats, the divergence from an even spread.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from explainers.credits import intensities, slopes
from explainers.types import Explanation

GRID = 12  # cells a side in which neighbours are summed first: thirds, halves and quarters end at its lines
TELLS = 0.05  # nats: less than this is spread evenly
TWO = 1.3  # two places are named when they tell so much more than one
SMALL, LONG = 0.25, 2.2  # share of the area, ratio of the sides: a photo in which the crop would be a stamp
NINE = (
    ("the upper left", "the top", "the upper right"),
    ("the left", "the centre", "the right"),
    ("the lower left", "the bottom", "the lower right"),
)
Box = tuple[float, float, float, float]


def window(view: Any) -> Box:
    """(left, top, right, bottom) of the photo that is worth showing: all of it, or the crop with a margin around."""
    left, top, right, bottom = view.box
    wide, high = right - left, bottom - top
    long = max(view.width, view.height) > LONG * min(view.width, view.height) and wide * high < view.width * view.height
    if wide * high >= SMALL * view.width * view.height and not long:
        return 0.0, 0.0, float(view.width), float(view.height)
    air = 0.12 * max(wide, high)
    return max(0.0, left - air), max(0.0, top - air), min(view.width, right + air), min(view.height, bottom + air)


def zoomed(view: Any) -> bool:
    """Whether the window is less than the whole photo."""
    return window(view) != (0.0, 0.0, float(view.width), float(view.height))


def mass(explanation: Explanation) -> tuple[np.ndarray, np.ndarray]:
    """Values and area, each summed over a GRID × GRID raster of what is shown; slopes by magnitude.

    Neighbouring pixels that cancel are no evidence for a place, so values are summed with their signs.
    """
    view, dense = explanation.sample.view, explanation.dense()
    if slopes(explanation):
        dense = np.abs(dense)
    owner = np.asarray(explanation.players.owner)
    sizes = np.bincount(owner[owner >= 0], minlength=explanation.players.count)
    spread = np.ones_like(sizes) if intensities(explanation) else np.maximum(sizes, 1)
    shares = np.append(spread, 1)[owner]  # a segment's share of the output is spread over its pixels
    left, top, right, bottom = view.box
    a, b, c, d = view.box if zoomed(view) else window(view)
    rows, columns = dense.shape
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    across = np.clip((GRID * (x - a) / (c - a)).astype(int), 0, GRID - 1)
    down = np.clip((GRID * (y - b) / (d - b)).astype(int), 0, GRID - 1)
    totals, area = np.zeros((GRID, GRID)), np.zeros((GRID, GRID))
    np.add.at(totals, (down[:, None], across[None, :]), dense / shares)
    np.add.at(area, (down[:, None], across[None, :]), 1.0)
    return totals, area


def where(amount: np.ndarray, area: np.ndarray) -> tuple[str, ...]:
    """The one or two places that hold more of `amount`, (GRID, GRID) from 0, than of `area`; none if it is even."""
    if amount.sum() <= 0:
        return ()
    best, name = max((_tells(amount, area, inside), name) for name, inside in _PLACES.items())
    pair, names = max((_tells(amount, area, _PLACES[one] | _PLACES[two]), (one, two)) for one, two in _APART)
    if max(best, pair) < TELLS:
        return ()
    return names if pair > TWO * best else (name,)


def overlap(one: np.ndarray, two: np.ndarray, area: np.ndarray) -> bool:
    """Whether both amounts, (GRID, GRID) from 0, lie in much the same place."""
    first, second = (
        np.logical_or.reduce([_PLACES[name] for name in where(each, area)] or [np.ones_like(area, dtype=bool)])
        for each in (one, two)
    )
    return bool((first & second).sum() > 0.5 * min(first.sum(), second.sum()))


def _tells(amount: np.ndarray, area: np.ndarray, inside: np.ndarray) -> float:
    m, a = amount[inside].sum() / amount.sum(), area[inside].sum() / area.sum()
    if not 0 < a < 1 or m <= a:
        return 0.0
    rest = (1 - m) * np.log((1 - m) / (1 - a)) if m < 1 else 0.0
    return float(m * np.log(m / a) + rest)


def _named() -> dict[str, np.ndarray]:
    def part(rows: slice, columns: slice) -> np.ndarray:
        found = np.zeros((GRID, GRID), dtype=bool)
        found[rows, columns] = True
        return found

    third, half, quarter = GRID // 3, GRID // 2, GRID // 4
    every = slice(None)
    thirds = [slice(place * third, (place + 1) * third) for place in range(3)]
    return {NINE[i][j]: part(thirds[i], thirds[j]) for i in range(3) for j in range(3)} | {
        "the left half": part(every, slice(0, half)),
        "the right half": part(every, slice(half, GRID)),
        "the upper half": part(slice(0, half), every),
        "the lower half": part(slice(half, GRID), every),
        "the left third": part(every, thirds[0]),
        "the right third": part(every, thirds[2]),
        "the upper third": part(thirds[0], every),
        "the lower third": part(thirds[2], every),
        "the middle": part(slice(quarter, GRID - quarter), slice(quarter, GRID - quarter)),
    }


_PLACES = _named()
_APART = [  # two of the nine that do not touch; joined ones are told as one
    (NINE[i][j], NINE[k][m])
    for (i, j), (k, m) in itertools.combinations(itertools.product(range(3), repeat=2), 2)
    if max(abs(i - k), abs(j - m)) > 1
]
