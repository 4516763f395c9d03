"""Attention flow against networkx, the smallest of all cuts and flows by hand; the variants of rollout beside it."""

from __future__ import annotations

import itertools
from typing import Any

import networkx
import numpy as np
import pytest
from attention_stacks import TEXT, given, pointing, random_scores, softmax

import explainers
from explainers.engine.flow import flows
from explainers.engine.reading import mixed
from explainers.methods.attention_rollout import rollout
from explainers.types import Cancelled
from model_zoo.types import UserError

CLOSE = {"atol": 1e-7, "rtol": 0.0}


def _by_networkx(capacities: tuple[np.ndarray, ...], readers: np.ndarray) -> np.ndarray:
    graph, tokens = networkx.DiGraph(), len(readers)
    graph.add_nodes_from((0, token) for token in range(tokens))
    for layer, capacity in enumerate(capacities):
        for i, j in itertools.product(range(tokens), repeat=2):
            graph.add_edge((layer + 1, i), (layer, j), capacity=float(capacity[i, j]))
    for reader in np.flatnonzero(readers):
        graph.add_edge("score", (len(capacities), int(reader)), capacity=1 / readers.sum())
    return np.array([networkx.maximum_flow_value(graph, "score", (0, token)) for token in range(tokens)])


def _smallest_cut(capacities: tuple[np.ndarray, ...], reader: int, token: int) -> float:
    """The least capacity that leaves a set of nodes with the source and without the sink, over all such sets."""
    tokens = len(capacities[0])
    nodes = list(itertools.product(range(len(capacities) + 1), range(tokens)))
    source, sink = (len(capacities), reader), (0, token)
    free = [one for one in nodes if one not in (source, sink)]
    least = np.inf
    for inside in itertools.product((False, True), repeat=len(free)):
        kept = {source, *itertools.compress(free, inside)}
        least = min(
            least,
            sum(
                capacity[i, j]
                for layer, capacity in enumerate(capacities)
                for i, j in itertools.product(range(tokens), repeat=2)
                if (layer + 1, i) in kept and (layer, j) not in kept
            ),
        )
    return least


def _capacities(layers: int, tokens: int, seed: int, residual: bool = True) -> tuple[np.ndarray, ...]:
    maps = softmax(random_scores(layers, 2, tokens, seed))
    return tuple(mixed(one, "mean", residual) for one in maps)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("residual", [True, False])
def test_flow_is_that_of_networkx(seed: int, residual: bool) -> None:
    capacities = _capacities(3, 6, seed, residual)
    readers = np.zeros(6, dtype=bool)
    readers[[seed % 6] if seed < 4 else [0, 2, 5]] = True
    np.testing.assert_allclose(flows(capacities, readers), _by_networkx(capacities, readers), **CLOSE)


@pytest.mark.parametrize("seed", range(3))
def test_flow_is_the_smallest_cut(seed: int) -> None:
    capacities = _capacities(3, 3, seed)
    found = flows(capacities, np.arange(3) == 1)
    np.testing.assert_allclose(found, [_smallest_cut(capacities, 1, token) for token in range(3)], **CLOSE)


def test_one_layer_is_the_attention_itself() -> None:
    capacities = _capacities(1, 5, 0)
    np.testing.assert_allclose(flows(capacities, np.arange(5) == 2), capacities[0][2], **CLOSE)


def test_two_tokens_by_hand() -> None:
    """Â = [[¾, ¼], [0, 1]] twice: ¾ reach token 0; ¼ each goes down by token 0 and by token 1, so ½ reach token 1."""
    layer = np.array([[0.75, 0.25], [0.0, 1.0]])
    np.testing.assert_allclose(flows((layer, layer), np.array([True, False])), [0.75, 0.5], **CLOSE)
    np.testing.assert_allclose(flows((layer, layer), np.array([False, True])), [0.0, 1.0], **CLOSE)


