"""Maximum flow from the top of a stack of layers down to each input token.

The network has a node for every token of every layer and an edge of capacity Â_l[i, j] from token i above layer l to
token j below it. Capacities are rounded to whole multiples of 2⁻³⁰ of a unit, in which the flow is exact (Dinic's
algorithm in scipy); a cut of n edges is off by at most n 2⁻³¹.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

UNIT = 2**30  # of capacity: the largest flow, 1 up to rounding, fits 32 bits


def flows(mixed: tuple[np.ndarray, ...], readers: np.ndarray, check: Callable[[], None] = lambda: None) -> np.ndarray:
    """Maximum flow (tokens,) from the reading positions to each token of the input.

    mixed: Â (tokens, tokens) of each layer, first layer first, rows sum to at most 1; readers: bool (tokens,). Several
    readers are fed by one node above them that gives each an equal share, as a mean of tokens does; check is called
    between flows.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import maximum_flow

    tokens, layers = len(readers), len(mixed)
    places = np.flatnonzero(readers)
    top = layers * tokens
    parts = []
    for layer, capacity in enumerate(mixed):
        above, below = np.nonzero(capacity)
        parts.append(((layer + 1) * tokens + above, layer * tokens + below, capacity[above, below]))
    source = top + tokens
    parts.append((np.full(len(places), source), top + places, np.full(len(places), 1 / len(places))))
    rows, columns, capacities = (np.concatenate(one) for one in zip(*parts, strict=True))
    whole = np.round(capacities * UNIT).astype(np.int32)
    graph = coo_matrix((whole, (rows, columns)), shape=(source + 1, source + 1)).tocsr()
    graph.eliminate_zeros()
    found = np.zeros(tokens)
    for token in range(tokens):
        check()
        found[token] = maximum_flow(graph, int(source), token).flow_value / UNIT
    return found
