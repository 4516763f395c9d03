"""Sounds on their way in: files and arrays, rates, spectrograms, players in seconds, silence, and what is refused."""

from __future__ import annotations

import io
import struct
import sys
import types
import wave

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import nn

from model_zoo import wrap
from model_zoo.modalities import _signals
from model_zoo.modalities.audio import POINTS, AudioInput
from model_zoo.types import UserError

RATE = 8000
TONE = np.sin(np.arange(RATE) * (2 * np.pi * 440 / RATE)) / 2


def recorded(samples: np.ndarray, rate: int = RATE) -> bytes:
    held = io.BytesIO()
    wavfile.write(held, rate, samples)
    return held.getvalue()


def spectrum(samples: np.ndarray) -> np.ndarray:
    """(33, frames) of 64 samples each."""
    frames = samples[: len(samples) // 64 * 64].reshape(-1, 64)
    return np.abs(np.fft.rfft(frames, axis=1)).T


class Ears(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.int16, -(2**15), 2**15), (np.int32, -(2**31), 2**31), (np.float32, -1, 1), (np.uint8, 0, 256)],
)
def test_whole_numbers_become_minus_one_to_one(dtype, low, high):
    stored = ((TONE + 1) / 2 * (high - low) + low).astype(dtype)
    sample = AudioInput(RATE).read(recorded(stored), "a.wav")
    np.testing.assert_allclose(sample.x, TONE, atol=0.01)
    assert (sample.x.dtype, sample.x.shape, sample.notes) == (np.float32, (RATE,), ())
    assert (sample.view.rate, sample.view.samples, sample.view.seconds) == (RATE, RATE, 1.0)


def test_24_bits_as_the_standard_library_writes_them():
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(RATE)
        file.writeframes(b"".join(int(one * (2**23 - 1)).to_bytes(3, "little", signed=True) for one in TONE))
    np.testing.assert_allclose(AudioInput(RATE).read(held.getvalue()).x, TONE, atol=1e-5)


def test_channels_are_averaged_and_rates_made_alike(tmp_path):
    twice = np.sin(np.arange(2 * RATE) * (2 * np.pi * 440 / (2 * RATE))) / 2
    path = tmp_path / "a.wav"
    path.write_bytes(recorded(np.stack([twice * 1.5, twice * 0.5], 1).astype(np.float32), 2 * RATE))
    sample = AudioInput(RATE).read(path)
    assert sample.name == "a.wav"
    assert sample.notes == (
        "The sound has 2 channels; their mean was taken.",
        "The sound has 16,000 samples a second and was resampled to the model's 8,000.",
    )
    np.testing.assert_allclose(sample.x[100:-100], TONE[100:-100], atol=2e-3)
    assert AudioInput().read(path).view.rate == 2 * RATE  # no rate is wanted: as it comes


GIVEN = [TONE, TONE.tolist(), torch.tensor(TONE), (RATE, TONE), (torch.tensor(TONE)[None], RATE)]


@pytest.mark.parametrize("raw", GIVEN, ids=["array", "list", "tensor", "of scipy", "of torchaudio"])
def test_arrays(raw):
    sample = AudioInput(RATE, dtype="float64").read(raw)
    np.testing.assert_array_equal(sample.x.reshape(-1), TONE)
    assert sample.view.seconds == 1.0


def test_an_axis_of_channels_is_made_where_the_network_has_one():
    network = nn.Sequential(nn.Conv1d(1, 4, 16, stride=8), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))
    model = wrap(network, modality="audio", rate=RATE)
    assert model.card.labels == ("class 0", "class 1")
    assert model.sample(TONE).x.shape == model.sample(TONE[None]).x.shape == (1, RATE)
    assert model.sample(recorded((TONE * 2**15).astype(np.int16))).view.axis == 1
    flat = wrap(lambda x: torch.stack([x.sum(1), x.abs().sum(1)], 1), modality="audio")
    assert flat.sample(TONE).x.shape == (RATE,)


def test_a_spectrogram_and_the_sound_behind_it():
    model = wrap(Ears(), modality="audio", rate=RATE, preprocess=spectrum)
    sample = model.sample(recorded(TONE.astype(np.float32)), "a.wav")
    assert sample.x.shape == (1, 33, 125)
    assert (sample.view.axis, sample.view.spectrogram, sample.view.samples) == (2, True, RATE)
    assert model.sample(spectrum(TONE)).x.shape == (1, 33, 125)  # ready made
    assert model.sample(spectrum(TONE)).view.seconds == 0
    assert model.input.player_kinds == ("cells", "patches", "spans", "bands")
    assert not wrap(Ears(), modality="audio", preprocess=lambda one: one / 2).input.spectrogram


