"""Series on their way in: every shape and file, which axis is time, players, baselines, and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from model_zoo import wrap
from model_zoo.modalities.series import SeriesInput
from model_zoo.types import Capability, UserError

STEPS = 30
ECG, RESP = np.sin(np.arange(STEPS)), np.arange(STEPS) / 10
TABLE = np.stack([ECG, RESP], 1)  # (steps, channels)
CSV = "time,ecg,resp\n" + "\n".join(f"{i},{a!r},{b!r}" for i, (a, b) in enumerate(TABLE.tolist()))
LONG = SeriesInput(("ecg", "resp"), dtype="float64")


class Convolution(nn.Module):
    def __init__(self, channels: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.filters = nn.Conv1d(channels, 4, 3, padding=1, dtype=torch.float64)
        self.head = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.filters(x)).mean(-1))


class Turned(Convolution):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, 2))


class Unsqueezed(Convolution):
    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x[:, None])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRU(2, 5, batch_first=True, dtype=torch.float64)
        self.head = nn.Linear(5, 2, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0][:, -1])


# -- how a network takes it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "shape", "axis"),
    [(Convolution(), (2, STEPS), 1), (Recurrent(), (STEPS, 2), 0), (Turned(), (STEPS, 2), 0)],
    ids=["convolution", "recurrent", "turned inside"],
)
def test_a_csv_is_laid_as_the_network_takes_it(network, shape, axis):
    model = wrap(network, modality="series")
    assert model.card.labels  # learnt at once, from a made-up series
    assert model.can == Capability.GRADIENTS
    sample = model.sample(CSV.encode(), "heart.csv")
    assert sample.x.shape == shape
    assert (sample.view.axis, sample.view.steps, sample.view.channels) == (axis, STEPS, ("ecg", "resp"))
    assert sample.notes == ("The column 'time' counts the steps and was left out.",)
    np.testing.assert_array_equal(sample.view.rows(sample.x, shape), TABLE.T)


@pytest.mark.parametrize(
    ("network", "shape"),
    [(Convolution(1), (1, STEPS)), (Unsqueezed(), (STEPS,)), (nn.Linear(STEPS, 2).double(), (STEPS,))],
    ids=["with channels", "without", "linear"],
)
def test_one_channel_is_laid_as_the_network_takes_it(network, shape):
    model = wrap(network, modality="series")
    sample = model.sample(ECG)
    assert sample.x.shape == shape
    assert model.sample(ECG.tolist()).x.shape == shape
    assert model.sample("\n".join(map(str, ECG))).x.shape == shape
    assert (sample.view.steps, len(sample.view.channels), sample.view.named) == (STEPS, 1, False)
    np.testing.assert_array_equal(sample.x.reshape(-1), ECG)


def test_an_array_is_taken_as_it_is():
    """A network that runs on both arrangements gets what was given."""
    model = wrap(lambda x: x.flatten(1).sum(1, keepdims=True), modality="series", time_axis=0)
    assert model.sample(TABLE).x.shape == (STEPS, 2)
    assert model.sample(TABLE).view.axis == 0
    assert wrap(Convolution(), modality="series").sample(TABLE.T[None]).x.shape == (2, STEPS)  # a batch of one


def test_the_axis_of_time_is_said_named_or_guessed():
    assert LONG.read(TABLE).view.axis == 0
    assert LONG.read(TABLE.T).view.axis == 1
    assert SeriesInput(time_axis=-1).read(TABLE).view.channels[-1] == f"channel {STEPS - 1}"
    guessed = SeriesInput().read(TABLE)
    assert guessed.view.axis == 0
    assert guessed.notes == ("The longer axis, of 30, was taken for time; if another one is, say time_axis=.",)
    assert SeriesInput(layer="convolution", width=STEPS).read(TABLE).view.axis == 1
    assert SeriesInput().read(ECG).notes == ()
    with pytest.raises(UserError, match=r"time_axis=2 is no axis of an input of shape \(30, 2\)"):
        SeriesInput(time_axis=2).read(TABLE)
    with pytest.raises(UserError, match="time_axis is an axis of one input by its number"):
        wrap(Convolution(), modality="series", time_axis="last")


@pytest.mark.parametrize(
    "raw",
    [
        TABLE,
        torch.tensor(TABLE),
        TABLE.tolist(),
        {"ecg": ECG, "resp": RESP.tolist()},
        {"resp": RESP, "ecg": torch.tensor(ECG), "other": RESP},
        pd.DataFrame(TABLE, columns=["ecg", "resp"]),
        [{"ecg": a, "resp": b} for a, b in TABLE],
        CSV,
        CSV.replace(",", ";"),
        CSV.replace("\n", "\r\n").encode(),
        f'{{"ecg": {ECG.tolist()}, "resp": {RESP.tolist()}}}',
    ],
    ids=lambda raw: type(raw).__name__,
)
def test_a_series_however_it_comes(raw):
    sample = wrap(Recurrent(), modality="series", feature_names=["ecg", "resp"]).sample(raw)
    np.testing.assert_array_equal(sample.x, TABLE)
    assert sample.view.channels == ("ecg", "resp")
    assert sample.view.named


def test_files(tmp_path):
    path = tmp_path / "heart.csv"
    path.write_text(CSV)
    for raw in (path, str(path)):
        sample = LONG.read(raw)
        assert sample.name == "heart.csv"
        assert sample.digest == LONG.read(CSV).digest
    held = io.BytesIO()
    np.save(held, np.asfortranarray(TABLE))
    np.testing.assert_array_equal(LONG.read(held.getvalue(), "heart.npy").x, TABLE)
    assert SeriesInput().read(b"1,2,3\n").view.steps == 3  # one line of numbers is one channel
    assert SeriesInput().read(b"1,2\n3,4\n5,6\n").view.steps == 3


def test_preprocess_is_given_numbers_and_makes_x():
    taken = SeriesInput(preprocess=lambda series: series[:10] * 2, time_axis=0)
    np.testing.assert_allclose(taken.read(CSV).x, TABLE[:10] * 2, rtol=1e-6)
    with pytest.raises(UserError, match="What preprocess returns is made of numbers"):
        SeriesInput(preprocess=lambda series: "no").read(ECG)


REFUSED = {
    "nothing": ([], "is empty"),
    "text": (["a", "b"], "is made of numbers"),
    "ragged": ([[1.0], [1.0, 2.0]], "has as many numbers in every row"),
    "gap": ([1.0, np.nan], "NaN or infinity came. Fill the gaps first"),
    "number": (3.0, "one for each step"),
    "lengths": ({"ecg": [1, 2], "resp": [1]}, "'ecg' has 2 and 'resp' has 1"),
    "missing": ({"ecg": ECG}, r"has no channel 'resp'; expected are 'ecg', 'resp'"),
    "misnamed": ({"ecg": ECG, "res": RESP}, r"has no channel 'resp'"),
    "count": (np.zeros((3, 5)), r"2 channel names came, and the series has"),
    "header": ("ecg,resp\n", "has a header and no steps"),
    "word": ("ecg,resp\n1,2\n3,x\n", r"has 'x' in 'resp' at step 1"),
    "uneven": ("ecg,resp\n1,2\n3\n", r"has 2 columns, but its step 1 has 1 values"),
    "twice": ("ecg,ecg\n1,2\n", r"has the column 'ecg' more than once"),
    "file": ("nowhere.csv", "there is no such file"),
    "JSON": ('{"ecg": [1', "looks like JSON but cannot be read"),
    "numpy": (b"\x93NUMPY\x01\x00\xff", "starts like a numpy file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_why(case):
    raw, why = REFUSED[case]
    with pytest.raises(UserError, match=why):
        LONG.read(raw)


def test_a_numpy_file_that_lies_about_its_size_is_refused():
    held = io.BytesIO()
    np.save(held, np.zeros(4))
    lying = held.getvalue().replace(b"(4,)", b"(9,)")
    with pytest.raises(UserError, match="damaged or cut short"):
        LONG.read(lying)
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="holds object, no plain numbers"):
        LONG.read(objects.getvalue())


# -- players and references ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["first", "last"])
def test_players(shape):
    sample = LONG.read(TABLE.T if shape == "first" else TABLE)

    def rows(kind: str, **options: int) -> np.ndarray:
        found = LONG.players(sample, kind, **options)
        assert found.count == len(found.names) == found.owner.max() + 1
        return sample.view.rows(found.owner, sample.x.shape)

    np.testing.assert_array_equal(rows("cells"), np.arange(2 * STEPS).reshape(2, STEPS))
    np.testing.assert_array_equal(rows("steps"), np.tile(np.arange(STEPS), (2, 1)))
    np.testing.assert_array_equal(rows("channels"), np.repeat([[0], [1]], STEPS, 1))
    np.testing.assert_array_equal(rows("spans", spans=3), np.tile(np.repeat([0, 1, 2], 10), (2, 1)))
    assert LONG.players(sample, "cells").names[STEPS + 4] == "resp at step 4"
    assert LONG.players(sample, "steps").names[4] == "step 4"
    assert LONG.players(sample, "channels").names == ("ecg", "resp")
    assert LONG.players(sample, "spans", spans=3).names[1] == "steps 10 to 19"
    assert LONG.players(sample).kind == LONG.player_kinds[0] == "cells"


def test_spans_are_no_more_than_steps_and_of_even_length():
    sample = SeriesInput().read(np.arange(7.0))
    assert SeriesInput().players(sample, "spans").count == 7
    lengths = np.bincount(SeriesInput().players(sample, "spans", spans=3).owner)
    assert sorted(lengths) == [2, 2, 3]
    for wrong in (0, 2.5, True, 10**6):
        with pytest.raises(UserError, match="spans is a whole number between 1 and 2,000"):
            SeriesInput().players(sample, "spans", spans=wrong)
    with pytest.raises(UserError, match="The players of a series are cells, steps, spans, channels; 'words' came"):
        SeriesInput().players(sample, "words")


def test_baselines():
    sample = LONG.read(TABLE)
    assert LONG.baselines == ("zero", "mean")
    assert not LONG.reference(sample).rows.any()
    level = LONG.reference(sample, "mean")
    np.testing.assert_allclose(level.rows[0], np.tile(TABLE.mean(0), (STEPS, 1)))
    assert level.sentence == "each channel's own mean"
    np.testing.assert_array_equal(LONG.reference(sample, TABLE / 2).rows[0], TABLE / 2)
    assert LONG.reference(sample, 3).sentence == "3 everywhere"
    with pytest.raises(UserError, match="one of zero, mean"):
        LONG.reference(sample, "blur")
    with pytest.raises(UserError, match="one of zero, mean"):
        wrap(Convolution(), modality="series", baseline="blur")


@pytest.mark.parametrize("rows", [np.stack([TABLE, TABLE * 3]), [TABLE, CSV], TABLE, CSV])
def test_a_background_is_averaged_over(rows):
    taken = SeriesInput(("ecg", "resp"), background_rows=rows, dtype="float64")
    sample = taken.read(TABLE)
    found = taken.background(sample)
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        assert found.rows.shape == (1, STEPS, 2)
    assert taken.baselines == ("mean", "zero")
    np.testing.assert_allclose(taken.reference(sample).rows[0], found.rows.mean(0))
    assert found.sentence == f"{len(found.rows)} background series"


def test_a_background_of_another_length_is_refused():
    taken = SeriesInput(background_rows=[TABLE, TABLE[:5]])
    with pytest.raises(UserError, match=r"Every series of the background has the input's shape \(30, 2\)"):
        taken.background(taken.read(TABLE))


def test_a_network_that_cannot_take_it_says_so():
    with pytest.raises(UserError, match=r"could not be run on 1 inputs of shape \(5, 30\)"):
        wrap(Convolution(), modality="series").predict(np.zeros((5, STEPS)))
    with pytest.raises(UserError, match="could not be run on inputs of shape"):
        wrap(lambda x: 1 / 0, modality="series").sample(ECG)
