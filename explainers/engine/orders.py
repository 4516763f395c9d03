"""Shapley values as the average over orders in which players arrive, each credited with what it adds on arrival.

Both libraries' permutation methods draw orders their own way and share the rest, which is here: coalitions of many
orders are evaluated at once, one that comes twice only once, and the error is that of the mean over independent draws.
"""

from __future__ import annotations

import numpy as np

from explainers.engine.game import Game
from explainers.engine.libraries import largest_error
from explainers.types import Attribution, Settled
from model_zoo.types import UserError

EACH = 2**22  # elements of coalitions that are held at a time
LOOKS = 8  # partial results of a run


def added(game: Game, orders: np.ndarray) -> np.ndarray:
    """What each player adds on arrival, (n, count), for orders (n, count) of arrival."""
    count = game.count
    arrival = np.argsort(orders, axis=1)
    present = arrival[:, None, :] < np.arange(count + 1)[None, :, None]  # after 0, 1, ... arrivals
    worths = game.worth(present.reshape(-1, count)).reshape(len(orders), count + 1)
    found = np.empty((len(orders), count))
    np.put_along_axis(found, orders, np.diff(worths, axis=1), axis=1)
    return found


def averaged(game: Game, draws: np.ndarray, parameter: str) -> Attribution:
    """The mean over independent draws (n, orders a draw, count); partial results on the way."""
    if len(draws) < 2:
        raise UserError(f"One order says nothing of its error: give {parameter} of 2 or more, or 0 for the usual.")
    total, squares, done = np.zeros(game.count), np.zeros(game.count), 0
    middle = np.zeros(game.count)  # squares are of what is left of the first draw: those of large numbers cancel badly
    each = max(1, EACH // (draws.shape[1] * (game.count + 1) * game.count))
    if game.run.wants_partial:
        each = max(2, min(each, -(-len(draws) // LOOKS)))
    while True:
        part = draws[done : done + each]
        gained = added(game, part.reshape(-1, game.count)).reshape(part.shape).mean(1)
        middle = middle if done else gained[0]
        gained = gained - middle
        total, squares, done = total + gained.sum(0), squares + (gained**2).sum(0), done + len(part)
        mean = total / done
        values, error = middle + mean, _error(np.maximum(squares / done - mean**2, 0), done)
        found = Attribution(
            game.spread(values),
            base_value=game.ends()[0],
            std_error=game.spread(error),
            settled=Settled("standard_error", largest_error(error, game.spread(values))),
            flavour=f"{done * draws.shape[1]:,} orders{game.told()}",
            used={parameter: len(draws)},
        )
        if done == len(draws):
            return found
        game.run.publish(found)


def _error(variance: np.ndarray, count: int) -> np.ndarray:
    """Standard errors of means of `count` draws, of which each player's `variance` is that seen.

    A player that was never pivotal in few orders may be yet: one more draw, as far off as the others' are on average,
    is counted. Student's t over the normal quantile makes 1.96 errors cover as often as they should for few draws, too.
    """
    from scipy.stats import t

    seen = (count * variance + variance.mean()) / (count + 1)
    return np.sqrt(seen / (count - 1)) * t.ppf(0.975, count - 1) / 1.96
