"""Series and sounds: every method against closed forms, and the pictures, sentences and records of what it finds."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import nn

import explainers
import model_zoo
from app.reports import report
from explainers import figures, handing, registry, stretches
from explainers.consistency import consistent
from explainers.figures import _curves, _sketch
from explainers.types import Verdict
from model_zoo.model import Model
from model_zoo.types import Capability, Players, UserError

CHANNELS, STEPS = ("ecg", "resp", "idle"), 12
X = np.random.default_rng(0).normal(size=(3, STEPS))
BASELINE = np.random.default_rng(1).normal(size=(3, STEPS))
ROWS = np.random.default_rng(2).normal(size=(4, 3, STEPS))
METHODS = [one for one in registry.methods() if "series" in one.modalities and not one.needs & ~Capability.GRADIENTS]
ADDITIVE = [one for one in METHODS if one.completeness != "no"]
IDS = {"ids": lambda method: method.id}


class Filtered(nn.Module):
    """The mean over time of one filter, so F(x) = Σ w x with w known: a filter's taps, fewer at the edges."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.filter = nn.Conv1d(3, 2, 3, padding=1, dtype=torch.float64)
        with torch.no_grad():
            self.filter.weight[:, 2] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.filter(x).mean(-1)

    def weights(self, output: int) -> np.ndarray:
        """dF/dx (channels, steps)."""
        taps = self.filter.weight[output].detach().numpy()
        found = np.zeros((3, STEPS))
        for place, tap in itertools.product(range(STEPS), range(3)):
            if 0 <= place + tap - 1 < STEPS:
                found[:, place + tap - 1] += taps[:, tap] / STEPS
        return found


class Last(nn.Module):
    """The same weights on a network that takes (steps, channels)."""

    def __init__(self, of: Filtered) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.of(x.transpose(1, 2))


@pytest.fixture
def filtered() -> tuple[Model, np.ndarray]:
    module = Filtered()
    return model_zoo.wrap(module, modality="series", feature_names=CHANNELS, output="logit"), module.weights(1)


def parts(model: Model, kind: str, **options: int) -> Players:
    return model.input.players(model.sample(X), kind, **options)


@pytest.mark.parametrize("kind", ["spans", "channels", "steps"])
@pytest.mark.parametrize("method", ADDITIVE, **IDS)
def test_a_linear_series_is_explained_exactly(method: explainers.Method, kind: str, filtered) -> None:
    """F(x) = W x + c: a part's value is the sum of W (x - b) over what it owns."""
    model, weights = filtered
    if kind == "steps" and method.family != "gradient":
        return
    players = parts(model, kind, spans=4)
    found = explainers.explain(model, X, method.id, target=1, baseline=BASELINE, players=players)
    truth = np.bincount(players.owner.reshape(-1), (weights * (X - BASELINE)).reshape(-1), players.count)
    np.testing.assert_allclose(found.values, truth, rtol=1e-4, atol=1e-9)
    assert found.evidence[0].verdict in (Verdict.GOOD, Verdict.BY_CONSTRUCTION)


