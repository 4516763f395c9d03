"""Cross-attention against transformers' eager maps, nn.MultiheadAttention's own weights and maps worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_transformers
import torch
import torch.nn.functional as F
from attention_stacks import TEXT, WORDS, given, pointing, random_scores, softmax, tokenizer, wrapped
from torch import nn

import explainers
import model_zoo
from model_zoo import probe
from model_zoo.types import Capability, UserError

TOKENS = 7  # of the framed text
STARTS: dict[str, list[int]] = {"shorter": [3, 4, 5], "as long": [3, 4, 5, 6, 7, 8, 9]}


class Pointers(nn.Module):
    """A decoder of learned positions that looks at the embeddings by given scores (layers, heads, targets, tokens)."""

    def __init__(self, scores: np.ndarray) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scores = nn.Parameter(torch.tensor(scores, dtype=torch.float64))
        self.embedding = nn.Embedding(len(WORDS), 8, dtype=torch.float64)
        self.out = nn.Linear(8, 3, dtype=torch.float64)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        state = torch.zeros(len(x), self.scores.shape[2], 8, dtype=x.dtype)
        for scores in self.scores:
            values = x.unflatten(-1, (len(scores), -1)).transpose(1, 2)
            state = state + (scores.softmax(-1).expand(len(x), -1, -1, -1) @ values).transpose(1, 2).flatten(2)
        return self.out(state[:, -1])


class Sequences(nn.Module):
    """A model of the library from a text to another, read as scores of the first words after a given start."""

    def __init__(self, network: nn.Module, start: list[int]) -> None:
        super().__init__()
        self.network, self.start = network, start

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        start = torch.tensor([self.start] * len(ids), device=ids.device)
        return self.network(input_ids=ids, decoder_input_ids=start).logits[:, -1, :3]


def _t5(implementation: str) -> nn.Module:
    return tiny_transformers.made(
        "T5ForConditionalGeneration",
        "T5Config",
        vocab_size=len(WORDS),
        d_model=32,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=4,
        attn_implementation=implementation,
    )


def _of_two_parts(name: str, implementation: str) -> nn.Module:
    sizes = {
        f"{part}_{what}": size
        for part in ("encoder", "decoder")
        for what, size in {"layers": 2, "attention_heads": 4, "ffn_dim": 32}.items()
    }
    architecture = {"Bart": "BartForConditionalGeneration", "Marian": "MarianMTModel"}[name]
    special = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0, "bos_token_id": 2}
    return tiny_transformers.made(
        architecture,
        f"{name}Config",
        vocab_size=len(WORDS),
        d_model=32,
        attn_implementation=implementation,
        **sizes,
        **special,
    )


def _made(name: str, implementation: str) -> nn.Module:
    return _t5(implementation) if name == "T5" else _of_two_parts(name, implementation)


@pytest.mark.parametrize("name", ["T5", "Bart", "Marian"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("start", STARTS)
def test_a_model_of_transformers(name: str, implementation: str, start: str) -> None:
    """The decoder's maps over the source, also where both texts are as long; the encoder's own go to the others."""
    model = wrapped(Sequences(_made(name, implementation), STARTS[start]))
    ids = torch.tensor(model.sample(TEXT).x[None])
    with torch.no_grad():
        out = _made(name, "eager")(
            input_ids=ids, decoder_input_ids=torch.tensor([STARTS[start]]), output_attentions=True
        )
    crossed, own = (
        np.stack([one[0].double().numpy() for one in maps]) for maps in (out.cross_attentions, out.encoder_attentions)
    )
    found = explainers.explain(model, TEXT, "cross_attention", target=1)
    np.testing.assert_allclose(found.extras["cross_attention"], crossed, atol=1e-5)
    np.testing.assert_allclose(found.values, crossed[-1].mean(0)[-1, 1:6], atol=1e-5)
    first = explainers.explain(model, TEXT, "cross_attention", target=1, layer=0, head=2, position=1)
    np.testing.assert_allclose(first.values, crossed[0, 2, 1, 1:6], atol=1e-5)
    most = explainers.explain(model, TEXT, "cross_attention", target=1, heads="max")
    np.testing.assert_allclose(most.values, crossed[-1].max(0)[-1, 1:6], atol=1e-5)
    encoder = explainers.explain(model, TEXT, "attention", target=1)
    np.testing.assert_allclose(encoder.extras["attention"], own, atol=1e-5)
    np.testing.assert_allclose(encoder.values, own[-1].mean((0, 1))[1:6], atol=1e-5)
    assert (
        "4 more attention layers are not among all of these tokens, such as a decoder's, and left out." in encoder.notes
    )
    rolled = explainers.explain(model, TEXT, "attention_rollout", target=1)
    eye = np.eye(TOKENS)
    wanted = ((own[1].mean(0) + eye) / 2 @ ((own[0].mean(0) + eye) / 2)).mean(0)
    np.testing.assert_allclose(rolled.values, wanted[1:6], atol=1e-5)


def test_every_position_by_hand() -> None:
    scores = random_scores(2, 2, TOKENS)[:, :, :3]
    model, maps = wrapped(Pointers(scores)), softmax(scores)
    assert Capability.ATTENTION in model.can or model.sample(TEXT)
    for position in range(3):
        found = explainers.explain(model, TEXT, "cross_attention", position=position, target=0)
        np.testing.assert_allclose(found.values, maps[1].mean(0)[position, 1:6], atol=1e-12)
        assert found.notes[0] == f"This is what position {position + 1} of 3 of the decoder attends to in the input."
    last = explainers.explain(model, TEXT, "cross_attention", target=0)
    np.testing.assert_array_equal(last.values, found.values)
    assert last.extras["cross_attention"].shape == (2, 2, 3, TOKENS)
    assert last.unit == "share of attention"


def test_one_word_alone() -> None:
    scores = pointing(np.array([3, 5, 2, 0, 0, 0, 0]))[None, None, :3]
    found = explainers.explain(wrapped(Pointers(scores)), TEXT, "cross_attention", target=0, position=1)
    np.testing.assert_allclose(found.values, [0, 0, 0, 0, 1], atol=1e-12)
    assert [found.players.name(player) for player in np.flatnonzero(found.values)] == ["film"]


def test_norms_of_what_is_brought() -> None:
    scores = random_scores(1, 2, TOKENS)[:, :, :3]
    model, maps = wrapped(Pointers(scores)), softmax(scores)[0]
    values = model.network.embedding.weight.detach().numpy()[model.sample(TEXT).x].reshape(TOKENS, 2, 4)
    each = maps[:, 2] * np.linalg.norm(values, axis=-1).T
    found = explainers.explain(model, TEXT, "cross_attention", target=0, measure="norm")
    np.testing.assert_allclose(found.values, np.sqrt((each**2).sum(0))[1:6], atol=1e-12)
    assert found.unit == "norm of attended values"


class Torch(nn.Module):
    """torch's own encoder and decoder; the start of the target is given."""

    def __init__(self, targets: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(len(WORDS), 16)
        self.starts = nn.Embedding(targets, 16)
        self.network = nn.Transformer(16, 2, 2, 2, 32, batch_first=True)
        self.out = nn.Linear(16, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        count = self.starts.num_embeddings
        start = self.starts(torch.arange(count)).expand(len(ids), -1, -1)
        ahead = nn.Transformer.generate_square_subsequent_mask(count)
        return self.out(self.network(self.embedding(ids), start, tgt_mask=ahead, tgt_is_causal=True)[:, -1])


@pytest.mark.parametrize("targets", [1, 4, TOKENS])
def test_the_transformer_of_torch(targets: int) -> None:
    network = Torch(targets).eval()
    model = wrapped(network)
    x = network.embedding(torch.tensor(model.sample(TEXT).x[None]))
    kept: list[Any] = []
    with torch.no_grad():
        memory = network.network.encoder(x)
        last = network.network.decoder.layers[-1]
        handle = last.multihead_attn.register_forward_pre_hook(lambda module, args: kept.append(args[0]))
        network(torch.tensor(model.sample(TEXT).x[None]))
        handle.remove()
        _, wanted = last.multihead_attn(kept[0], memory, memory, average_attn_weights=False)
    found = explainers.explain(model, TEXT, "cross_attention", target=1)
    np.testing.assert_allclose(found.extras["cross_attention"][-1], wanted[0], atol=1e-6)
    np.testing.assert_allclose(found.values, wanted[0].mean(0)[-1, 1:6], atol=1e-6)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_causal_decoder_looks_back_only() -> None:
    """The decoder's own maps honour the causal flag; the mask of the source is honoured by the crossed ones."""
    network = Torch(4).eval()
    ids = torch.tensor([[2, 4, 5, 6, 3]])
    with torch.no_grad():
        found = probe.attention(lambda: network(ids))
    decoder = [one for one in found.layers if one.within and one.map.shape[-1] == 4]
    assert len(decoder) == 2
    assert all(one.map.triu(1).abs().max() == 0 for one in decoder)
    away = torch.tensor([[False, False, False, True, True]])
    x = network.embedding(ids)
    with torch.no_grad():
        found = probe.attention(lambda: network.network(x, x, memory_key_padding_mask=away), entry=x)
    crossed = [one for one in found.layers if one.map[..., 3:].abs().max() == 0]
    assert len(crossed) == 2
    assert all(float(one.map.sum(-1).min()) == pytest.approx(1) for one in crossed)


class Pooled(nn.Module):
    """A learned query reads the tokens: attention pooling."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(len(WORDS), 8)
        self.query = nn.Parameter(torch.randn(1, 2, 1, 4))
        self.out = nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids).unflatten(-1, (2, 4)).transpose(1, 2)
        return self.out(F.scaled_dot_product_attention(self.query.expand(len(ids), -1, -1, -1), x, x).flatten(1))


def test_attention_pooling() -> None:
    model = wrapped(Pooled())
    x = model.network.embedding.weight[torch.tensor(model.sample(TEXT).x)].unflatten(-1, (2, 4)).transpose(0, 1)
    wanted = (model.network.query[0] @ x.mT / 2).softmax(-1).mean(0)[0].detach()
    found = explainers.explain(model, TEXT, "cross_attention", target=0)
    np.testing.assert_allclose(found.values, wanted[1:6], rtol=1e-5)
    assert found.notes[0] == "One query reads the input: this is what it attends to."
    with pytest.raises(UserError, match="attention between the 7 tokens of the text"):
        explainers.explain(model, TEXT, "attention", target=0)


def test_an_image_that_queries_read() -> None:
    class Queries(nn.Module):
        """As detectors do: learned queries look at a grid of features."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.features = nn.Conv2d(3, 8, 8, 8)
            self.queries = nn.Parameter(torch.randn(1, 1, 5, 8))
            self.out = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            cells = self.features(x).flatten(2).mT[:, None]
            found = F.scaled_dot_product_attention(self.queries.expand(len(x), -1, -1, -1), cells, cells)
            return self.out(found[:, 0].mean(1))

    network = Queries()
    picture = np.random.default_rng(0).normal(size=(3, 32, 48)).astype(np.float32)
    cells = network.features(torch.tensor(picture[None])).flatten(2).mT[0]
    wanted = (network.queries[0, 0] @ cells.mT / 8**0.5).softmax(-1).detach().numpy()
    model = model_zoo.wrap(network, modality="image", size=(32, 48))
    found = explainers.explain(model, picture, "cross_attention", position=3)
    np.testing.assert_allclose(found.extras["map"], wanted[3].reshape(4, 6), rtol=1e-4)
    np.testing.assert_allclose(found.dense(), np.kron(wanted[3].reshape(4, 6), np.ones((8, 8))), rtol=1e-4)


def test_what_has_none_is_refused() -> None:
    with pytest.raises(UserError, match="has no cross-attention"):
        explainers.explain(given(random_scores(1, 1, TOKENS)), TEXT, "cross_attention")
    model = wrapped(Pointers(random_scores(1, 2, TOKENS)[:, :, :3]))
    with pytest.raises(UserError, match="position lies between 0 and 2"):
        explainers.explain(model, TEXT, "cross_attention", position=3)
    with pytest.raises(UserError, match="layer lies between 0 and 0"):
        explainers.explain(model, TEXT, "cross_attention", layer=1)
    with pytest.raises(UserError, match="head lies between 0 and 1"):
        explainers.explain(model, TEXT, "cross_attention", head=2)


def test_a_vocabulary_that_is_as_wide_as_a_text_is_no_attention() -> None:
    """A softmax over classes is not taken for attention, whatever its shape."""

    class Choice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(len(WORDS), TOKENS)
            self.out = nn.Linear(TOKENS, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.out(self.embedding(ids).mean(1).softmax(-1))

    model = model_zoo.wrap(Choice(), modality="text", tokenizer=tokenizer(), class_names=("a", "b", "c"))
    model.sample(TEXT)
    assert Capability.ATTENTION not in model.can