def test_a_torch_module_may_prepare_it():
    class Halved(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 2

    np.testing.assert_allclose(AudioInput(RATE, Halved()).read(TONE).x, TONE / 2, rtol=1e-6)


def test_the_envelope_is_small_and_true():
    view = AudioInput(RATE).read(np.tile(TONE, 20)).view
    assert len(view.low) == len(view.high) == POINTS
    assert view.high.max() == pytest.approx(0.5, abs=1e-3)
    assert (view.low <= view.high).all()


def test_players_in_seconds():
    taken = AudioInput(RATE)
    sample = taken.read(TONE)
    spans = taken.players(sample, "spans", spans=4)
    assert spans.names == ("0.00–0.25 s", "0.25–0.50 s", "0.50–0.75 s", "0.75–1.00 s")
    assert np.bincount(spans.owner).tolist() == [2000] * 4
    assert taken.players(sample).kind == "samples"
    assert taken.players(sample, "samples").count == RATE
    assert AudioInput().players(AudioInput().read(TONE), "spans", spans=2).names[0] == "samples 0 to 3,999"
    with pytest.raises(UserError, match="The players of this sound are samples, spans; 'bands' came"):
        taken.players(sample, "bands")


def test_players_of_a_spectrogram():
    taken = AudioInput(RATE, spectrum, spectrogram=True)
    sample = taken.read(TONE)
    assert sample.x.shape == (33, 125)
    bands = taken.players(sample, "bands")
    assert (bands.count, bands.names[3]) == (33, "band 3")
    np.testing.assert_array_equal(bands.owner, np.repeat(np.arange(33)[:, None], 125, 1))
    patches = taken.players(sample, "patches", patches=4)
    assert patches.names[:2] == ("bands 0 to 16 at 0.00–0.50 s", "bands 0 to 16 at 0.50–1.00 s")
    assert sorted(np.unique(patches.owner)) == [0, 1, 2, 3]
    assert patches.owner[20, 0] == 2
    assert taken.players(sample, "cells").count == 33 * 125
    turned = AudioInput(RATE, lambda one: spectrum(one).T, spectrogram=True, time_axis=0)
    other = turned.players(turned.read(TONE), "bands")
    np.testing.assert_array_equal(other.owner, bands.owner.T)


def test_silence():
    taken = AudioInput(RATE)
    sample = taken.read(TONE)
    assert taken.baselines == ("silence",)
    assert taken.reference(sample).sentence == "silence"
    assert not taken.reference(sample).rows.any()
    decibels = AudioInput(RATE, lambda one: np.log10(spectrum(one) + 1e-4), spectrogram=True)
    sample = decibels.read(TONE)
    np.testing.assert_allclose(decibels.reference(sample).rows, -4, rtol=1e-5)
    bare = AudioInput(RATE, lambda one: np.log10(spectrum(one)), spectrogram=True, dtype="float64")
    sample = bare.read(TONE + 0.01 * np.random.default_rng(0).normal(size=RATE))
    lowest = bare.reference(sample)
    assert lowest.rows.min() == lowest.rows.max() == sample.x.min()
    assert "lowest number" in lowest.sentence
    np.testing.assert_allclose(bare.reference(sample, "mean").rows[0][:, 0], sample.x.mean(1))


def test_a_background_of_longer_sounds_is_cut():
    taken = AudioInput(RATE, background_rows=[TONE, recorded(np.tile(TONE, 2).astype(np.float32))])
    sample = taken.read(TONE)
    found = taken.background(sample)
    assert (found.rows.shape, found.sentence) == ((2, RATE), "2 background sounds")
    np.testing.assert_allclose(taken.reference(sample, "mean").rows[0], TONE, atol=1e-6)
    with pytest.raises(UserError, match="is at least as long as the input"):
        taken.background(sample, [TONE[:9]])


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x00\x01\x02", "is no sound that can be read; give a WAV file"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "cannot be read: it is damaged, or compressed inside"),
        (recorded(np.zeros(0, np.int16)), "cannot be read|has no samples"),
        (np.array([]), "is empty"),
        (np.array([1.0, np.inf]), "NaN or infinity"),
        ("nowhere.wav", "there is no such file"),
        ((5, TONE), "A sound's rate lies between 100 and 1,000,000"),
    ],
)
def test_what_is_refused_and_why(raw, why):
    with pytest.raises(UserError, match=why):
        AudioInput(RATE).read(raw)


def test_a_header_with_an_impossible_rate_is_refused():
    data = bytearray(recorded(np.zeros(10, np.int16)))
    data[24:28] = struct.pack("<I", 4_000_000_000)
    with pytest.raises(UserError, match=r"samples a second|cannot be read"):
        AudioInput(RATE).read(bytes(data))
    with pytest.raises(UserError, match="rate is the samples a second that the model takes"):
        wrap(Ears(), modality="audio", rate=0)


def test_a_compressed_sound_is_read_to_a_bound(monkeypatch):
    """Half a megabyte of FLAC may stand for gigabytes: no more frames than that are ever asked for."""
    asked = []

    class SoundFile:
        channels, samplerate = 2, RATE

        def __init__(self, file): ...

        def __enter__(self):
            return self

        def __exit__(self, *error): ...

        def read(self, frames, dtype, always_2d):
            asked.append(frames)
            return np.zeros((frames, 2))

    library = types.ModuleType("soundfile")
    library.SoundFile = SoundFile
    monkeypatch.setitem(sys.modules, "soundfile", library)
    monkeypatch.setattr("model_zoo.modalities._sound.MOST_NUMBERS", 1000)
    with pytest.raises(UserError, match="has more than 1,000 samples"):
        AudioInput(RATE).read(b"fLaC....", "bomb.flac")
    assert asked == [501]
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match="is FLAC, which the package soundfile reads"):
        AudioInput(RATE).read(b"fLaC....", "bomb.flac")


def test_too_long_a_sound_is_refused(monkeypatch):
    monkeypatch.setattr(_signals, "MOST_NUMBERS", 100)
    with pytest.raises(UserError, match="at most 100 are read"):
        AudioInput(RATE).read(TONE)
    monkeypatch.setattr("model_zoo.modalities._sound.MOST_NUMBERS", 10_000)
    with pytest.raises(UserError, match="would have more than 10,000 samples"):
        AudioInput(48_000).read(recorded(TONE.astype(np.float32)))