def test_even_attention() -> None:
    """Every edge is 1/n without a residual: n paths of 1/n from the top, and into the token, so 1."""
    even = np.full((4, 4), 0.25)
    np.testing.assert_allclose(flows((even, even), np.arange(4) == 0), 1.0, **CLOSE)
    np.testing.assert_allclose(flows((even,), np.arange(4) == 0), 0.25, **CLOSE)


@pytest.mark.parametrize("how", ["mean", "max", "min"])
@pytest.mark.parametrize("residual", [True, False])
def test_through_wrap_and_explain(how: str, residual: bool) -> None:
    scores = random_scores(2, 2, 7, seed=3)
    model = given(scores)
    maps = softmax(scores)
    capacities = []
    for one in maps:
        layer = getattr(one, how)(0)
        layer = (layer + np.eye(7)) / 2 if residual else layer
        capacities.append(layer / layer.sum(-1, keepdims=True))
    flow = explainers.explain(model, TEXT, "attention_flow", target=1, heads=how, residual=residual)
    wanted = _by_networkx(tuple(capacities), np.arange(7) == 0)
    np.testing.assert_allclose(flow.values, wanted[1:6], **CLOSE)
    assert flow.unit == "maximum flow"
    assert flow.flavour == f"all layers, {how} of heads, {'half' if residual else 'no'} residual"
    rolled = explainers.explain(model, TEXT, "attention_rollout", target=1, heads=how, residual=residual)
    np.testing.assert_allclose(rolled.values, (capacities[1] @ capacities[0])[0, 1:6], atol=1e-12)


def test_pointers_are_followed_down() -> None:
    """[CLS] looks at word 2 in the last layer, which looks at word 4 in the one below: by residuals, a quarter each."""
    low, high = np.arange(7), np.arange(7)
    low[2], high[0] = 4, 2
    model = given(np.stack([pointing(low), pointing(high)])[:, None])
    wanted = np.array([0.5, 0, 0.25, 0, 0.25, 0, 0])
    assert rollout(tuple(softmax(model.network.scores.detach().numpy())))[0] == pytest.approx(wanted)
    rolled = explainers.explain(model, TEXT, "attention_rollout")
    np.testing.assert_allclose(rolled.values, wanted[1:6], atol=1e-12)
    flow = explainers.explain(model, TEXT, "attention_flow")
    np.testing.assert_allclose(flow.values, [0, 0.5, 0, 0.5, 0], **CLOSE)  # ½ goes down to word 2, which passes on ½


def test_the_mean_of_tokens_is_one_more_layer() -> None:
    scores = random_scores(2, 1, 5)
    model = given(scores, framed=False, read=None)
    capacities = tuple(mixed(one, "mean", True) for one in softmax(scores))
    found = explainers.explain(model, TEXT, "attention_flow", target=0)
    np.testing.assert_allclose(found.values, _by_networkx(capacities, np.ones(5, dtype=bool)), **CLOSE)
    assert found.notes[0].startswith("The model reads its score from 5 of 5 tokens")


@pytest.mark.parametrize("method", ["attention", "attention_rollout", "attention_flow", "attention_norms"])
def test_a_position_may_be_asked_for(method: str) -> None:
    model = given(random_scores(2, 2, 7))
    read = explainers.explain(model, TEXT, method)
    asked = explainers.explain(model, TEXT, method, position=0)
    other = explainers.explain(model, TEXT, method, position=3)
    np.testing.assert_array_equal(read.values, asked.values)
    assert not np.allclose(read.values, other.values)
    assert other.notes[0] == "This is what token 4 of 7 attends to, as was asked for."
    with pytest.raises(UserError, match="position lies between 0 and 6"):
        explainers.explain(model, TEXT, method, position=7)


def test_it_can_be_stopped() -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        flows(_capacities(2, 5, 0), np.arange(5) == 0, check)


def test_a_token_that_may_look_nowhere() -> None:
    """A row of zeros passes on what the residual gives it, and nothing without one."""
    heads: Any = softmax(random_scores(1, 2, 3))[0]
    heads[:, 1] = 0
    np.testing.assert_allclose(mixed(heads, "mean", True)[1], [0, 1, 0])
    np.testing.assert_allclose(mixed(heads, "mean", False)[1], 0)
