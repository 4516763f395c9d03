"""A table with one number a column, as libraries of tabular explanations take it, made of encoded rows and back."""

from __future__ import annotations

import numpy as np

from model_zoo.types import Players, Reference, Sample


class Codes:
    """Encoded rows (n, features) as one number a column (n, columns), and back.

    A number stays as it is encoded: LIME's intervals and standard deviations move with it. A category becomes the
    place of its code among those seen, in the order of its one-hot parts, or of its numbers.
    """

    def __init__(self, sample: Sample, players: Players, reference: Reference) -> None:
        self.x = np.asarray(sample.x, dtype=np.float64)
        self.features = [np.flatnonzero(players.owner == player) for player in range(players.count)]
        kinds = [cell.kind for cell in sample.view.cells]
        self.categories = [
            player
            for player, features in enumerate(self.features)
            if len(features) > 1 or (len(kinds) == players.count and kinds[player] == "category")
        ]
        known = np.concatenate([self.x[None], reference.rows])
        self.codes = {player: _ordered(known[:, self.features[player]]) for player in self.categories}

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """One number a column, (n, columns), of encoded rows (n, features)."""
        found = np.zeros((len(rows), len(self.features)))
        for player, features in enumerate(self.features):
            parts = np.asarray(rows, dtype=np.float64)[:, features]
            if player in self.codes:
                found[:, player] = (parts[:, None] == self.codes[player]).all(-1).argmax(1)
            elif len(features):
                found[:, player] = parts[:, 0]
        return found

    def inputs(self, columns: np.ndarray) -> np.ndarray:
        """Encoded rows (n, features) of one number a column (n, columns); what nobody owns stays as in x."""
        found = np.repeat(self.x[None], len(columns), 0)
        for player, features in enumerate(self.features):
            if player in self.codes:
                found[:, features] = self.codes[player][columns[:, player].astype(int)]
            elif len(features):
                found[:, features[0]] = columns[:, player]
        return found


def _ordered(parts: np.ndarray) -> np.ndarray:
    """Distinct rows of (n, parts): a first part that is hot comes first, single numbers rise."""
    distinct = np.unique(parts, axis=0)
    return distinct if parts.shape[1] == 1 else distinct[::-1]
