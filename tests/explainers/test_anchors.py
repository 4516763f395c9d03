"""Anchors: rules that are known, precision by brute force, and coins told apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers.engine import bandit, rules
from explainers.engine.evaluator import Evaluator
from explainers.engine.neighbourhood import Rows, Switched
from explainers.engine.run import Run
from explainers.types import Verdict
from model_zoo.modalities.tabular import TableInput
from model_zoo.modalities.text import TextInput, WordTokenizer
from model_zoo.model import Model
from model_zoo.types import Capability, Column, ModelCard, Target, UserError


def binary(rule, features: int = 5, rows: np.ndarray | None = None, **about: object) -> Model:
    """A model that says "yes" where rule(x) holds."""

    def network(x: torch.Tensor) -> torch.Tensor:
        return (rule(x).to(x.dtype) * 2 - 1)[:, None]

    return model_zoo.wrap(
        network, modality="tabular", task="binary", output="logit", class_names=["no", "yes"], background=rows,
        feature_names=[f"f{i}" for i in range(features)], **about,
    )  # fmt: skip


def bits(features: int = 5, count: int = 400) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (count, features)).astype(float)


def both(x: torch.Tensor) -> torch.Tensor:
    return (x[:, 0] > 0.5) & (x[:, 3] > 0.5)


# -- rules that are known --------------------------------------------------------------------------------------------


def test_the_and_of_two_columns_is_found_on_a_table() -> None:
    rows = bits()
    found = explainers.explain(binary(both, rows=rows), np.ones(5), "anchors", seed=1)
    assert set(np.flatnonzero(found.values)) == {0, 3}
    assert float(found.extras["precision"]) == found.explained == 1
    coverage = float(((rows[:, 0] == 1) & (rows[:, 3] == 1)).mean())
    assert float(found.extras["coverage"]) == pytest.approx(coverage)
    np.testing.assert_allclose(found.values[[0, 3]], 0.5, atol=4 * found.std_error.max())  # without one: half holds
    assert found.notes[0].startswith("If f0 > 0 and f3 > 0, the model says yes in 100 % of ")
    assert found.notes[0].endswith(f"; this covers {coverage:.0%} of the background rows.".replace("%", " %"))
    assert len(found.notes) == 1
    assert found.unit == "share of altered copies"


def test_without_background_columns_are_replaced_by_the_baseline_and_all_copies_are_counted() -> None:
    found = explainers.explain(binary(both), np.ones(5), "anchors")
    np.testing.assert_allclose(found.values, [0.5, 0, 0, 0.5, 0])
    assert float(found.extras["coverage"]) == 0.25
    assert found.evidence[1].verdict is Verdict.EXACT
    assert "While f0 and f3 stay" in found.notes[0]
    assert "100 % of all 8 altered copies" in found.notes[0]


@pytest.mark.parametrize("rows", [None, bits()])
def test_a_constant_model_needs_no_condition(rows: np.ndarray | None) -> None:
    found = explainers.explain(binary(lambda x: x[:, 0] > -9, rows=rows), np.ones(5), "anchors")
    assert not found.values.any()
    assert float(found.extras["precision"]) == float(found.extras["coverage"]) == 1
    assert "No condition is needed" in found.notes[0]


@pytest.mark.parametrize(("x", "said", "coverage"), [(0.9, "f1 > 0.5", 0.5), (0.1, "f1 ≤ 0.5", 0.5)])
def test_a_threshold_is_found_at_the_cut_nearest_to_it(x: float, said: str, coverage: float) -> None:
    """The model's own threshold is a quartile: the rule is it, and covers all of that side."""
    rows = np.random.default_rng(1).random((2000, 3))
    rows[:, 1] = np.repeat(np.arange(0.0005, 1, 0.001), 2)  # evenly, so that quartiles are where they are thought
    cut = float(np.quantile(rows[:, 1], 0.5, method="inverted_cdf"))
    model = binary(lambda x: x[:, 1] > cut, 3, rows)
    found = explainers.explain(model, np.array([0.3, x, 0.6]), "anchors")
    assert list(np.flatnonzero(found.values)) == [1]
    assert found.values[1] == pytest.approx(0.5, abs=4 * found.std_error[1])
    assert float(found.extras["coverage"]) == pytest.approx(coverage, abs=1e-3)
    assert said[:4] in found.notes[0]
    assert f"{cut:.6g}" in found.notes[0]


