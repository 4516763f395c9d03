"""Norms of attended values against sums of vectors, head by head, in numpy and from transformers' own parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_transformers
import torch
import torch.nn.functional as F
from attention_stacks import TEXT, WORDS, given, random_scores, softmax, wrapped
from torch import nn

import explainers
from explainers.engine.attention import Layer
from explainers.engine.norms import norms
from model_zoo import probe

TOKENS, WIDTH, HEADS = 7, 8, 2
HOW = {"sum": None, "mean": np.mean, "max": np.max, "min": np.min}


def _by_hand(maps: np.ndarray, values: np.ndarray, projection: np.ndarray, how: str) -> np.ndarray:
    """maps (heads, i, j), values (heads, j, d), projection (heads, d, state): one vector at a time."""
    heads, targets, sources = maps.shape
    found = np.zeros((targets, sources))
    for i in range(targets):
        for j in range(sources):
            vectors = [maps[h, i, j] * (values[h, j] @ projection[h]) for h in range(heads)]
            if how == "sum":
                found[i, j] = np.linalg.norm(sum(vectors))
            else:
                found[i, j] = HOW[how]([np.linalg.norm(one) for one in vectors])
    return found


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("projected", [True, False])
def test_norms_one_vector_at_a_time(how: str, projected: bool) -> None:
    rng = np.random.default_rng(0)
    maps = softmax(rng.normal(size=(3, 4, 5)))
    values, projection = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 2, 6))
    layer = Layer(maps, None, values, projection)
    side_by_side = np.eye(6).reshape(3, 2, 6)
    wanted = _by_hand(maps, values, projection if projected else side_by_side, how)
    np.testing.assert_allclose(norms(layer, how, projected=projected), wanted, atol=1e-12)
    alone = _by_hand(maps[1:2], values[1:2], (projection if projected else side_by_side)[1:2], "sum")
    np.testing.assert_allclose(norms(layer, how, 1, projected), alone, atol=1e-12)


@pytest.mark.parametrize("layer", [0, 1])
def test_values_alone_where_no_projection_follows(layer: int) -> None:
    """x + A x: a token brings its attention times its state, head by head."""
    scores = random_scores(2, HEADS, TOKENS)
    model, maps = given(scores), softmax(random_scores(2, HEADS, TOKENS))
    state = model.network.embedding.weight.detach().numpy()[model.sample(TEXT).x]
    for one in maps[:layer]:
        state = state + np.concatenate([one[h] @ state[:, 4 * h : 4 * h + 4] for h in range(HEADS)], 1)
    values = np.stack([state[:, :4], state[:, 4:]])
    each = maps[layer][:, 0] * np.linalg.norm(values, axis=-1)  # (heads, tokens)
    found = explainers.explain(model, TEXT, "attention_norms", layer=layer)
    np.testing.assert_allclose(found.values, np.sqrt((each**2).sum(0))[1:6], atol=1e-12)
    assert "No output projection was seen to follow this layer, so norms are of the values alone." in found.notes
    assert found.unit == "norm of attended values"
    one = explainers.explain(model, TEXT, "attention_norms", layer=layer, head=1)
    np.testing.assert_allclose(one.values, each[1, 1:6], atol=1e-12)
    mean = explainers.explain(model, TEXT, "attention_norms", layer=layer, heads="mean")
    np.testing.assert_allclose(mean.values, each.mean(0)[1:6], atol=1e-12)


def test_without_a_residual_the_next_layer_is_no_projection() -> None:
    class Chain(nn.Module):
        """Two layers, y = A V, whose queries, keys and values are three linear maps or one."""

        def __init__(self, fused: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding = nn.Embedding(len(WORDS), WIDTH)
            self.maps = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2))
            self.fused = fused

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.embedding(ids)
            for one in self.maps:
                parts = one(x).chunk(3, -1) if self.fused else [F.linear(x, weight) for weight in one.weight.chunk(3)]
                q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
                x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            return x[:, 0, :3]

    for fused in (True, False):
        model = wrapped(Chain(fused))
        for layer in (0, 1):
            notes = explainers.explain(model, TEXT, "attention_norms", layer=layer).notes
            assert "No output projection was seen to follow this layer, so norms are of the values alone." in notes


@pytest.mark.parametrize("layout", ["heads first", "channels first", "a matrix a head"])
def test_a_projection_in_the_layout_of_the_network(layout: str) -> None:
    """Whatever the layout, the sum over heads of A V W is what the network itself makes of it."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, HEADS, TOKENS, 4, dtype=torch.float64)
    weight = torch.randn(HEADS * 4, 5, dtype=torch.float64)
    made: list[torch.Tensor] = []

    def forward() -> None:
        mixed = F.scaled_dot_product_attention(query, key, value)
        if layout == "heads first":
            made.append(mixed.transpose(1, 2).flatten(2) @ weight)
        elif layout == "channels first":
            made.append(mixed.permute(0, 2, 3, 1).flatten(2) @ weight)
        else:
            made.append((mixed[0] @ weight.reshape(HEADS, 4, 5)).sum(0)[None])

    (layer,) = probe.attention(forward).layers
    assert layer.projection is not None
    np.testing.assert_allclose((layer.map @ layer.value @ layer.projection).sum(1), made[0], atol=1e-12)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("how", HOW)
