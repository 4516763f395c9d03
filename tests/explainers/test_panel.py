"""The trust panel before explanations that are known to be right, and before impostors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import watermarked
from scipy import ndimage

import explainers
import model_zoo
from explainers import registry
from explainers.engine import likeness, randomise, shuffles
from explainers.engine.run import Run
from explainers.types import Cancelled, Check, Panel, Verdict
from explainers.verdicts import overall
from model_zoo.types import Players, UserError

TEST = watermarked.pictures(12, 9)
MARKED = [int(one) for one in np.flatnonzero(TEST.labels)[:2]]
X = np.array([1.3, -0.7, 0.4, 2.1, -1.6, 0.2, 0.9, -1.1])


def _table(seed: int = 0) -> model_zoo.Model:
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)).double()
    return model_zoo.wrap(net, class_names=list("abc"), background=np.random.default_rng(0).normal(size=(20, 8)))


# -- a network whose answer lies in a known place ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "players"),
    [("integrated_gradients", "pixels"), ("occlusion", "segments"), ("kernel_shap", "segments")],
)
def test_the_mark_gets_the_credit(method: str, players: str) -> None:
    model = watermarked.trained()
    shares = []
    for one in np.flatnonzero(TEST.labels)[:5]:
        found = explainers.explain(model, TEST.x[one], method, target="marked", players=players)
        shares.append(watermarked.share(found.dense(), TEST.marks[one]))
    assert np.mean(shares) >= 0.8


def test_the_panel_certifies_what_is_right() -> None:
    model = watermarked.trained()
    found = explainers.explain(model, TEST.x[MARKED[0]], "integrated_gradients", target="marked", evidence="all")
    assert found.overall.verdict is Verdict.GOOD, found.overall.sentence
    assert "4 of the 4 tests that it rests on ran, and 2 more" in found.overall.sentence
    for check in found.evidence[2:]:
        assert check.evaluations > 0


def _impostors(picture: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    shuffled = watermarked.trained(2, shuffled=True)
    random = watermarked.wrapped(watermarked.network(5))
    noise = np.random.default_rng(seed).normal(size=picture.shape[1:])
    return {
        "shuffled labels": explainers.explain(shuffled, picture, target="marked").dense(),
        "random weights": explainers.explain(random, picture, target="marked").dense(),
        "edges": ndimage.gaussian_gradient_magnitude(picture[0], 1),
        "brightness": np.abs(picture[0]),
        "noise": noise,
        "smooth noise": ndimage.gaussian_filter(noise, 3),
    }


@pytest.mark.parametrize("place", MARKED)
def test_the_panel_marks_every_impostor_as_bad(place: int) -> None:
    for name, values in _impostors(TEST.x[place], place).items():
        panel = explainers.check(watermarked.trained(), TEST.x[place], values, target="marked", additive=False)
        assert panel.overall.verdict is Verdict.BAD, (name, [(one.id, one.verdict) for one in panel])


def test_a_method_that_shows_edges_does_not_read_the_model() -> None:
    """Its maker is known, so copies with random weights are explained: the picture stays the same."""
    panel = explainers.check(
        watermarked.trained(),
        TEST.x[MARKED[0]],
        ndimage.gaussian_gradient_magnitude(TEST.x[MARKED[0]][0], 1),
        target="marked",
        method=lambda model, sample, target, seed: ndimage.gaussian_gradient_magnitude(sample.x[0], 1),
        lines=["reads_the_model"],
    )
    assert panel["reads_the_model"].verdict is Verdict.BAD
    assert panel["reads_the_model"].value == pytest.approx(1.0)
    assert "barely changes when the model is replaced by a random one" in panel["reads_the_model"].sentence
    assert panel["beats_chance"].verdict is Verdict.NOT_RUN


# -- values from anywhere ----------------------------------------------------------------------------------------------


def test_right_values_pass_and_wrong_ones_do_not() -> None:
    model = _table()
    values = explainers.explain(model, X, "kernel_shap").values
    background = model.input.background(model.sample(X)).rows

    def mark(values: np.ndarray) -> Panel:
        return explainers.check(model, X, values, background=background)

    assert mark(values).overall.verdict is Verdict.GOOD
    doubled = mark(2 * values)
    assert doubled["adds_up"].verdict is Verdict.BAD
    assert doubled["beats_chance"].verdict is Verdict.GOOD  # the order is right
    for wrong in (-values, values[::-1], np.random.default_rng(3).normal(size=8)):
        panel = mark(wrong)
        assert panel.overall.verdict is Verdict.BAD
        assert panel["beats_chance"].verdict is Verdict.BAD


def test_values_are_taken_in_many_shapes() -> None:
    model = _table()
    values = explainers.explain(model, X, "occlusion").values
    names = [f"feature {place}" for place in range(8)]
    named = dict(zip(model.input.players(model.sample(X)).names or names, values, strict=True))
    for given in (values, values[None], torch.tensor(values), list(values), named):
        panel = explainers.check(model, X, given, lines=["second_opinion"])
        assert panel["second_opinion"].value == pytest.approx(1.0)
    with pytest.raises(UserError, match=r"Values are one a player \(8 columns\)"):
        explainers.check(model, X, values[:5])
    with pytest.raises(UserError, match="finite numbers"):
        explainers.check(model, X, values * np.nan)
    with pytest.raises(UserError, match="There is no check 'magic'"):
        explainers.check(model, X, values, lines=["magic"])
    with pytest.raises(UserError, match="unknown: q"):
        explainers.check(model, X, {**named, "q": 1.0})


def test_pictures_are_taken_with_and_without_channels() -> None:
    model, x = watermarked.trained(), TEST.x[MARKED[0]]
    values = explainers.explain(model, x, target="marked").dense()
    one, other = (
        explainers.check(model, x, given, target="marked", lines=["second_opinion"])["second_opinion"].value
        for given in (values, values[None])
    )
    assert one == other


def test_scaled_heat_is_not_blamed_for_its_sum() -> None:
    model = _table()
    values = np.abs(explainers.explain(model, X, "occlusion").values)
    for scaled in (values / values.sum(), values / values.max()):
        assert explainers.check(model, X, scaled, lines=())["adds_up"].verdict is Verdict.NOT_APPLICABLE
        assert explainers.check(model, X, scaled, lines=(), additive=True)["adds_up"].verdict is Verdict.BAD


def test_standard_errors_that_are_given_are_judged() -> None:
    model = _table()
    values = explainers.explain(model, X, "kernel_shap").values
    noisy = explainers.check(model, X, values, std_error=np.ptp(values) * np.full(8, 0.3), lines=())
    assert noisy["settled"].verdict is Verdict.BAD


def test_somebodys_own_method_may_fail() -> None:
    def broken(model: object, sample: object, target: object, seed: int) -> np.ndarray:
        raise ZeroDivisionError("by zero")

    panel = explainers.check(_table(), X, np.arange(8.0), method=broken)
    for line in ("reads_the_model", "repeats"):
        assert panel[line].verdict is Verdict.UNTESTABLE
        assert "the method that was given failed; it said: by zero." in panel[line].sentence
    short = explainers.check(_table(), X, np.arange(8.0), method=lambda *given: np.ones(2), lines=["repeats"])
    assert "an array of shape (2,) came" in short["repeats"].sentence
    with pytest.raises(UserError, match="Values are one a player"):
        explainers.check(_table(), X, None)


def test_an_explanation_of_ours_keeps_what_it_said_of_itself() -> None:
    found = explainers.explain(_table(), X, "integrated_gradients")
    panel = explainers.check(_table(), X, found, lines=())
    assert panel["settled"] == found.evidence[1]
    bare = explainers.check(_table(), X, found.values, method="integrated_gradients", lines=())
    assert "was not said" in bare["settled"].sentence


def test_evaluations_of_random_copies_are_counted() -> None:
    check = explainers.check(_table(), X, np.arange(8.0) - 3, lines=["reads_the_model"])["reads_the_model"]
    assert check.evaluations == 20 * 17 * 3  # the model and 19 copies, 17 points, forward and back


# -- what cannot be tested ---------------------------------------------------------------------------------------------


def test_a_constant_model_cannot_be_tested() -> None:
    model = model_zoo.wrap(lambda rows: np.ones(len(rows)), feature_names=list("abcdefgh"), task="regression")
    panel = explainers.check(model, X, np.arange(8.0), lines="all")
    assert panel["beats_chance"].verdict is Verdict.UNTESTABLE
    assert panel["reads_the_model"].verdict is Verdict.UNTESTABLE
    assert panel["second_opinion"].verdict is Verdict.UNTESTABLE
    assert panel.overall.verdict is Verdict.UNTESTABLE


def test_ties_throughout_cannot_be_told_from_chance() -> None:
    panel = explainers.check(_table(), X, np.ones(8), lines=["beats_chance"])
    assert panel["beats_chance"].verdict is Verdict.UNTESTABLE
    single = explainers.check(_table(), X, np.eye(8)[0], lines=["beats_chance"])
    assert "13 % of cases" in single["beats_chance"].sentence


def test_a_model_without_weights_cannot_be_drawn_at_random() -> None:
    model = model_zoo.wrap(lambda rows: rows @ np.arange(1.0, 9.0), feature_names=list("abcdefgh"))
    check = explainers.explain(model, X, "occlusion", evidence=["reads_the_model"]).evidence[3]
    assert check.verdict is Verdict.UNTESTABLE
    assert "keeps no weights" in check.sentence


# -- more evidence for an explanation that was made before -------------------------------------------------------------


def test_scrutiny_adds_lines_and_changes_nothing_else() -> None:
    model = _table()
    found = explainers.explain(model, X, "kernel_shap", seed=4)
    assert [one.verdict for one in found.evidence[2:]] == [Verdict.NOT_RUN] * 4
    more = explainers.scrutinise(model, found, ["beats_chance"])
    more = explainers.scrutinise(model, more, ["second_opinion"])
    assert [one.id for one in more.evidence if one.verdict is Verdict.GOOD] == ["beats_chance", "second_opinion"]
    np.testing.assert_array_equal(more.values, found.values)
    at_once = explainers.explain(model, X, "kernel_shap", seed=4, evidence=["beats_chance", "second_opinion"])
    said = [[(one.id, one.sentence) for one in each.evidence] for each in (at_once, more)]
    assert said[0] == said[1]
    with pytest.raises(UserError, match="other weights"):
        explainers.scrutinise(_table(seed=1), found)


def test_scrutiny_can_be_stopped_and_tells_how_far_it_is() -> None:
    model = _table()
    found = explainers.explain(model, X, "kernel_shap")
    heard: list[tuple[int, int]] = []
    explainers.scrutinise(model, found, ["beats_chance"], run=Run(on_progress=lambda *told: heard.append(told)))
    assert heard
    assert all(done <= total for done, total in heard)
    with pytest.raises(Cancelled):
        explainers.scrutinise(model, found, run=Run(stop=lambda: True))


def test_the_model_is_left_as_it_was() -> None:
    module = watermarked.network(1)
    module.insert(1, torch.nn.BatchNorm2d(8))
    module.train()
    model = watermarked.wrapped(module)
    before = {name: one.clone() for name, one in module.state_dict().items()}
    state = torch.get_rng_state()
    explainers.explain(model, TEST.x[0], "saliency", evidence="all")
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())
    assert module.training
    assert torch.equal(torch.get_rng_state(), state)


# -- the parts ---------------------------------------------------------------------------------------------------------


def _check(id: str, verdict: Verdict) -> Check:
    return Check(id, id, verdict, "")


def test_overall_is_the_worst_of_what_ran() -> None:
    names = [one.id for one in registry.checks()]
    assert names == ["adds_up", "settled", "beats_chance", "reads_the_model", "repeats", "second_opinion"]
    for verdicts in itertools.product((Verdict.GOOD, Verdict.DOUBTFUL, Verdict.BAD, Verdict.NOT_RUN), repeat=4):
        found = overall([_check(id, verdict) for id, verdict in zip(names, verdicts, strict=False)])
        ran = [one for one in verdicts if one is not Verdict.NOT_RUN]
        worst = max(ran, key=[Verdict.GOOD, Verdict.DOUBTFUL, Verdict.BAD].index, default=Verdict.NOT_RUN)
        assert (found.verdict, found.value) == (worst, len(ran))


def test_lines_five_and_six_can_only_lower_it() -> None:
    names = [one.id for one in registry.checks()]
    lowered = overall([_check(names[0], Verdict.GOOD), _check(names[5], Verdict.BAD)])
    assert (lowered.verdict, "second_opinion" in lowered.sentence) == (Verdict.DOUBTFUL, True)
    alone = overall([_check(names[0], Verdict.NOT_RUN), _check(names[4], Verdict.GOOD)])
    assert alone.verdict is Verdict.NOT_RUN
    forced = overall([_check(names[0], Verdict.BY_CONSTRUCTION), _check(names[1], Verdict.EXACT)])
    assert (forced.verdict, forced.value) == (Verdict.GOOD, 1.0)


def test_rank_correlation_is_scipys() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=30), np.round(rng.normal(size=30))
    assert likeness.rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert np.isnan(likeness.rank_correlation(np.ones(5), np.arange(5.0)))


def test_overlap_counts_the_same_strongest_with_the_same_sign() -> None:
    one, other = np.array([3.0, -2.0, 1.0, 0.0]), np.array([2.0, 3.0, 0.0, 1.0])
    assert likeness.shared(one, other, 2) == 0.5  # the second has the other sign
    assert likeness.shared(one, other, 2, signed=False) == 1.0
    assert likeness.above_chance(0.5, 0.5) == 0.0
    assert likeness.captured(one, one, 2) == 1.0
    assert likeness.captured(one, -one, 2) < 0
    near = np.array([3.0, 1.01, 1.0, 0.0])  # the second and the third nearly tie
    assert likeness.captured(near, near[[0, 2, 1, 3]], 2) > 0.99


def test_regions_keep_the_sum() -> None:
    values = np.random.default_rng(0).normal(size=40 * 50)
    players = Players("pixels", np.arange(40 * 50).reshape(40, 50), 40 * 50)
    cells = likeness.regions(values, players)
    assert cells.shape == (14 * 14,)
    assert cells.sum() == pytest.approx(values.sum())


def test_arrangements_by_brute_force() -> None:
    for values in ([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0], [2.0, 2.0, 2.0, 2.0]):
        assert shuffles.arrangements(np.array(values)) == pytest.approx(len(set(itertools.permutations(values))))


def test_fakes_of_a_picture_are_the_picture_moved() -> None:
    players = Players("pixels", np.arange(144).reshape(12, 12), 144)
    values = np.random.default_rng(0).normal(size=144)
    fakes, whole = shuffles.copies(values, players, np.random.default_rng(1))
    assert (fakes.shape, whole) == ((39, 144), False)
    np.testing.assert_array_equal(np.sort(fakes, 1), np.sort(values)[None].repeat(39, 0))


def test_chance_certifies_random_values_as_often_as_it_should() -> None:
    """p ≤ .05 in at most 5 % of random rankings; every arrangement of five values is tried once."""
    model = model_zoo.wrap(lambda rows: rows @ np.array([2.0, 1.0, 0.3, -1.0, -2.0]), feature_names=list("abcde"))
    ps = [
        explainers.check(model, np.ones(5), list(values), baseline=0.0, lines=["beats_chance"])["beats_chance"].value
        for values in itertools.permutations([-2.0, -1.0, 0.5, 1.0, 2.0])
    ]
    assert np.mean(np.array(ps) <= 0.05) == pytest.approx(6 / 120)
    assert min(ps) == pytest.approx(1 / 120)


def test_a_random_copy_keeps_the_size_of_the_weights_and_nothing_else() -> None:
    model = watermarked.trained()
    inputs = torch.tensor(TEST.x[:1])
    copy, again, other = (randomise.randomised(model, seed, inputs) for seed in (1, 1, 2))
    for one, two, three, four in zip(
        *(list(found.network.parameters()) for found in (model, copy, again, other)), strict=True
    ):
        assert torch.equal(two, three)
        assert not torch.equal(two, four) or two.numel() < 3
        if one.ndim > 1:
            before, after = one.detach().reshape(-1), two.detach().reshape(-1)
            assert abs(np.corrcoef(before, after)[0, 1]) < 0.5
            assert float(after.std() / before.std()) == pytest.approx(1, abs=0.5)