def test_an_interval_is_said_as_one() -> None:
    rows = np.random.default_rng(1).random((400, 3))
    low, high = np.quantile(rows[:, 2], [0.25, 0.5], method="inverted_cdf")
    model = binary(lambda x: (x[:, 2] > low) & (x[:, 2] <= high), 3, rows)
    found = explainers.explain(model, np.array([0.3, (low + high) / 2, (low + high) / 2]), "anchors")
    assert list(np.flatnonzero(found.values)) == [2]
    assert f"If {low:.6g} < f2 ≤ {high:.6g}, the model" in found.notes[0]
    assert float(found.extras["coverage"]) == pytest.approx(0.25)


def test_another_class_is_explained_by_what_keeps_it_away() -> None:
    """Values are negative: these columns speak against the class that was asked for."""
    found = explainers.explain(binary(both), np.ones(5), "anchors", target="no")
    np.testing.assert_allclose(found.values, [-0.5, 0, 0, -0.5, 0])
    assert "the model does not say no" in found.notes[0]


def test_a_condition_that_is_not_needed_goes() -> None:
    """An OR holds by either part alone."""
    either = binary(lambda x: (x[:, 0] > 0.5) | (x[:, 3] > 0.5), rows=bits())
    found = explainers.explain(either, np.ones(5), "anchors", threshold=0.99)
    assert len(np.flatnonzero(found.values)) == 1
    assert float(found.extras["coverage"]) == pytest.approx(0.5, abs=0.1)


def test_no_rule_that_holds_is_said() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 6))
    found = explainers.explain(binary(lambda x: x.sum(1) > 4, 6, rows), np.full(6, 0.7), "anchors", conditions=1)
    assert float(found.extras["precision"]) < 0.5
    assert "No rule of up to 1 condition was met that holds in 95 %" in found.notes[1]


def test_own_units_and_categories_are_said() -> None:
    columns = (Column("age", unit="years"), Column("colour", "category", categories=("red", "green", "blue")))
    draw = np.random.default_rng(5)
    rows = [
        {"age": float(age), "colour": columns[1].categories[code]}
        for age, code in zip(draw.integers(20, 60, 300), draw.integers(0, 3, 300), strict=True)
    ]
    table = TableInput(columns, "onehot", (38.0, 0), (13.0, 1), background_rows=rows, dtype="float64")
    cut = float(np.quantile([one["age"] for one in rows], 0.75, method="inverted_cdf"))

    def network(x: torch.Tensor) -> torch.Tensor:
        return (((x[:, 0] * 13 + 38 > cut + 0.5) & (x[:, 3] == 1)).to(x.dtype) * 2 - 1)[:, None]

    card = ModelCard("m", "M", "tabular", "binary", "logit", ("no", "yes"), Capability.NONE)
    found = explainers.explain(Model(card, network, table), {"age": 59, "colour": "blue"}, "anchors")
    assert found.notes[0].startswith(f"If age > {cut:g} and colour = blue, the model says yes in 100 % of ")


# -- precision by brute force ----------------------------------------------------------------------------------------


def leaning(x: torch.Tensor) -> torch.Tensor:
    return x[:, 0] + x[:, 1] + 0.5 * x[:, 2] > 0.3


X = np.array([1.0, 0.4, 0.5, 3.0, -1.0])


