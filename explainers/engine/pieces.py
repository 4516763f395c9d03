"""Players of a text as pieces of the text that the person wrote."""

from __future__ import annotations

import numpy as np

from model_zoo.types import Players, Sample, UserError


def spans(sample: Sample, players: Players) -> list[tuple[int, int]]:
    """First and past-the-last character of each player, (players,) pairs, in the text of the sample's view.

    UserError if the model's tokenizer does not say which characters its tokens come from.
    """
    view = sample.view
    if players.kind == "words":
        return list(view.words[: players.count])
    found: list[tuple[int, int]] = []
    for player in range(players.count):
        places = [view.spans[place] for place in np.flatnonzero(players.owner == player)]
        found.append((min((start for start, _ in places), default=0), max((stop for _, stop in places), default=0)))
    if any(start == stop for start, stop in found):
        raise UserError(
            "This method cuts the text into pieces, but the model's tokenizer does not say which characters its tokens"
            " come from. Choose another method, such as KernelSHAP or integrated gradients."
        )
    return found
