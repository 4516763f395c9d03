"""GradientSHAP gives shap's numbers, in every kind of input."""

from __future__ import annotations

import numpy as np
import pytest
import shap
import torch

import explainers
from explainers.engine.run import Run
from model_zoo.modalities.image import ImageInput
from model_zoo.modalities.tabular import TableInput
from model_zoo.modalities.text import TextInput, WordTokenizer
from model_zoo.model import Model
from model_zoo.types import Capability, Column, ModelCard

LABELS = ("a", "b", "c")
WORDS = ("<pad>", "<unk>", "the", "film", "was", "not", "good", "bad")


def card(modality: str, can: Capability = Capability.GRADIENTS) -> ModelCard:
    return ModelCard("m", "M", modality, "classification", "logit", LABELS, can)


class Picture(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.convolution, self.head = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.convolution(x)).mean((2, 3)))


class Sentence(torch.nn.Module):
    """Order matters here, so that no two places are alike."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.embedding = torch.nn.Embedding(len(WORDS), 5)
        self.rest = torch.nn.GRU(5, 6, batch_first=True)
        self.head = torch.nn.Linear(6, 3)

    def after(self, embedded: torch.Tensor) -> torch.Tensor:
        return self.head(self.rest(embedded)[0][:, -1])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.after(self.embedding(ids))


def table(network: torch.nn.Module, rows: np.ndarray) -> Model:
    columns = tuple(Column(f"f{index}") for index in range(rows.shape[1]))
    return Model(card("tabular"), network, TableInput(columns, "raw", background_rows=rows))


def test_numbers_are_the_librarys_on_a_picture(picture) -> None:
    network = Picture()
    rows = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    model = Model(card("image"), network, ImageInput((32, 32)))
    found = explainers.explain(model, picture, "gradient_shap", target=2, seed=9, nsamples=30, background=rows)
    theirs = (
        shap.GradientExplainer(network, torch.tensor(rows))
        .shap_values(torch.tensor(picture[None]), nsamples=30, rseed=9)[0, ..., 2]
        .sum(0)
    )
    np.testing.assert_allclose(found.dense(), theirs, atol=1e-5 * np.ptp(theirs))
    assert found.players.kind == "pixels"


def test_numbers_are_the_librarys_on_a_table_and_few_are_held_at_a_time(monkeypatch) -> None:
    from explainers.methods import gradient_shap

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    draw = np.random.default_rng(1)
    x, rows = draw.normal(size=6).astype(np.float32), draw.normal(size=(7, 6)).astype(np.float32)
    monkeypatch.setattr(gradient_shap, "KEPT", 6 * 64)
    published = []
    run = Run(on_partial=published.append)
    found = explainers.explain(table(network, rows), x, "gradient_shap", target=1, seed=4, nsamples=200, run=run)
    theirs = shap.GradientExplainer(network, torch.tensor(rows)).shap_values(
        torch.tensor(x[None]), nsamples=200, rseed=4
    )[0, :, 1]
    np.testing.assert_allclose(found.values, theirs, atol=1e-5 * np.ptp(theirs))
    with torch.no_grad():
        assert found.base_value == pytest.approx(float(network(torch.tensor(rows))[:, 1].mean()), abs=1e-6)
    assert [one.flavour.split()[0] for one in published] == ["64", "128", "192"]


def test_numbers_are_the_librarys_on_a_texts_embedding() -> None:
    network = Sentence()
    tokenizer = WordTokenizer(WORDS)
    model = Model(
        card("text", Capability.GRADIENTS | Capability.EMBEDDINGS),
        network,
        TextInput(tokenizer),
        embedding=network.embedding,
    )
    found = explainers.explain(model, "The film was not bad", "gradient_shap", target=0, seed=2, nsamples=50)

    class After(torch.nn.Module):
        def forward(self, embedded: torch.Tensor) -> torch.Tensor:
            return network.after(embedded)

    ids = torch.tensor(found.sample.x[None])
    with torch.no_grad():
        end, start = network.embedding(ids), network.embedding(torch.tensor(found.reference.rows))
    theirs = shap.GradientExplainer(After(), start).shap_values(end, nsamples=50, rseed=2)[0, ..., 0].sum(-1)
    np.testing.assert_allclose(found.values, theirs, atol=1e-5 * np.ptp(theirs))
    assert found.players.names == ("The", "film", "was", "not", "bad")


def test_a_linear_model_with_one_reference_row_is_explained_exactly() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(5, 3)
    x, row = np.arange(5, dtype=np.float32), np.full((1, 5), 0.5, np.float32)
    found = explainers.explain(table(network, row), x, "gradient_shap", target=1)
    np.testing.assert_allclose(found.values, network.weight.detach().numpy()[1] * (x - row[0]), atol=1e-6)
    assert found.std_error.max() < 1e-6


def test_the_standard_error_is_the_spread_over_seeds() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    draw = np.random.default_rng(1)
    model = table(network, draw.normal(size=(7, 5)).astype(np.float32))
    x = draw.normal(size=5).astype(np.float32)
    runs = [explainers.explain(model, x, "gradient_shap", target=1, seed=seed, nsamples=100) for seed in range(40)]
    spread = np.std([one.values for one in runs], axis=0, ddof=1)
    said = np.sqrt(np.mean([one.std_error**2 for one in runs], axis=0))
    assert (np.abs(np.log(said / spread)) < 0.4).all()
    assert all(check.verdict != "exact" for check in runs[0].evidence)


def test_many_rows_take_more_points() -> None:
    rows = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    network = torch.nn.Linear(5, 3)
    assert "350 random points" in explainers.explain(table(network, rows), rows[0], "gradient_shap").flavour
    assert "200 random points" in explainers.explain(table(network, rows[:1]), rows[0], "gradient_shap").flavour