def test_precision_is_that_of_every_row_with_every_replacement() -> None:
    """The mean over background rows, a broken column replaced by each background value that keeps the rule."""
    background = np.random.default_rng(3).normal(size=(40, 5))
    model = binary(leaning, rows=background)
    sample = model.sample(X)
    space = Rows(model, sample, model.input.players(sample), model.input.background(sample), 4)
    rule = tuple(next(at for at, owner in enumerate(space.owners) if owner == player) for player in (0, 1))
    kept = space.met(rule)
    exact = []
    for place, row in enumerate(background):
        pools = [[row[one]] if kept[one][place] else background[kept[one], one] for one in (0, 1)]
        copies = [[a, b, *row[2:]] for a, b in itertools.product(*pools)]
        exact.append(leaning(torch.tensor(np.array(copies))).double().mean())
    exact = float(np.mean(exact))
    held = leaning(space.inputs(space.draw(rule, 20_000, np.random.default_rng(0)))).double().mean()
    assert 0.1 < exact < 0.9
    assert abs(float(held) - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000)
    assert space.coverage(rule) == np.mean(kept[0] & kept[1])


def test_what_is_said_of_a_rule_covers_the_truth() -> None:
    background = np.random.default_rng(3).normal(size=(80, 5))
    model = binary(leaning, rows=background)
    found = explainers.explain(model, X, "anchors")
    assert float(found.extras["precision"]) > 0.94
    assert not found.values[3:].any()  # columns that the model ignores
    sample, run = model.sample(X), Run()
    run.evaluator = Evaluator(model, run)
    space = Rows(model, sample, found.players, found.reference, 4)
    answers = rules.Answers(run, space, sample, found.target)

    def search(seed: int, budget: int = 1000) -> rules.Search:
        return rules.Search(space, answers, seed, 0.95, 6, 2, budget)

    rule, held = search(0, 20_000).rule()
    assert held
    truth = search(99).measured(rule, 20_000).precision
    told = [search(seed).measured(rule, 500) for seed in range(60)]
    assert sum(one.low <= truth for one in told) >= 55  # 95 % of them, or more
    assert np.mean([truth - one.low for one in told]) < 0.04
    gains = [search(seed) for seed in range(60)]
    found = [one.measured(rule, 500).gain(one.measured(rule[1:], 500)) for one in gains]
    spread = np.std([gain for gain, _ in found], ddof=1)
    assert np.mean([error for _, error in found]) == pytest.approx(spread, rel=0.3)


def test_every_switched_copy_is_as_likely() -> None:
    model = binary(both)
    sample = model.sample(np.ones(5))
    space = Switched(model, sample, model.input.players(sample), np.zeros((1, 5)))
    every = space.every((1,))
    assert len(np.unique(every, axis=0)) == len(every) == 16
    assert every[:, 1].all()
    drawn = space.draw((1,), 8000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn[:, :5].mean(0), [0.5, 1, 0.5, 0.5, 0.5], atol=0.03)


# -- texts and pictures ----------------------------------------------------------------------------------------------


