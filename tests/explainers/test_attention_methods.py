"""Attention, rollout and gradient attention against matrices worked out by hand and autograd's own gradients."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import numpy as np
import pytest
import tiny_transformers
import torch
import torch.nn.functional as F
from attention_stacks import TEXT, given, pointing, random_scores, softmax, wrapped
from attention_stacks import WORDS as VOCABULARY
from torch import nn

import explainers
from explainers.engine.evaluator import Evaluator
from explainers.engine.run import Run
from explainers.methods import attention, attention_rollout, gradient_attention
from explainers.types import Attribution, Method, NoParams
from explainers.words import percent
from model_zoo.architectures.bert import BertClassifier, Size
from model_zoo.bundled import minilm_sentiment
from model_zoo.model import Model
from model_zoo.types import Capability, ModelCard, Players, Reference, Sample, Target, UserError

METHODS = (attention.METHOD, attention_rollout.METHOD, gradient_attention.METHOD)
IDS = np.array([1, 7, 8, 9, 5, 2])  # a classification token, three words of which the second has two tokens, an end
TOKENS = np.array([-1, 0, 1, 2, 3, -1])
WORDS = np.array([-1, 0, 1, 1, 2, -1])
LAYERS, HEADS = 3, 2


class Tiny(nn.Module):
    """Attention with the softmax written out, so that its maps and their gradients can be taken from autograd."""

    def __init__(self, read: str = "first", causal: bool = False, fused: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.read, self.causal, self.fused = read, causal, fused
        self.embedding = nn.Embedding(10, 8).double()
        self.weights = nn.Parameter(torch.randn(LAYERS, 3, 8, 8).double() / 2)
        self.head = nn.Linear(8, 3).double()
        self.maps: list[torch.Tensor] = []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x, self.maps = self.embedding(ids), []
        for layer in self.weights:
            query, key, value = ((x @ part).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in layer)
            if self.fused:
                mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
            else:
                scores = query @ key.mT / 2
                if self.causal:
                    scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
                self.maps.append(scores.softmax(-1))
                mixed = self.maps[-1] @ value
            x = x + mixed.transpose(1, 2).flatten(2)
        return self.head({"first": x[:, 0], "last": x[:, -1], "mean": x[:, 1:-1].mean(1)}[self.read]).tanh()


def _explain(
    method: Method, network: Any, owner: np.ndarray = TOKENS, target: int = 1, gradients: bool = True, **knobs: Any
) -> tuple[Attribution, Evaluator]:
    can = Capability.ATTENTION | Capability.EMBEDDINGS | (Capability.GRADIENTS if gradients else Capability.NONE)
    card = ModelCard("net", "The net", "text", "classification", "logit", ("a", "b", "c"), can)
    model, run = Model(card, network, input=None, embedding=getattr(network, "embedding", None)), Run()  # type: ignore[arg-type]
    run.evaluator = Evaluator(model, run)
    sample, reference = Sample("text", "typed text", IDS, None), Reference("pad", np.zeros_like(IDS)[None], "padding")
    players = Players("tokens", owner, int(owner.max()) + 1)
    params = method.params(**knobs) if method.params is not NoParams else NoParams()
    found = method.explain(model, sample, Target(target, "b", "logit"), players, reference, params, run)
    return found, run.evaluator


def _truth(network: Tiny, target: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Maps and gradients (layers, heads, tokens, tokens) by autograd, the softmax written out."""
    plain = Tiny(network.read, network.causal)
    plain.load_state_dict(network.state_dict())
    score = plain(torch.tensor(IDS[None]))[0, target]
    gradients = torch.autograd.grad(score, plain.maps)
    return torch.cat(plain.maps).detach().numpy(), torch.cat(gradients).numpy()


VARIANTS = [
    Tiny,
    lambda: Tiny(fused=True),
    lambda: Tiny("last", causal=True, fused=True),
    lambda: Tiny("mean", fused=True),
]
ROWS: list[Any] = [[0], [0], [5], [1, 2, 3, 4]]


@pytest.mark.parametrize("case", range(4))
def test_attention_is_the_last_layers_row(case: int) -> None:
    network = VARIANTS[case]()
    maps, _ = _truth(network)
    found, evaluator = _explain(attention.METHOD, network)
    np.testing.assert_allclose(found.values, maps[-1].mean(0)[ROWS[case]].mean(0)[1:5], rtol=1e-6)
    assert found.extras["attention"].shape == (LAYERS, HEADS, 6, 6)
    assert found.extras["attention"].dtype == np.float32
    np.testing.assert_allclose(found.extras["attention"], maps, rtol=1e-5)
    assert found.unit == "share of attention"
    assert (evaluator.forward, evaluator.backward) == (1, 1)


