"""Players of a text as pieces of the text that the person wrote."""

from __future__ import annotations

import numpy as np

from model_zoo.types import Players, Sample


def spans(sample: Sample, players: Players) -> list[tuple[int, int]]:
    """First and past-the-last character of each player, (players,) pairs; the view knows each token's."""
    found: list[tuple[int, int]] = []
    for player in range(players.count):
        places = [sample.view.spans[place] for place in np.flatnonzero(players.owner == player)]
        found.append((min(start for start, _ in places), max(stop for _, stop in places)))
    return found