def test_a_bert_of_transformers(implementation: str, how: str) -> None:
    """Norms from the library's hidden states, weights and eager attentions."""
    about = {"vocab_size": len(WORDS), "num_labels": 3, **tiny_transformers.SIZES}
    network = tiny_transformers.made(
        "BertForSequenceClassification", "BertConfig", attn_implementation=implementation, **about
    )
    model = wrapped(network)
    ids = torch.tensor(model.sample(TEXT).x[None])
    maps, states = _eager(network, ids, about)
    for layer in range(2):
        own = network.bert.encoder.layer[layer].attention
        with torch.no_grad():
            values = own.self.value(states[layer])[0].unflatten(-1, (4, -1)).transpose(0, 1).double().numpy()
        projection = own.output.dense.weight.detach().T.reshape(4, 8, 32).double().numpy()
        wanted = _by_hand(maps[layer], values, projection, how)[0]
        found = explainers.explain(model, TEXT, "attention_norms", layer=layer, heads=how, target=1)
        np.testing.assert_allclose(found.values, wanted[1:6], rtol=1e-4)
        assert "Norms are of values after the output projection that was seen to follow." in found.notes
    alone = explainers.explain(model, TEXT, "attention_norms", head=2, projection=False)
    np.testing.assert_allclose(alone.values, (maps[1][2, 0] * np.linalg.norm(values[2], axis=-1))[1:6], rtol=1e-4)
    assert "Norms are of the values alone, without the output projection." in alone.notes


def _eager(network: nn.Module, ids: torch.Tensor, about: dict[str, Any]) -> tuple[list[np.ndarray], Any]:
    plain = tiny_transformers.made("BertForSequenceClassification", "BertConfig", attn_implementation="eager", **about)
    plain.load_state_dict(network.state_dict())
    with torch.no_grad():
        out = plain(ids, output_attentions=True, output_hidden_states=True)
    return [one[0].double().numpy() for one in out.attentions], out.hidden_states


def test_attention_that_is_not_multiplied_with_values_is_said() -> None:
    class Odd(nn.Module):
        """Attention that weighs by a broadcast product, in which no factor can be told."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding = nn.Embedding(len(WORDS), WIDTH)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.embedding(ids)
            weights = (x @ x.mT).softmax(-1)
            return (weights[..., None] * x[:, None]).sum(2)[:, 0, :3]

    with pytest.raises(explainers.UserError, match="did not see that product"):
        explainers.explain(wrapped(Odd()), TEXT, "attention_norms")


def test_several_readers_have_the_mean_of_their_norms() -> None:
    scores = random_scores(1, HEADS, 5)
    model = given(scores, framed=False, read=None)
    values = model.network.embedding.weight.detach().numpy()[model.sample(TEXT).x].reshape(5, HEADS, 4)
    each = softmax(scores)[0] * np.linalg.norm(values, axis=-1).T[:, None]
    found = explainers.explain(model, TEXT, "attention_norms")
    np.testing.assert_allclose(found.values, np.sqrt((each**2).sum(0)).mean(0), atol=1e-12)