@pytest.mark.parametrize("name", ["integrated_gradients", "input_x_gradient", "saliency", "smoothgrad"])
@pytest.mark.parametrize("axis", [1, 0])
def test_gradients_reach_each_number_whichever_axis_is_time(name: str, axis: int) -> None:
    module = Filtered()
    network = module if axis == 1 else Last(module)
    model = model_zoo.wrap(network, modality="series", feature_names=CHANNELS, time_axis=axis)
    x = X if axis == 1 else X.T
    found = explainers.explain(model, x, name, target=0)
    assert found.players.kind == "cells"
    truth = module.weights(0) * (1 if " per unit" in found.unit else X)
    np.testing.assert_allclose(found.sample.view.rows(found.dense(), x.shape), truth, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.values.reshape(3, STEPS), truth, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("kind", ["cells", "steps", "spans", "channels"])
def test_occlusion_takes_each_part_away(kind: str, filtered) -> None:
    model, weights = filtered
    found = explainers.explain(model, X, "occlusion", target=1, baseline=BASELINE, players=kind)
    owner = found.players.owner.reshape(-1)
    truth = np.bincount(owner, (weights * (X - BASELINE)).reshape(-1), found.players.count)
    np.testing.assert_allclose(found.values, truth, atol=1e-9)


def test_a_background_is_averaged(filtered) -> None:
    module = Filtered()
    model = model_zoo.wrap(module, modality="series", background=ROWS)
    truth = (module.weights(0) * (X - ROWS.mean(0))).sum(1)
    for name in ("kernel_shap", "occlusion", "expected_gradients"):
        found = explainers.explain(model, X, name, target=0, players="channels")
        np.testing.assert_allclose(found.values, truth, rtol=0.3 if name == "expected_gradients" else 1e-6, atol=0.02)
    assert explainers.explain(model, X, "kernel_shap", target=0).reference.sentence == "4 background series"


class Game(nn.Module):
    """A product of the sums of three spans, and one span alone: no part's value is told by the others' absence."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, c, d = x.reshape(len(x), 4, -1).sum(-1).T
        return torch.stack([a * b * c + torch.relu(d - 1), a - d], 1)


def shapley(worth: Callable[[frozenset[int]], float], count: int) -> np.ndarray:
    """By enumeration of all coalitions."""
    found = np.zeros(count)
    for player in range(count):
        others = [one for one in range(count) if one != player]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for chosen in itertools.combinations(others, size):
                found[player] += weight * (worth(frozenset(chosen) | {player}) - worth(frozenset(chosen)))
    return found


def test_kernel_shap_shares_a_game_of_spans() -> None:
    x = np.abs(X[0]) + 0.3
    model = model_zoo.wrap(Game(), modality="series")
    sums = x.reshape(4, -1).sum(1)

    def worth(present: frozenset[int]) -> float:
        a, b, c, d = (sums[place] if place in present else 0.0 for place in range(4))
        return a * b * c + max(d - 1, 0)

    found = explainers.explain(model, x, "kernel_shap", target=0, spans=4)
    assert found.players.names == ("steps 0 to 2", "steps 3 to 5", "steps 6 to 8", "steps 9 to 11")
    np.testing.assert_allclose(found.values, shapley(worth, 4), rtol=1e-6, atol=1e-9)


def test_lime_fits_the_players_of_a_linear_series(filtered) -> None:
    """Coefficients of a linear model are what each span adds, shrunk a little by the library's ridge."""
    model, weights = filtered
    found = explainers.explain(model, X, "lime", target=1, baseline=BASELINE, spans=4, num_samples=4000)
    truth = (weights * (X - BASELINE)).sum(0).reshape(4, -1).sum(1)
    np.testing.assert_allclose(found.values, truth, rtol=0.02, atol=2e-3)
    assert found.extras["r2"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("method", METHODS, **IDS)
def test_an_idle_channel_gets_nothing_and_the_seed_decides(method: explainers.Method, filtered) -> None:
    model, _ = filtered
    why = method.refuses(model, model.sample(X))
    if why:
        assert why.endswith(".")
        return
    found = explainers.explain(model, X, method.id, players="channels", seed=3)
    batches = found.provenance.batches
    again = explainers.explain(model, X, method.id, players="channels", seed=3, batches=batches)
    assert found.values.tobytes() == again.values.tobytes()
    assert abs(found.values[2]) <= (0.1 if "lime" in method.id else 1e-6) * np.abs(found.values).max()


def test_methods_of_other_inputs_say_so(filtered) -> None:
    model, _ = filtered
    for name in ("partition_shap", "attention", "tree_shap", "grad_cam"):
        with pytest.raises(UserError, match="takes series input"):
            explainers.explain(model, X, name)
    with pytest.raises(UserError, match="players is one of cells, steps, spans, channels"):
        explainers.explain(model, X, "occlusion", players="words")


# -- sounds --------------------------------------------------------------------------------------------------------

RATE = 8000
TONE = np.sin(np.arange(RATE) * 0.3) * np.exp(-(((np.arange(RATE) - 3600) / 300) ** 2))


def recorded() -> bytes:
    held = io.BytesIO()
    wavfile.write(held, RATE, (TONE * 2**15 * 0.99).astype(np.int16))
    return held.getvalue()


def loud(x: torch.Tensor) -> torch.Tensor:
    """The energy of a sound, and its negative."""
    energy = (x**2).flatten(1).sum(1)
    return torch.stack([energy, -energy], 1)


@pytest.fixture
def heard() -> Model:
    return model_zoo.wrap(loud, modality="audio", rate=RATE, class_names=["loud", "quiet"], output="logit")


@pytest.mark.parametrize("name", ["occlusion", "kernel_shap", "integrated_gradients"])
def test_energy_is_shared_among_spans_of_time(name: str, heard) -> None:
    """An additive game: every span has its own energy, whatever the method."""
    sample = heard.sample(recorded(), "bark.wav")
    found = explainers.explain(heard, sample, name, target=0, players=heard.input.players(sample, "spans", spans=10))
    truth = (sample.x.astype(float) ** 2).reshape(10, -1).sum(1)
    np.testing.assert_allclose(found.values, truth, rtol=1e-4, atol=1e-4 * truth.max())
    assert found.reference.sentence == "silence"
    assert "mainly because of 0.40–0.50 s" in found.sentence()


def test_samples_are_told_by_their_time(heard) -> None:
    found = explainers.explain(heard, recorded(), "integrated_gradients", target=0)
    assert found.players.kind == "samples"
    assert "mainly because of 0.4" in found.sentence()
    (main,) = figures.pictures(found)
    assert main.id == "series"
    assert "Colours are sums over 13 neighbouring steps." in main.caption
    grid = _curves.grid(found)
    assert grid.values.shape == (1, _curves.COLUMNS)
    assert grid.values.sum() == pytest.approx(found.values.sum())


def spectrum(samples: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(samples.reshape(-1, 64), axis=1)).T[:32]


@pytest.mark.parametrize("kind", ["bands", "patches", "spans", "cells"])
def test_spectrograms(kind: str) -> None:
    model = model_zoo.wrap(loud, modality="audio", rate=RATE, preprocess=spectrum, output="logit")
    sample = model.sample(recorded(), "bark.wav")
    method = "integrated_gradients" if kind == "cells" else "occlusion"
    found = explainers.explain(model, sample, method, target=0, players=kind)
    energy = np.bincount(found.players.owner.reshape(-1), (sample.x.astype(float) ** 2).reshape(-1))
    np.testing.assert_allclose(found.values, energy, rtol=1e-3, atol=1e-3 * energy.max())
    assert figures.pictures(found)[0].id == "spectrogram"
    assert found.sentence().startswith("Class 0, ")
    assert consistent(found)


# -- what is shown ---------------------------------------------------------------------------------------------------


def test_a_stretch_is_told_with_its_channel() -> None:
    model = model_zoo.wrap(lambda x: x.flatten(1).sum(1), modality="series", feature_names=["ecg", "resp"])
    x = np.zeros((2, 80))
    x[0, 40:53], x[1, 7] = 1.0, -4.0
    found = explainers.explain(model, x, "input_x_gradient")
    assert found.sentence() == "Value 9.00, raised mainly by steps 40 to 52 of “ecg”; step 7 of “resp” lowered it."
    together = explainers.explain(model, x, "occlusion", players="steps")
    assert together.sentence() == "Value 9.00, raised mainly by steps 40 to 52; step 7 lowered it."
    channels = explainers.explain(model, x, "occlusion", players="channels")
    assert channels.sentence() == "Value 9.00, raised mainly by “ecg”; “resp” lowered it."
    nothing = explainers.explain(model, x * 0, "occlusion", players="steps")
    assert nothing.sentence() == "Value 0: no part of the series stands out."
    alone = model_zoo.wrap(lambda x: x.flatten(1).sum(1), modality="series")
    assert explainers.explain(alone, x[0], "occlusion", players="steps").sentence() == (
        "Value 13.0, raised mainly by steps 40 to 52."
    )


def test_stretches_of_a_long_series_are_summed_first() -> None:
    """Neighbours that cancel are no evidence for a time."""
    model = model_zoo.wrap(lambda x: x.flatten(1).sum(1), modality="series")
    x = np.tile([1.0, -1.0], 2000)
    x[1000:1020] = 0.5
    (found,) = stretches.found(explainers.explain(model, x, "input_x_gradient"), 1)
    assert (found.first, found.last, found.row) == (1000, 1019, None)


@pytest.mark.parametrize("kind", ["cells", "steps", "spans", "channels"])
def test_pictures_records_and_reports(kind: str, filtered, tmp_path) -> None:
    model, _ = filtered
    found = explainers.explain(model, X, "integrated_gradients", players=kind)
    first, *others = figures.pictures(found)
    assert first.id == "series"
    assert [one.id for one in others] == ["bars", "waterfall"]
    figure = found.figure()
    heat = [one for one in figure.data if one.type == "heatmap"]
    np.testing.assert_allclose(np.concatenate([one.z for one in heat]), found.dense(), rtol=1e-5, atol=1e-7)
    assert all(one.zmin == -one.zmax for one in heat)
    assert [one.text for one in figure.layout.annotations] == list(CHANNELS)
    path = tmp_path / "run.assay"
    found.save(path)
    again = explainers.open_record(path).only
    assert again.sentence() == found.sentence()
    assert again.sample.view == found.sample.view
    assert consistent(again)
    html = report.html([again])
    assert "3 channels, 12 steps" in html
    assert "data:image/svg+xml;base64," in html


def test_names_are_escaped_in_pictures() -> None:
    model = model_zoo.wrap(lambda x: x.flatten(1).sum(1), modality="series", feature_names=["<b>a</b>", "b"])
    figure = explainers.explain(model, X[:2], "occlusion", players="channels").figure()
    assert "<b>" not in figure.to_json().replace("\\u003c", "<")


def test_many_channels_show_those_with_the_most_credit() -> None:
    model = model_zoo.wrap(lambda x: x.flatten(1).sum(1), modality="series", time_axis=1)
    x = np.zeros((20, 30))
    x[5], x[11:18] = 1.0, 2.0
    picture = figures.pictures(explainers.explain(model, x, "input_x_gradient"))[0]
    assert "The 8 of 20 channels with the most credit." in picture.caption
    names = [one.text for one in picture.content.layout.annotations]
    assert names == ["channel 5", *(f"channel {place}" for place in range(11, 18))]


def test_a_drawing_is_small(heard) -> None:
    for sample in (heard.sample(np.tile(TONE, 30)), model_zoo.wrap(Filtered(), modality="series").sample(X)):
        svg = _sketch.svg(sample)
        assert svg.startswith("<svg")
        assert len(svg) < 20_000
    assert _sketch.said(heard.sample(TONE)) == "1.00 s at 8,000 samples a second"


def test_views_that_do_not_fit_are_not_believed(filtered) -> None:
    from dataclasses import replace

    model, _ = filtered
    found = explainers.explain(model, X, "occlusion")
    assert consistent(found)
    for wrong in ({"axis": 5}, {"axis": 0}, {"steps": 3}, {"channels": ("a",)}):
        sample = replace(found.sample, view=replace(found.sample.view, **wrong))
        assert not consistent(replace(found, sample=sample))
    assert not consistent(replace(found, players=replace(found.players, kind="pixels")))


def test_a_script_may_hand_over_text_a_path_or_a_frame(filtered, tmp_path) -> None:
    import pandas as pd

    model, _ = filtered
    path = tmp_path / "heart.csv"
    frame = pd.DataFrame(X.T, columns=CHANNELS)
    frame.to_csv(path, index=False)
    for raw in (str(path), path, path.read_text(), frame, X, {name: X[place] for place, name in enumerate(CHANNELS)}):
        sent, name = handing.given(raw, "", model.card)
        np.testing.assert_allclose(model.sample(sent, name).x, X)