def test_notes_say_whose_attention_it_is() -> None:
    notes = [_explain(attention.METHOD, build())[0].notes for build in VARIANTS]
    assert notes[0][0] == "The model reads its score from token 1 of 6: this is what that token attends to."
    assert notes[2][0] == "The model reads its score from token 6 of 6: this is what that token attends to."
    assert notes[3][0] == "The model reads its score from 4 of 6 tokens: this is what they attend to on average."
    assert len(notes[0]) == 1  # next to nothing goes to special tokens in the last layer
    maps, _ = _truth(Tiny())
    share = attention_rollout.rollout(tuple(maps))[0, [0, 5]].sum()
    said = _explain(attention_rollout.METHOD, Tiny())[0].notes[1]
    assert said == f"{percent(share)} of it goes to special tokens, which belong to no word."


def test_one_layer_and_one_head() -> None:
    maps, _ = _truth(Tiny())
    found, _ = _explain(attention.METHOD, Tiny(), layer=1, head=0)
    np.testing.assert_allclose(found.values, maps[1, 0, 0, 1:5], rtol=1e-6)
    assert attention.METHOD.flavour(attention.Params(), None) == "last layer, mean of heads"
    assert attention.METHOD.flavour(attention.Params(1, 0), None) == "layer 1, head 0, counted from 0"
    with pytest.raises(UserError, match="layer lies between 0 and 2"):
        _explain(attention.METHOD, Tiny(), layer=3)
    with pytest.raises(UserError, match="head lies between 0 and 1"):
        _explain(attention.METHOD, Tiny(), head=2)


@pytest.mark.parametrize("case", range(4))
def test_rollout_by_hand(case: int) -> None:
    network = VARIANTS[case]()
    maps, _ = _truth(network)
    one, two, three = (0.5 * layer.mean(0) + 0.5 * np.eye(6) for layer in maps)
    rolled = three @ two @ one
    found, _ = _explain(attention_rollout.METHOD, network)
    np.testing.assert_allclose(found.values, rolled[ROWS[case]].mean(0)[1:5], rtol=1e-6)


def test_rollout_of_two_tokens() -> None:
    """Â = [[¾, ¼], [0, 1]] twice: the first token keeps 9/16."""
    layer = np.array([[[0.5, 0.5], [0.0, 1.0]]])
    np.testing.assert_allclose(attention_rollout.rollout((layer, layer)), [[9 / 16, 7 / 16], [0, 1]])


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("target", range(3))
def test_gradient_attention_by_hand(case: int, target: int) -> None:
    """Chefer's rule, expanded: (I + C₃)(I + C₂)(I + C₁), with C = mean over heads of (∇A ⊙ A)⁺."""
    network = VARIANTS[case]()
    maps, gradients = _truth(network, target)
    one, two, three = (np.clip(g * a, 0, None).mean(0) for a, g in zip(maps, gradients, strict=True))
    identity = np.eye(6)
    full = (identity + three) @ (identity + two) @ (identity + one) - identity
    found, evaluator = _explain(gradient_attention.METHOD, network, target=target)
    np.testing.assert_allclose(found.values, full[ROWS[case]].mean(0)[1:5], rtol=1e-6, atol=1e-15)
    assert found.values.max() > 0
    assert (evaluator.forward, evaluator.backward) == (1, 1)


@pytest.mark.parametrize("method", METHODS, ids=lambda one: one.id)
def test_a_word_has_the_sum_of_its_tokens(method: Method) -> None:
    by_token, _ = _explain(method, Tiny())
    by_word, _ = _explain(method, Tiny(), WORDS)
    np.testing.assert_allclose(by_word.values, [by_token.values[0], by_token.values[1:3].sum(), by_token.values[3]])
    assert not method.signed
    assert method.completeness == "no"
    assert method.players == {"text": "words"}
    assert (by_word.values >= 0).all()


def test_without_gradients_the_reader_is_guessed() -> None:
    """A classification token at the start; the last token where none looks ahead; else the mean of all."""
    maps, _ = _truth(Tiny())
    found, evaluator = _explain(attention.METHOD, Tiny(), gradients=False)
    np.testing.assert_allclose(found.values, maps[-1].mean(0)[0, 1:5], rtol=1e-6)
    assert evaluator.backward == 0
    every = np.arange(6)
    found, _ = _explain(attention.METHOD, Tiny(), every, gradients=False)
    np.testing.assert_allclose(found.values, maps[-1].mean((0, 1)), rtol=1e-6)
    causal, _ = _truth(Tiny("last", causal=True))
    found, _ = _explain(attention.METHOD, Tiny("last", causal=True), gradients=False)
    np.testing.assert_allclose(found.values, causal[-1].mean(0)[5, 1:5], rtol=1e-6)


