"""KernelSHAP gives shap's numbers, which are Shapley values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import shap
import torch
from shap.utils._legacy import DenseData

import explainers
from explainers.methods import kernel_shap
from model_zoo.modalities.image import ImageInput
from model_zoo.modalities.tabular import TableInput
from model_zoo.model import Model
from model_zoo.types import Capability, Column, ModelCard, UserError

WIDE = 12


def table(network: torch.nn.Module, rows: np.ndarray, columns: tuple[Column, ...] = ()) -> Model:
    columns = columns or tuple(Column(f"f{index}") for index in range(rows.shape[1]))
    card = ModelCard("m", "M", "tabular", "classification", "logit", ("a", "b", "c"), Capability.GRADIENTS)
    encoding = "onehot" if any(column.kind == "category" for column in columns) else "raw"
    return Model(card, network, TableInput(columns, encoding, background_rows=rows, dtype="float64"))


def net(features: int, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(features, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)).double()


def direct(network: torch.nn.Module) -> object:
    return lambda rows: network(torch.tensor(np.asarray(rows, dtype=np.float64))).detach().numpy()[:, 1]


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    """A row and a background in which feature 2 never varies."""
    draw = np.random.default_rng(1)
    x, rows = draw.normal(size=WIDE), draw.normal(size=(9, WIDE))
    rows[:, 2] = x[2]
    return x, rows


@pytest.mark.parametrize("nsamples", [100, 300, 5000])
def test_numbers_are_the_librarys_for_the_same_seed(data, nsamples: int) -> None:
    x, rows = data
    network = net(WIDE)
    found = explainers.explain(table(network, rows), x, "kernel_shap", target=1, seed=3, nsamples=nsamples)
    np.random.seed(3)
    explainer = shap.KernelExplainer(direct(network), rows)
    theirs = explainer.shap_values(x, nsamples=nsamples, l1_reg=False, silent=True)
    np.testing.assert_allclose(found.values, theirs, atol=1e-9 * np.ptp(theirs))
    assert found.base_value == pytest.approx(explainer.expected_value, rel=1e-12)
    assert found.values[2] == 0
    assert ("all" in found.flavour) == (nsamples == 5000)


def test_a_column_of_several_features_is_one_player_as_a_group_of_the_library() -> None:
    columns = (Column("n"), Column("colour", "category", categories=("red", "green", "blue")), Column("m"))
    rows = np.array([[0.1, 1, 0, 0, -1.0], [0.5, 0, 1, 0, 2.0], [-2.0, 0, 1, 0, 0.3]])
    network = net(5)
    found = explainers.explain(
        table(network, rows, columns), {"n": 1.0, "colour": "blue", "m": 0.5}, "kernel_shap", target=1
    )
    grouped = DenseData(rows, ["n", "colour", "m"], [[0], [1, 2, 3], [4]])
    theirs = shap.KernelExplainer(direct(network), grouped).shap_values(
        np.array([1.0, 0, 0, 1, 0.5]), l1_reg=False, silent=True
    )
    np.testing.assert_allclose(found.values, theirs, atol=1e-12)
    assert found.players.count == 3


def test_enumeration_is_the_definition(data) -> None:
    x, rows = data[0][:5], data[1][:, :5]
    network = net(5)
    found = explainers.explain(table(network, rows), x, "kernel_shap", target=1)
    f = direct(network)

    def worth(players: tuple[int, ...]) -> float:
        mixed = rows.copy()
        mixed[:, list(players)] = x[list(players)]
        return f(mixed).mean()

    for player in range(5):
        others = [one for one in range(5) if one != player]
        value = sum(
            (worth((*some, player)) - worth(some)) * math.factorial(size) * math.factorial(4 - size) / math.factorial(5)
            for size in range(5)
            for some in itertools.combinations(others, size)
        )
        assert found.values[player] == pytest.approx(value, abs=1e-10)
    assert found.provenance.parameters["nsamples"] == 14  # all but nobody and everybody, though 0 was asked
    settled = next(check for check in found.evidence if check.id == "settled")
    assert settled.verdict == "exact"


@pytest.mark.parametrize("nsamples", [0, 60])
def test_a_linear_model_is_explained_exactly_even_from_few_coalitions(data, nsamples: int) -> None:
    x, rows = data
    torch.manual_seed(0)
    network = torch.nn.Linear(WIDE, 3).double()
    found = explainers.explain(table(network, rows), x, "kernel_shap", target=2, nsamples=nsamples)
    weights = network.weight.detach().numpy()[2]
    np.testing.assert_allclose(found.values, weights * (x - rows.mean(0)), atol=1e-9)
    if nsamples:
        assert found.std_error is not None
        assert found.std_error.max() < 1e-9


def test_the_standard_error_is_the_spread_over_seeds(data) -> None:
    x, rows = data
    model = table(net(WIDE), rows[:3])
    runs = [explainers.explain(model, x, "kernel_shap", target=1, seed=seed, nsamples=150) for seed in range(25)]
    spread = np.std([one.values for one in runs], axis=0, ddof=1)
    said = np.sqrt(np.mean([one.std_error**2 for one in runs], axis=0))
    ratio = said[spread > 0] / spread[spread > 0]
    assert 0.8 < np.median(ratio) < 1.4
    assert np.flatnonzero(spread == 0).tolist() == [2]


def test_the_same_seed_gives_the_same_bytes_and_numpys_own_stream_goes_on(data) -> None:
    x, rows = data
    model = table(net(WIDE), rows)
    np.random.seed(11)
    before = np.random.get_state()[1].copy()
    first = explainers.explain(model, x, "kernel_shap", target=1, seed=5, nsamples=200)
    again = {"batches": first.provenance.batches, "nsamples": 200}
    runs = [first, *(explainers.explain(model, x, "kernel_shap", target=1, seed=seed, **again) for seed in (5, 6))]
    assert (np.random.get_state()[1] == before).all()
    assert runs[0].values.tobytes() == runs[1].values.tobytes()
    assert (runs[0].values != runs[2].values).any()


def test_segments_of_a_picture_add_up_and_its_pixels_are_too_many(picture: np.ndarray, monkeypatch) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 30 * 30, 3)
    )
    card = ModelCard("m", "M", "image", "classification", "logit", ("a", "b", "c"), Capability.GRADIENTS)
    model = Model(card, network, ImageInput((32, 32)))
    found = explainers.explain(model, picture, "kernel_shap", segments=12, nsamples=100)
    assert found.players.kind == "segments"
    assert found.values.sum() + found.base_value == pytest.approx(found.explained, abs=1e-5)
    monkeypatch.setattr(kernel_shap, "MOST", 1000)
    with pytest.raises(UserError, match=r"at most 1,000 players; this input has 1,024 pixels.*coarser"):
        explainers.explain(model, picture, "kernel_shap", players="pixels")


def test_selection_says_how_many_players_it_left(data) -> None:
    x, rows = data
    found = explainers.explain(
        table(net(WIDE), rows), x, "kernel_shap", target=1, nsamples=300, l1_reg="num_features(10)"
    )
    assert np.count_nonzero(found.values) <= 10
    assert any("of 12 columns have credit" in note for note in found.notes)


def test_fewer_coalitions_than_players_is_said(data) -> None:
    x, rows = data
    found = explainers.explain(table(net(WIDE), rows), x, "kernel_shap", target=1, nsamples=5)
    assert any("ask for more" in note for note in found.notes)