def test_the_words_that_decide_a_text_are_found() -> None:
    words = ("<pad>", "<unk>", "<mask>", "the", "film", "was", "not", "bad", "at", "all", "but", "nice")

    class Negated(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            yes = (ids == words.index("not")).any(1) & (ids == words.index("bad")).any(1)
            return torch.stack([1 - yes.float(), yes.float()], 1)

    card = ModelCard("m", "M", "text", "classification", "logit", ("bad", "good"), Capability.NONE)
    model = Model(card, Negated(), TextInput(WordTokenizer(words, mask="<mask>")))
    found = explainers.explain(model, "the film was not at all bad but the film was nice at all", "anchors")
    names = found.players.names
    assert {names[one] for one in np.flatnonzero(found.values)} == {"not", "bad"}
    assert found.notes[0].startswith("While “not” and “bad” stay and each other word is replaced half of the time,")
    assert "the model says good in 100 % of" in found.notes[0]
    assert float(found.extras["coverage"]) == 0.25


def test_the_segment_that_decides_a_picture_is_found(picture) -> None:
    picture = np.abs(picture) + 0.5

    def network(x: torch.Tensor) -> torch.Tensor:
        lit = (x[:, :, 10, 10].mean(1) > 0.3).to(x.dtype)
        return torch.stack([lit, 1 - lit], 1)

    model = model_zoo.wrap(network, modality="image", class_names=["lit", "dark"])
    found = explainers.explain(model, picture, "anchors", segments=12)
    (member,) = np.flatnonzero(found.values)
    assert member == found.players.owner[10, 10]
    assert found.values[member] == pytest.approx(0.5, abs=4 * found.std_error[member])
    with pytest.raises(UserError, match="at most 500 players"):
        explainers.explain(model, picture, "anchors", players="pixels")


# -- what counts as the answer, and the search -----------------------------------------------------------------------


def test_answers_of_every_kind_of_target() -> None:
    many = ModelCard("m", "M", "tabular", "classification", "logit", ("a", "b", "c"))
    scores = np.array([[3.0, 2, 1], [1, 2, 3], [2, 3, 1]])
    said = rules.answered
    assert said(scores, many, Target(1, "b", "logit")).tolist() == [False, False, True]
    assert said(scores, many, Target(1, "b", "logit", against=0)).tolist() == [False, True, True]
    assert said(scores, many, Target(0, "a + b", "logit", also=(1,))).tolist() == [True, False, True]
    placed = np.stack([scores, scores[::-1]], -1)
    assert said(placed, many, Target(1, "b", "logit", places=(1,))).tolist() == [True, False, False]
    two = ModelCard("m", "M", "tabular", "binary", "probability", ("no", "yes"))
    shares = np.array([[0.4], [0.6]])
    assert said(shares, two, Target(1, "yes", "probability")).tolist() == [False, True]
    assert said(shares, two, Target(0, "no", "probability")).tolist() == [True, False]


def test_a_regression_is_refused_with_the_reason() -> None:
    model = model_zoo.wrap(lambda x: x[:, :1], modality="tabular", task="regression")
    with pytest.raises(UserError, match="predicts a number"):
        explainers.explain(model, np.ones(2), "anchors")


def test_bounds_are_where_the_divergence_says() -> None:
    low, high = bandit.bounds(np.array([0, 5, 10]), np.array([10, 10, 10]), 2.0)
    assert low[0] == 0
    assert high[2] == 1
    assert high[0] == pytest.approx(1 - np.exp(-0.2), abs=1e-6)  # n · KL(0 || q) = -n log(1 - q)
    assert low[2] == pytest.approx(np.exp(-0.2), abs=1e-6)
    assert 10 * (0.5 * np.log(0.5 / low[1]) + 0.5 * np.log(0.5 / (1 - low[1]))) == pytest.approx(2, abs=1e-5)
    assert low[1] == pytest.approx(1 - high[1], abs=1e-6)


def test_the_best_coins_are_found() -> None:
    shares, right = np.linspace(0.1, 0.9, 9), 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        tosses = np.full(9, 5.0)
        heads = draw.binomial(5, shares).astype(float)

        def toss(coins: list[int], heads=heads, tosses=tosses, draw=draw) -> bool:
            heads[coins] += draw.binomial(50, shares[coins])
            tosses[coins] += 50
            return True

        right += set(bandit.best(heads, tosses, 2, toss, 0.05, 0.05)) == {7, 8}
    assert right >= 19


def test_the_same_seed_gives_the_same_bytes_and_copies_are_asked_once(symmetric_model) -> None:
    asked = {"background": bits()[:6], "seed": 3}
    x = np.array([1.0, 1.0, 0.5, 3.0, -1.0])
    first = explainers.explain(symmetric_model, x, "anchors", **asked)
    again = explainers.explain(symmetric_model, x, "anchors", batches=first.provenance.batches, **asked)
    assert first.values.tobytes() == again.values.tobytes()
    assert first.notes == again.notes
    assert first.cost.forward < 6**5 + 5  # of which most were never drawn