def test_a_score_that_no_attention_raises() -> None:
    """With all values V negative in effect the clipped product is 0 everywhere, and that is said."""
    network = Tiny()
    with torch.no_grad():
        network.head.weight.zero_()
    found, _ = _explain(gradient_attention.METHOD, network)
    assert not found.values.any()
    assert found.notes[-1] == "There is no attention that raises this score, so every value is 0."


def test_a_model_without_attention_is_refused() -> None:
    network = nn.Sequential(OrderedDict(embedding=nn.Embedding(10, 4), flat=nn.Flatten(), head=nn.Linear(24, 3)))
    with pytest.raises(UserError, match="attention between the 6 tokens"):
        _explain(attention.METHOD, network)


def test_the_fused_layer_of_torch() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.embedding = nn.Embedding(10, 8)
            layer = nn.TransformerEncoderLayer(8, HEADS, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(8, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.encoder(self.embedding(ids))[:, 0])

    network = Encoder().eval()
    x = network.embedding(torch.tensor(IDS[None]))
    hidden = network.encoder.layers[0](x)
    _, wanted = network.encoder.layers[1].self_attn(hidden, hidden, hidden, need_weights=True)
    for gradients in (True, False):
        found, _ = _explain(attention.METHOD, network, gradients=gradients)
        np.testing.assert_allclose(found.values, wanted[0, 0, 1:5].detach(), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=lambda one: one.id)
def test_our_bert(method: Method) -> None:
    """The architecture of the bundled model, small: every method reads it, and leaves it as it was."""
    torch.manual_seed(0)
    network = BertClassifier(3, Size(vocabulary=10, width=16, layers=2, heads=4, inner=8, positions=16))
    before = {name: one.clone() for name, one in network.state_dict().items()}
    found, _ = _explain(method, network, WORDS)
    assert found.extras["attention"].shape == (2, 4, 6, 6)
    np.testing.assert_allclose(found.extras["attention"].sum(-1), 1, rtol=1e-5)
    assert found.notes[0].startswith("The model reads its score from token 1 of 6")
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in network.modules())
    assert all(one.grad is None for one in network.parameters())


def test_our_berts_last_layer_from_its_own_parts() -> None:
    torch.manual_seed(0)
    network = BertClassifier(3, Size(vocabulary=10, width=16, layers=3, heads=4, inner=8, positions=16)).eval()
    found, _ = _explain(attention.METHOD, network)
    _is_the_last_layer(network, torch.tensor(IDS[None]), found.extras["attention"])


def test_the_bundled_sentiment_model() -> None:
    model = minilm_sentiment.load("cpu")
    sample = model.sample("A wonderful film, without one dull moment.")
    players, run = model.input.players(sample, "words"), Run()
    run.evaluator = Evaluator(model, run)
    for method in METHODS:
        found = method.explain(
            model, sample, Target(1, "positive", "logit"), players, model.input.reference(sample), method.params(), run
        )
        assert found.values.shape == (players.count,)
        assert found.values.min() >= 0
        assert found.values.max() > 0
        assert found.extras["attention"].shape == (6, 12, len(sample.x), len(sample.x))
    _is_the_last_layer(model.network, torch.tensor(sample.x[None]), found.extras["attention"])


def _is_the_last_layer(network: Any, ids: torch.Tensor, found: np.ndarray) -> None:
    """softmax(Q Kᵀ / √d) from the hidden states that the network itself gives below its last layer."""
    layer = network.layers[-1]
    with torch.no_grad():
        x = network.encode(ids, len(network.layers) - 1)
        query, key = (part(x)[0].unflatten(-1, (layer.heads, -1)).transpose(0, 1) for part in (layer.query, layer.key))
        wanted = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
    np.testing.assert_allclose(found[-1], wanted, atol=1e-5)


