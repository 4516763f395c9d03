"""A sound from outside, opened with care: known by its bytes, its length checked, made one channel at the wanted rate.

Whole numbers of 8, 16, 24 or 32 bits become -1 to 1. WAV is read by scipy; FLAC, OGG and MP3 by soundfile, if that is
installed, and never more frames than MOST_NUMBERS: half a megabyte of FLAC may stand for gigabytes of silence.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass

import numpy as np

from model_zoo.modalities._signals import MOST_NUMBERS
from model_zoo.types import UserError

RATES = (100, 1_000_000)  # samples a second that are believed
COMPRESSED = ((b"fLaC", "FLAC"), (b"OggS", "OGG"), (b"ID3", "MP3"), (b"\xff\xfb", "MP3"), (b"\xff\xf3", "MP3"))


@dataclass(frozen=True)
class Sound:
    """One channel, float64 (samples,) from -1 to 1, its samples a second (0: not known), and what was done to it."""

    wave: np.ndarray
    rate: float
    notes: tuple[str, ...] = ()


def decoded(data: bytes, name: str) -> Sound:
    """The sound in a file's bytes; UserError says what it holds instead, or what is missing to read it."""
    if data[:4] in (b"RIFF", b"RIFX", b"RF64") and data[8:12] == b"WAVE":
        rate, found = _wav(data, name)
    else:
        kind = next((kind for start, kind in COMPRESSED if data.startswith(start)), None)
        if kind is None:
            raise UserError(f"{name} is no sound that can be read; give a WAV file, or FLAC or OGG.")
        rate, found = _compressed(data, name, kind)
    if not RATES[0] <= rate <= RATES[1]:
        raise UserError(
            f"{name} says that it has {rate:,} samples a second; {RATES[0]:,} to {RATES[1]:,} are expected. Save it"
            " again."
        )
    if not found.size:
        raise UserError(f"{name} has no samples; give a sound that is longer.")
    return mono(scaled(found), float(rate))


def scaled(found: np.ndarray) -> np.ndarray:
    """Samples as float64: whole numbers of the types that files hold become -1 to 1."""
    if found.dtype.kind == "f":
        return found.astype(np.float64)
    if found.dtype == np.uint8:
        return (found.astype(np.float64) - 128) / 128
    return found.astype(np.float64) / float(2 ** (8 * found.dtype.itemsize - 1))


def mono(found: np.ndarray, rate: float) -> Sound:
    """One channel of (samples,) or (samples, channels): their mean."""
    if found.ndim == 1 or found.shape[1] == 1:
        return Sound(found.reshape(-1), rate)
    return Sound(found.mean(1), rate, (f"The sound has {found.shape[1]} channels; their mean was taken.",))


def resampled(sound: Sound, rate: float, name: str) -> Sound:
    """The sound at `rate` samples a second, by a polyphase filter."""
    if rate == sound.rate or not sound.rate:
        return Sound(sound.wave, rate, sound.notes)
    if len(sound.wave) * rate / sound.rate > MOST_NUMBERS:
        raise UserError(f"{name} would have more than {MOST_NUMBERS:,} samples at {rate:,g} Hz. Cut it first.")
    from scipy.signal import resample_poly  # slow to import

    up, down = round(rate), round(sound.rate)
    shared = math.gcd(up, down)
    found = resample_poly(sound.wave, up // shared, down // shared)
    note = f"The sound has {sound.rate:,g} samples a second and was resampled to the model's {rate:,g}."
    return Sound(found, rate, (*sound.notes, note))


def _wav(data: bytes, name: str) -> tuple[int, np.ndarray]:
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # chunks that it does not know, and files that were cut
            rate, found = wavfile.read(io.BytesIO(data))
    except Exception as error:  # a damaged header may raise anything
        raise UserError(
            f"{name} is a WAV file that cannot be read: it is damaged, or compressed inside. Save it as 16 bit WAV."
        ) from error
    _short(found.size, name)
    return int(rate), found


def _compressed(data: bytes, name: str, kind: str) -> tuple[int, np.ndarray]:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise UserError(
            f"{name} is {kind}, which the package soundfile reads, and that is not installed here; save it as WAV."
        ) from error
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            most = MOST_NUMBERS // max(1, file.channels)
            found = file.read(most + 1, dtype="float64", always_2d=True)
            rate = file.samplerate
    except Exception as error:  # a stranger's file may raise anything
        raise UserError(f"{name} starts like {kind} but cannot be read; it is damaged or cut short.") from error
    _short(found.size, name)
    return int(rate), found


def _short(numbers: int, name: str) -> None:
    if numbers > MOST_NUMBERS:
        raise UserError(f"{name} has more than {MOST_NUMBERS:,} samples; give a part of it.")
