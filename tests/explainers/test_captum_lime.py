"""LIME by Captum gives captum's numbers, and says what its Lasso did to them."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from captum._utils.models import linear_model
from sklearn.linear_model import LinearRegression

import explainers
import model_zoo
from model_zoo.types import UserError

X = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
BASELINE = np.array([0.5, 0.0, -1.0, 1.0, 2.0])
LINES = {
    "lasso": linear_model.SkLearnLasso,
    "ridge": linear_model.SkLearnRidge,
    "linear": linear_model.SkLearnLinearRegression,
}


def compare(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert np.ptp(theirs) > 1e-4
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.ptp(theirs))


@pytest.mark.parametrize("regression", LINES)
def test_numbers_are_the_librarys_on_a_picture(picture_model, picture, regression: str) -> None:
    found = explainers.explain(
        picture_model, picture, "captum_lime", target=1, baseline=0.25, seed=8, n_samples=150, segments=14,
        regression=regression, alpha=0.0005,
    )  # fmt: skip
    line = LINES[regression](**({} if regression == "linear" else {"alpha": 0.0005}))
    mask = torch.tensor(found.players.owner).long().expand(1, 3, 32, 32)
    torch.manual_seed(8)
    theirs = captum.attr.Lime(picture_model.network, interpretable_model=line).attribute(
        torch.tensor(picture[None]), baselines=0.25, target=1, feature_mask=mask, n_samples=150,
        perturbations_per_eval=50, return_input_shape=False,
    )  # fmt: skip
    compare(found.values, theirs[0].numpy())
    assert found.players.kind == "segments"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_numbers_are_the_librarys_on_a_table_with_its_defaults(symmetric_model, seed: int) -> None:
    found = explainers.explain(symmetric_model, X, "captum_lime", target=2, baseline=BASELINE, seed=seed, n_samples=25)
    torch.manual_seed(seed)
    theirs = captum.attr.Lime(symmetric_model.network).attribute(
        torch.tensor(X[None]), baselines=torch.tensor(BASELINE[None]), target=2
    )
    compare(found.values, theirs[0].numpy())


def test_what_nobody_owns_counts_in_the_distance_as_in_the_library(symmetric_model) -> None:
    """A mask entry of its own that is always kept has the same effect there."""
    players = model_zoo.types.Players("columns", np.array([0, 0, 1, -1, 2]), 3, ("a", "b", "c"))
    found = explainers.explain(
        symmetric_model, X, "captum_lime", target=2, baseline=BASELINE, players=players, seed=4, n_samples=60
    )
    drawn = torch.Generator().manual_seed(4)

    def kept(inputs: torch.Tensor, **about: object):
        while True:
            yield torch.cat([torch.bernoulli(torch.full((1, 3), 0.5), generator=drawn), torch.ones(1, 1)], 1).long()

    theirs = captum.attr.Lime(symmetric_model.network, perturb_func=kept).attribute(
        torch.tensor(X[None]), baselines=torch.tensor(BASELINE[None]), target=2, n_samples=60,
        feature_mask=torch.tensor([[0, 0, 1, 3, 2]]), return_input_shape=False,
    )  # fmt: skip
    compare(found.values, theirs[0, :3].numpy())


def test_a_linear_model_is_followed_and_the_lasso_says_what_it_took(linear_model) -> None:
    model, weights = linear_model()
    worth = weights[1] * (X - BASELINE)
    plain, ridge, lasso = (
        explainers.explain(model, X, "captum_lime", target=1, baseline=BASELINE, regression=one)
        for one in ("linear", "ridge", "lasso")
    )
    np.testing.assert_allclose(plain.values, worth, rtol=1e-5)
    np.testing.assert_allclose(ridge.values, worth, rtol=1e-3)
    assert float(plain.extras["r2"]) == pytest.approx(1, abs=1e-9)
    assert "explains" in plain.notes[0]
    assert "below half" not in plain.notes[0]
    assert len(plain.notes) == len(ridge.notes) == 1
    gone = np.abs(worth) - np.abs(lasso.values)
    np.testing.assert_allclose(gone, 0.04, atol=0.008)  # alpha over the variance of a switch
    assert "set 0 of 5 values to 0 and pulled the others towards 0 by about 0.04" in lasso.notes[1]


def test_zeros_are_counted_and_an_empty_answer_is_explained(linear_model) -> None:
    model, weights = linear_model()
    near = X - 0.03 / weights[1] * np.array([1, 1, 0, 0, 1])
    near[2:4] = BASELINE[2:4]
    found = explainers.explain(model, X, "captum_lime", target=1, baseline=near)
    assert np.count_nonzero(found.values) == 2
    assert "set 3 of 5 values to 0" in found.notes[1]
    share = explainers.explain(model, X, "captum_lime", target=1, output="probability", baseline=X + 0.01)
    assert not share.values.any()
    assert "set all 5 values to 0" in share.notes[1]
    ridge = explainers.explain(
        model, X, "captum_lime", target=1, output="probability", baseline=X + 0.01, regression="ridge"
    )
    assert ridge.values.all()


def test_r2_is_the_weighted_one_of_scikit_learn(symmetric_model) -> None:
    asked = {"target": 0, "baseline": BASELINE, "seed": 3, "n_samples": 80}
    found = explainers.explain(symmetric_model, X, "captum_lime", regression="linear", **asked)
    from explainers.methods import captum_lime

    switches = captum_lime.drawn(80, 5, 3)
    rows = np.where(switches, X, BASELINE)
    with torch.no_grad():
        outputs = symmetric_model.network(torch.tensor(rows))[:, 0].numpy()
    angle = rows @ X / np.linalg.norm(rows, axis=1) / np.linalg.norm(X)
    weights = np.exp(-((1 - angle) ** 2) / 2)
    line = LinearRegression().fit(switches, outputs, weights)
    np.testing.assert_allclose(found.values, line.coef_, rtol=1e-4)
    assert float(found.extras["r2"]) == pytest.approx(line.score(switches, outputs, weights), abs=1e-6)


@pytest.mark.parametrize("regression", ["lasso", "ridge"])
def test_the_standard_error_is_the_spread_over_seeds(symmetric_model, regression: str) -> None:
    asked = {"target": 0, "baseline": BASELINE, "n_samples": 200, "regression": regression, "alpha": 0.002}
    runs = [explainers.explain(symmetric_model, X, "captum_lime", seed=seed, **asked) for seed in range(60)]
    spread = np.std([one.values for one in runs], axis=0, ddof=1)[:4]
    said = np.sqrt(np.mean([one.std_error**2 for one in runs], axis=0))[:4]
    assert (np.abs(np.log(said / spread)) < 0.4).all()


def test_token_ids_are_not_measured(text_of_numbers) -> None:
    """Renumbering the vocabulary changes nothing: the angle between ids means nothing."""
    one, two = (
        explainers.explain(
            text_of_numbers(shift), np.array([3, 5, 4, 7, 6]) + shift, "captum_lime", target=0, baseline=1
        )
        for shift in (0, 100)
    )
    np.testing.assert_allclose(one.values, two.values, atol=1e-7)


@pytest.fixture
def text_of_numbers():
    def build(shift: int) -> model_zoo.Model:
        torch.manual_seed(1)
        table = torch.randn(8, 4)

        class Bag(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = torch.nn.Embedding(108, 4)
                with torch.no_grad():
                    self.embedding.weight[:8] = table
                    self.embedding.weight[shift : shift + 8] = table
                    self.embedding.weight[1] = 0

            def forward(self, ids: torch.Tensor) -> torch.Tensor:
                return self.embedding(ids).tanh().mean(1)[:, :2]

        network = Bag()
        return model_zoo.wrap(network, modality="text", class_names=["a", "b"], embedding=network.embedding)

    return build


def test_many_players_are_a_sentence(picture_model) -> None:
    picture = np.zeros((3, 64, 64), np.float32)
    with pytest.raises(UserError, match="at most 2,000 players"):
        explainers.explain(picture_model, picture, "captum_lime", players="pixels")


def test_global_randomness_is_left_alone(linear_model) -> None:
    model, _ = linear_model()
    before = torch.get_rng_state()
    explainers.explain(model, X, "captum_lime", n_samples=30)
    assert torch.equal(before, torch.get_rng_state())
