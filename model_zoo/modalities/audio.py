"""Sounds: from a recording to the waveform, or the spectrogram, that a network takes, and back to seconds.

x is float: the waveform (samples,) or (1, samples) at `rate` samples a second, or what `preprocess` makes of it, such
as a spectrogram (bands, frames) whose frames divide the sound's length evenly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from model_zoo.modalities import _given, _signals, _sound
from model_zoo.modalities._signals import Fits
from model_zoo.modalities._sound import Sound
from model_zoo.types import Players, Reference, Sample, UserError, digest

POINTS = 2000  # of the envelope, low and high
PATCHES = 64  # parts of a spectrogram, where nobody says how many
USUAL_RATE = 16_000  # of a made-up sound, where nobody says
WHAT = "The sound"


@dataclass(frozen=True)
class AudioView:
    """The sound as it is drawn: its envelope, and where time lies in x."""

    rate: float  # samples a second; 0: not known
    samples: int  # of the waveform; 0 where a spectrogram was given ready made
    low: np.ndarray  # float32 (points,): the lowest sample of each part of the waveform
    high: np.ndarray  # float32 (points,): the highest
    axis: int  # of time in x, from 0
    spectrogram: bool = False

    @property
    def seconds(self) -> float:
        """How long the sound is; 0 where that is not known."""
        return self.samples / self.rate if self.rate else 0.0

    def rows(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """(channels or bands, steps) of an array with the shape of x, or of its trailing axes."""
        return _signals.over_time(array, shape, self.axis)

    def when(self, first: int, last: int, steps: int) -> str:
        """'0.40–0.55 s' for steps `first` to `last` of x, or 'samples 400 to 551' where the rate is not known."""
        if not self.seconds:
            step = "frame" if self.spectrogram else "sample"
            return f"{step} {first:,}" if first == last else f"{step}s {first:,} to {last:,}"
        start, stop = (place / steps * self.seconds for place in (first, last + 1))
        digits = 3 if self.seconds < 1 else 2 if self.seconds < 100 else 1
        if f"{start:.{digits}f}" == f"{stop:.{digits}f}":  # one sample of many
            return f"{start:.{digits + 2}f} s"
        return f"{start:.{digits}f}–{stop:.{digits}f} s"


@dataclass(frozen=True, eq=False)
class AudioInput:
    """How a network takes sounds.

    rate: samples a second that the network takes; recordings at another rate are resampled. None: as they come.
    preprocess: callable(waveform float (samples,)) -> x, such as a spectrogram; a torch module gets a tensor.
    spectrogram: whether x has bands besides time. time_axis: of x, the last unless said.
    """

    rate: float | None = None
    preprocess: Callable[[Any], Any] | None = None
    spectrogram: bool = False
    time_axis: int | None = None
    baseline: Any = None  # the default baseline: a name, a number or an array like x
    background_rows: Any = None  # sounds as a person gives them, or an array (rows, *x.shape)
    fits: Fits | None = None
    dtype: str = "float32"

    modality: ClassVar[str] = "audio"

    @property
    def player_kinds(self) -> tuple[str, ...]:
        """Names that players() accepts; the first is the finest."""
        return ("cells", "patches", "spans", "bands") if self.spectrogram else ("samples", "spans")

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names that reference() accepts; the first is the default."""
        some = self.spectrogram or self.background_rows is not None
        return _given.ordered(self.baseline, ("silence", "mean") if some else ("silence",))

    # -- the way in ----------------------------------------------------------------------------------------------

    def read(self, raw: Any, name: str = "") -> Sample:
        """A file (path or bytes), samples at the model's rate, (rate, samples), or an array already like x."""
        sound, ready, name = self._heard(raw, name)
        notes = list(sound.notes)
        if ready is None:
            ready, what = self._prepared(sound.wave)
            x = _signals.finite(ready, self.dtype, what)
        else:
            x = _signals.finite(_signals.fitting(_batched(ready), self.fits), self.dtype, WHAT)
        axis = _signals.axis_of(-1 if self.time_axis is None else self.time_axis, x.shape)
        low, high = _envelope(sound.wave)
        view = AudioView(sound.rate, len(sound.wave), low, high, axis, self.spectrogram)
        return Sample("audio", name, x, view, tuple(notes), digest(str(x.shape).encode(), x.tobytes()))

    def _heard(self, raw: Any, name: str) -> tuple[Sound, np.ndarray | None, str]:
        """The waveform at the model's rate, and x where it was given ready made."""
        raw, rate = _with_rate(_given.arrayed(raw))
        if isinstance(raw, (str, bytes, bytearray, memoryview, os.PathLike)):
            data, name = _given.read_bytes(raw, name)
            if not data.startswith(_signals.NPY):
                sound = _sound.decoded(data, name or WHAT)
                return _sound.resampled(sound, self.rate or sound.rate, name or WHAT), None, name
            raw = _signals.npy(data, name or WHAT)
        found = _signals.array(raw, WHAT)
        if found.dtype in (np.int16, np.uint8):
            found = _sound.scaled(found)
        if found.size == max(found.shape):  # (samples,), (1, samples) or (samples, 1)
            sound = Sound(found.reshape(-1).astype(np.float64), rate or self.rate or 0.0)
            if self.preprocess is None and found.ndim > 1 and sound.rate == (self.rate or sound.rate):
                return sound, found, name
            return _sound.resampled(sound, self.rate or sound.rate, name or WHAT), None, name
        if rate is not None and rate != (self.rate or rate):
            raise UserError(
                f"An array of shape {found.shape} is taken as the model's own input; one at {rate:g} samples a second"
                " cannot be resampled. Give one channel, (samples,)."
            )
        empty = np.zeros(0)
        if self.spectrogram:
            return Sound(empty, self.rate or 0.0), found, name
        return Sound(found.reshape(-1, found.shape[-1]).mean(0), rate or self.rate or 0.0), found, name

    def _prepared(self, wave: np.ndarray) -> tuple[np.ndarray, str]:
        """x of a waveform, and what to call it."""
        wave = wave.astype(self.dtype)
        if self.preprocess is None:
            return _signals.fitting([wave, wave[None], wave[None, None]], self.fits), WHAT
        given: Any = wave
        if hasattr(self.preprocess, "forward"):  # a torch module
            import torch

            given = torch.as_tensor(wave)
        found = _signals.array(self.preprocess(given), "What preprocess returns")
        return _signals.fitting(_batched(found), self.fits), "What preprocess makes of the sound"

    def made_up(self, share: float = 1.0) -> np.ndarray:
        """A second of a tone, to see what a network makes of it; `share` makes it shorter."""
        rate = self.rate or USUAL_RATE
        return np.sin(np.arange(int(rate * share)) * (2 * np.pi * 440 / rate)) / 2

    # -- players and references ----------------------------------------------------------------------------------

    def players(self, sample: Sample, kind: str | None = None, **options: Any) -> Players:
        """Samples or spans of time (option spans=<how many>); of a spectrogram also cells, bands and patches."""
        view: AudioView = sample.view
        kind = kind or self.player_kinds[0]
        if kind not in self.player_kinds:
            raise UserError(f"The players of this sound are {', '.join(self.player_kinds)}; {kind!r} came.")
        shape = sample.x.shape
        steps = shape[view.axis]
        rows = sample.x.size // steps
        step, row = np.arange(steps)[None], np.arange(rows)[:, None]
        names: tuple[str, ...] = ()  # samples and cells are too many for names of their own
        if kind == "cells":
            owner, total = row * steps + step, rows * steps
        elif kind == "samples":
            owner, total = step, steps
        elif kind == "spans":
            index = _signals.spans(steps, options)
            owner, total = index[None], int(index[-1]) + 1
            names = tuple(view.when(first, last, steps) for first, last in _signals.edges(index))
        else:
            band = _bands(shape, view.axis)[:, None]
            count = int(band.max()) + 1
            if kind == "bands":
                owner, total = band, count
                names = tuple(f"band {place}" for place in range(count))
            else:
                owner, total, names = _patches(view, band, count, steps, options)
        whole = np.broadcast_to(owner, (rows, steps))
        return Players(kind, _signals.laid(whole, shape, view.axis), total, names)

    def reference(self, sample: Sample, baseline: Any = None) -> Reference:
        """One sound to compare with: "silence", "mean" of the background or of each band, a number or an array."""
        x, view = sample.x, sample.view
        baseline = _given.named(baseline, self.baseline, self.baselines)
        if not isinstance(baseline, str):
            return _given.constant(baseline, x)
        if baseline == "silence":
            return self._silence(sample)
        if self.background_rows is not None:
            rows = self._rows(self.background_rows, x)
            mean = rows.mean(0, dtype=np.float64).astype(x.dtype)
            return Reference("mean", mean[None], f"the mean of {_sounds(len(rows))}")
        bands = view.rows(x, x.shape).astype(np.float64)
        level = np.broadcast_to(bands.mean(1, keepdims=True), bands.shape)
        return Reference("mean", _signals.laid(level, x.shape, view.axis).astype(x.dtype)[None], "each band's own mean")

    def _silence(self, sample: Sample) -> Reference:
        """Zero samples, through preprocess where there is one: in decibels the silence of a spectrogram is not zero."""
        x = sample.x
        if self.preprocess is not None and sample.view.samples:
            with np.errstate(divide="ignore"):  # the logarithm of nothing
                row = np.asarray(self._prepared(np.zeros(sample.view.samples))[0], dtype=x.dtype)
            if row.shape == x.shape:
                whole = np.isfinite(row)
                said = "silence" if whole.all() else "silence, taken as the lowest number of this sound"
                return Reference("silence", np.where(whole, row, x.min())[None], said)
        said = "silence" if not self.spectrogram else "zero everywhere"
        return Reference("silence", np.zeros_like(x)[None], said)

    def background(self, sample: Sample, rows: Any = None) -> Reference:
        """Sounds to average over: those given, the model's own, or the baseline alone."""
        rows = self.background_rows if rows is None else rows
        if rows is None:
            return self.reference(sample)
        found = self._rows(rows, sample.x)
        return Reference("background", found, _sounds(len(found)))

    def first_row(self) -> Any:
        """The first sound of the model's own background; None where there is none."""
        rows = self._listed(self.background_rows)
        return rows[0] if rows is not None and len(rows) else None

    def _listed(self, rows: Any) -> Any:
        rows = _given.arrayed(rows)
        return [rows] if isinstance(rows, (str, bytes, bytearray, os.PathLike)) else rows

    def _rows(self, rows: Any, x: np.ndarray) -> np.ndarray:
        rows = self._listed(rows)
        if not isinstance(rows, (list, tuple)) and not (isinstance(rows, np.ndarray) and rows.ndim):
            raise UserError(f"The background of a sound model is a list of sounds; {type(rows).__name__} came.")
        if isinstance(rows, (list, tuple)) and rows and not isinstance(rows[0], (int, float, np.number)):
            rows = [_long_enough(self.read(one), x) for one in rows]
        return _given.stacked(rows, x)