# -- through wrap() and explain() ----------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_bert_of_transformers(implementation: str) -> None:
    """With SDPA the library returns no attentions at all; ours are its eager maps, and their gradients autograd's."""
    about = {"vocab_size": len(VOCABULARY), "num_labels": 3, **tiny_transformers.SIZES}
    made = partial(tiny_transformers.made, "BertForSequenceClassification", "BertConfig", **about)
    model = wrapped(made(attn_implementation=implementation))
    ids = torch.tensor(model.sample(TEXT).x[None])
    out = made(attn_implementation="eager")(ids, output_attentions=True)
    gradients = [one[0].double().numpy() for one in torch.autograd.grad(out.logits[0, 2], out.attentions)]
    maps = [one[0].detach().double().numpy() for one in out.attentions]
    raw = explainers.explain(model, TEXT, "attention", target=2)
    np.testing.assert_allclose(raw.extras["attention"], np.stack(maps), atol=1e-5)
    np.testing.assert_allclose(raw.values, maps[-1].mean(0)[0, 1:6], atol=1e-5)
    eye = np.eye(7)
    rolled = (maps[1].mean(0) + eye) / 2 @ ((maps[0].mean(0) + eye) / 2)
    found = explainers.explain(model, TEXT, "attention_rollout", target=2)
    np.testing.assert_allclose(found.values, rolled[0, 1:6], atol=1e-5)
    one, two = (np.clip(a * g, 0, None).mean(0) for a, g in zip(maps, gradients, strict=True))
    chefer = ((eye + two) @ (eye + one) - eye)[0, 1:6]
    found = explainers.explain(model, TEXT, "gradient_attention", target=2, output="logit")
    np.testing.assert_allclose(found.values, chefer, atol=1e-5)


@pytest.mark.parametrize("how", ["mean", "max", "min"])
def test_heads_may_be_made_one_otherwise(how: str) -> None:
    scores = random_scores(2, 4, 7)
    found = explainers.explain(given(scores), TEXT, "attention", heads=how, layer=0)
    np.testing.assert_allclose(found.values, getattr(softmax(scores)[0], how)(0)[0, 1:6], atol=1e-12)
    assert found.flavour == f"layer 0, {how} of heads, counted from 0"


def test_even_and_pointing_attention() -> None:
    even = explainers.explain(given(np.zeros((1, 1, 7, 7))), TEXT, "attention")
    np.testing.assert_allclose(even.values, 1 / 7)
    one = explainers.explain(given(pointing(np.full(7, 4))[None, None]), TEXT, "attention")
    np.testing.assert_allclose(one.values, [0, 0, 0, 1, 0])


def test_the_gradient_of_attention_that_is_given() -> None:
    """F = w · (x_r + Σ_j A_rj x_j) in one layer of one head: ∂F/∂A_rj = w · x_j, though A depends on no input."""
    scores = random_scores(1, 1, 7)
    model = given(scores)
    states = model.network.embedding.weight.detach().numpy()[model.sample(TEXT).x]
    weights = model.network.head.weight.detach().numpy()[1]
    wanted = np.clip(softmax(scores)[0, 0, 0] * (states @ weights), 0, None)
    found = explainers.explain(model, TEXT, "gradient_attention", target=1)
    np.testing.assert_allclose(found.values, wanted[1:6], atol=1e-12)
    assert found.values.max() > 0


@pytest.mark.parametrize("at_end", [False, True])
def test_a_token_that_the_network_adds_belongs_to_nobody(at_end: bool) -> None:
    class Own(nn.Module):
        """A token of its own before or after the text, from which the score is read."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding = nn.Embedding(len(VOCABULARY), 8)
            self.own = nn.Parameter(torch.randn(1, 1, 8))
            self.out = nn.Linear(8, 3)
            self.kept: list[torch.Tensor] = []

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x, own = self.embedding(ids), self.own.expand(len(ids), -1, -1)
            x = torch.cat([x, own] if at_end else [own, x], 1)
            self.kept.append((x @ x.mT).softmax(-1))
            return self.out((x + self.kept[-1] @ x)[:, -1 if at_end else 0])

    network = Own()
    model = wrapped(network, framed=False)
    found = explainers.explain(model, TEXT, "attention", target=0)
    row = network.kept[-1][0, -1 if at_end else 0].detach()
    np.testing.assert_allclose(found.values, row[:-1] if at_end else row[1:], rtol=1e-5)
    wanted = [0, 1, 2, 3, 4, -1] if at_end else [-1, 0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found.extras["attention_tokens"], wanted)


def test_a_mask_is_honoured() -> None:
    class Masked(nn.Module):
        """torch's encoder, in which nobody may look at the word "good"."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding = nn.Embedding(len(VOCABULARY), 8)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.out = nn.Linear(8, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            away = ids == VOCABULARY.index("good")
            return self.out(self.encoder(self.embedding(ids), src_key_padding_mask=away)[:, 0])

    model = wrapped(Masked().eval())
    for method in ("attention", "attention_rollout", "attention_flow", "attention_norms", "gradient_attention"):
        found = explainers.explain(model, TEXT, method, target=1)
        assert found.values[3] == 0  # nor do residuals bring it to [CLS]
        assert np.abs(found.extras["attention"][..., 4]).max() == 0
        assert found.values.max() > 0
