"""Partition SHAP gives shap's numbers on pictures and texts."""

from __future__ import annotations

import numpy as np
import pytest
import shap
import torch

import explainers
from explainers.methods import partition_shap
from model_zoo.modalities.image import ImageInput
from model_zoo.modalities.text import TextInput, WordTokenizer
from model_zoo.model import Model
from model_zoo.types import Capability, ModelCard

WORDS = ("<pad>", "<unk>", "<mask>", "the", "film", "was", "not", "good", "bad", "at", "all", "but", "long")
TEXT = "The film was not bad at all but long"


class Picture(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.convolution, self.head = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.convolution(x)).mean((2, 3)))


class Sentence(torch.nn.Module):
    def __init__(self, linear: bool = False) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.embedding, self.linear = torch.nn.Embedding(len(WORDS), 5), linear
        self.rest, self.head = torch.nn.GRU(5, 6, batch_first=True), torch.nn.Linear(5 if linear else 6, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        embedded = self.embedding(ids)
        return self.head(embedded.sum(1) if self.linear else self.rest(embedded)[0][:, -1])


def picture_model() -> Model:
    card = ModelCard("m", "M", "image", "classification", "logit", ("a", "b", "c"), Capability.GRADIENTS)
    return Model(card, Picture(), ImageInput((32, 32)))


def text_model(linear: bool = False) -> Model:
    network = Sentence(linear)
    can = Capability.GRADIENTS | Capability.EMBEDDINGS
    card = ModelCard("m", "M", "text", "classification", "logit", ("a", "b", "c"), can)
    return Model(card, network, TextInput(WordTokenizer(WORDS, mask="<mask>")), embedding=network.embedding)


@pytest.mark.parametrize("blur", [0, 5])
def test_numbers_are_the_librarys_on_a_picture(picture, blur: int) -> None:
    model = picture_model()
    found = explainers.explain(
        model, picture, "partition_shap", target=1, seed=6, baseline=0.3, max_evals=120, batch_size=20, blur=blur
    )
    colours_last = np.ascontiguousarray(np.moveaxis(picture, 0, -1))

    def bare(pictures: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.network(torch.tensor(np.moveaxis(pictures, -1, 1))).numpy()

    hidden = f"blur({blur},{blur})" if blur else np.full_like(colours_last, 0.3)
    explainer = shap.PartitionExplainer(bare, shap.maskers.Image(hidden, colours_last.shape))
    np.random.seed(6)
    theirs = explainer(colours_last[None], max_evals=120, batch_size=20, outputs=[1], silent=True)
    pixels = theirs.values[0].sum((-1, -2))
    np.testing.assert_allclose(found.dense(), pixels, atol=1e-5 * np.ptp(pixels))
    assert found.base_value == pytest.approx(theirs.base_values[0, 0], abs=1e-6)
    assert found.values.sum() + found.base_value == pytest.approx(found.explained, abs=1e-5)
    assert found.flavour == "grouped (Owen values), 120 evaluations"
    assert ("blurred" in found.reference.sentence) == bool(blur)


def test_half_the_work_is_replayed_without_asking_the_model_again(picture) -> None:
    model = picture_model()
    whole = explainers.explain(model, picture, "partition_shap", target=1, seed=6, max_evals=300)
    half = explainers.explain(model, picture, "partition_shap", target=1, seed=6, max_evals=150)
    settled = next(check for check in whole.evidence if check.id == "settled")
    change = np.abs(whole.values - half.values).sum() / np.abs(whole.values).sum()
    assert settled.value == pytest.approx(change, rel=1e-6)
    assert whole.cost.forward <= 301 + 1


def test_numbers_are_the_librarys_on_a_text() -> None:
    model = text_model()
    found = explainers.explain(model, TEXT, "partition_shap", target=1, seed=6, max_evals=20, batch_size=4)

    def bare(texts: np.ndarray) -> np.ndarray:
        ids = [[WORDS.index(word) for word in one.lower().replace("<mask>", " <mask> ").split()] for one in texts]
        with torch.no_grad():
            return model.network(torch.tensor(ids))[:, 1].numpy()

    masker = shap.maskers.Text(r"\s", mask_token="<mask>", collapse_mask_token=False)
    np.random.seed(6)
    theirs = shap.PartitionExplainer(bare, masker)([TEXT], max_evals=20, batch_size=4, silent=True)
    np.testing.assert_allclose(found.values, theirs.values[0], atol=1e-5 * np.ptp(theirs.values[0]))
    assert found.players.names == tuple(TEXT.split())


def test_a_text_of_few_words_is_followed_to_its_leaves() -> None:
    found = explainers.explain(text_model(linear=True), TEXT, "partition_shap", target=2, max_evals=2000)
    network = text_model(linear=True).network
    with torch.no_grad():
        change = network.embedding(torch.tensor(found.sample.x)) - network.embedding(torch.tensor([2]))
        expected = (change @ network.head.weight[2]).numpy()
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    assert next(check for check in found.evidence if check.id == "settled").verdict == "exact"


def test_one_word_gets_everything() -> None:
    found = explainers.explain(text_model(), "good", "partition_shap", target=0)
    assert found.values[0] == pytest.approx(found.explained - found.base_value)


def test_the_tree_joins_words_of_a_clause_first() -> None:
    text = "not bad, but long"
    where = [(0, 3), (4, 8), (9, 12), (13, 17)]
    tree = partition_shap.clustering(text, where)
    assert tree.shape == (3, 4)
    assert {tuple(sorted(pair)) for pair in tree[:2, :2].astype(int).tolist()} == {(0, 1), (2, 3)}