def _with_rate(raw: Any) -> tuple[Any, float | None]:
    """The samples and their rate of a pair, in either order, as scipy and torchaudio give them."""
    if isinstance(raw, (list, tuple)) and len(raw) == 2:
        for rate, samples in (raw, raw[::-1]):
            number = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
            if number and np.ndim(samples) and not isinstance(samples, (str, bytes)):
                if not _sound.RATES[0] <= rate <= _sound.RATES[1]:
                    raise UserError(
                        f"A sound's rate lies between {_sound.RATES[0]:,} and {_sound.RATES[1]:,} samples a second;"
                        f" {rate:g} came."
                    )
                return samples, float(rate)
    return raw, None


def _batched(found: np.ndarray) -> list[np.ndarray]:
    """The array, without an axis of batches that came along, and with an axis of channels that was left out."""
    return [found, *([found[0]] if len(found) == 1 and found.ndim > 1 else []), found[None]]


def _envelope(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(wave):
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    starts = np.unique(np.arange(POINTS) * len(wave) // POINTS)
    return tuple(part.reduceat(wave, starts).astype(np.float32) for part in (np.minimum, np.maximum))  # type: ignore[return-value]


def _bands(shape: tuple[int, ...], axis: int) -> np.ndarray:
    """The band of each row of (rows, steps): the place on the longest axis besides time."""
    others = [size for place, size in enumerate(shape) if place != axis]
    if not others or max(others) < 2:
        raise UserError(f"Bands need a spectrogram; this sound has the shape {shape}. Ask for spans.")
    rows = np.arange(int(np.prod(others)))
    return np.unravel_index(rows, others)[int(np.argmax(others))]


def _patches(
    view: AudioView, band: np.ndarray, count: int, steps: int, options: dict[str, Any]
) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """Groups of bands over spans of time: owner (rows, steps), how many, and their names."""
    wanted = options.get("patches", PATCHES)
    if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer)) or not 1 <= wanted <= _signals.MOST_SPANS:
        raise UserError(f"patches is a whole number between 1 and {_signals.MOST_SPANS:,}; {wanted!r} came.")
    high = max(1, min(count, round(wanted**0.5)))
    wide = max(1, min(steps, int(wanted) // high))
    group, span = _signals.spans(count, {"spans": high}), _signals.spans(steps, {"spans": wide})
    wide = int(span[-1]) + 1
    names = tuple(
        f"bands {low} to {top} at {view.when(first, last, steps)}"
        for low, top in _signals.edges(group)
        for first, last in _signals.edges(span)
    )
    return group[band] * wide + span[None], len(names), names


def _long_enough(sample: Sample, x: np.ndarray) -> np.ndarray:
    """A background sound cut to the sample's length; UserError where it is shorter."""
    axis, found = sample.view.axis, sample.x
    if found.ndim == x.ndim and found.shape[axis] > x.shape[axis]:
        found = np.take(found, range(x.shape[axis]), axis)
    if found.shape != x.shape:
        raise UserError(
            f"Every sound of the background is at least as long as the input, of shape {x.shape}; one of"
            f" {found.shape} came."
        )
    return found


def _sounds(count: int) -> str:
    return f"{count:,} background sound{'s' * (count != 1)}"
