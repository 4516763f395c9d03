"""Series: numbers over time, of one channel or several, in any shape that a network takes.

x is float with one axis of time: (steps,), (channels, steps), (steps, channels), ... An array is taken as it is; a CSV
or a dict of channels is laid as the network takes it. Which axis is time is said (`time_axis`) or guessed: by the names
of the channels, by the network's first layer over time, else the longer axis, which is told in a note.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from model_zoo.modalities import _given, _signals
from model_zoo.modalities._signals import Fits, Table
from model_zoo.types import Players, Reference, Sample, UserError, digest

NAMED = 100_000  # players that get names of their own
WHAT = "The series"


@dataclass(frozen=True)
class SeriesView:
    """What the numbers of x are called, and which axis of x is time."""

    channels: tuple[str, ...]  # in the order of x
    steps: int
    axis: int  # of time in x, from 0
    named: bool = False  # whether somebody named the channels

    def rows(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """(channels, steps) of an array with the shape of x, or of its trailing axes."""
        return _signals.over_time(array, shape, self.axis)


@dataclass(frozen=True, eq=False)
class SeriesInput:
    """How a network takes series.

    layer, width: the network's first layer over time and how many channels it takes; "" and 0 where not known.
    steps: how many steps it probably takes, where that is fixed; 0 where not known.
    preprocess: callable(array as given, or (steps, channels) of a file) -> x, in place of all arranging.
    fits: whether the network runs on an x, which settles how a CSV or a bare list is laid.
    """

    channels: tuple[str, ...] = ()
    time_axis: int | None = None
    layer: Literal["", "convolution", "recurrent"] = ""
    width: int = 0
    steps: int = 0
    baseline: Any = None  # the default baseline: a name, a number or an array like x
    background_rows: Any = None  # series as a person gives them, or an array (rows, *x.shape)
    preprocess: Callable[[Any], Any] | None = None
    fits: Fits | None = None
    dtype: str = "float32"

    modality: ClassVar[str] = "series"
    player_kinds: ClassVar[tuple[str, ...]] = ("cells", "steps", "spans", "channels")

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names that reference() accepts; the first is the default."""
        names = ("zero", "mean") if self.background_rows is None else ("mean", "zero")
        return _given.ordered(self.baseline, names)

    # -- the way in ----------------------------------------------------------------------------------------------

    def read(self, raw: Any, name: str = "") -> Sample:
        """Numbers of the network's own shape, a dict of channels, a pandas table, or a CSV, JSON or .npy file."""
        found, name = self._numbers(raw, name)
        notes = list(found.notes) if isinstance(found, Table) else []
        names = self.channels or (found.names if isinstance(found, Table) else ())
        if isinstance(found, Table):
            found, told = self._in_order(found)
            notes += told
        x = _signals.finite(self._arranged(found), self.dtype, WHAT)
        axis, guessed = self._axis(x.shape, names)
        if guessed:
            notes.append(
                f"The longer axis, of {x.shape[axis]:,}, was taken for time; if another one is, say time_axis=."
            )
        count = x.size // x.shape[axis]
        if names and len(names) != count:
            raise UserError(
                f"{len(names):,} channel names came, and the series has {count:,} channel{'s' * (count != 1)} over"
                f" {x.shape[axis]:,} steps (shape {x.shape}); give one name a channel, or say which axis is time:"
                " time_axis=."
            )
        view = SeriesView(
            names or tuple(f"channel {place}" for place in range(count)), x.shape[axis], axis, bool(names)
        )
        return Sample("series", name, x, view, tuple(notes), digest(str(x.shape).encode(), x.tobytes()))

    def _numbers(self, raw: Any, name: str) -> tuple[np.ndarray | Table, str]:
        """What was given as an array of the network's shape, or as a table (steps, channels)."""
        raw = _given.arrayed(raw)
        if isinstance(raw, (str, bytes, bytearray, memoryview, os.PathLike)):
            return _signals.file(raw, name, WHAT)
        if hasattr(raw, "iloc"):  # of pandas
            raw = {column: raw[column].to_numpy() for column in raw.columns} if hasattr(raw, "columns") else raw.array
        if isinstance(raw, (list, tuple)) and raw and all(isinstance(one, Mapping) for one in raw):
            raw = {key: [one.get(key) for one in raw] for key in raw[0]}  # one dict a step
        return (_signals.table_of(raw, WHAT) if isinstance(raw, Mapping) else _signals.array(raw, WHAT)), name

    def _in_order(self, found: Table) -> tuple[Table, list[str]]:
        """The channels that the model takes, in its order; others are left out and told."""
        if not self.channels or not found.names or found.names == self.channels:
            return found, []
        known = set(self.channels)
        missing = [one for one in self.channels if one not in found.names]
        extra = [one for one in found.names if one not in known]
        if missing and len(found.names) == len(self.channels):
            raise UserError(
                f"The series has no channel {_given.listed(missing)}; expected are {_given.listed(self.channels, 40)},"
                f" and {_given.listed(found.names, 40)} came. Name its columns as the model does."
            )
        if missing:
            raise UserError(
                f"The series has no channel {_given.listed(missing)}; expected are {_given.listed(self.channels, 40)}."
            )
        order = [found.names.index(one) for one in self.channels]
        told = [f"The model does not take {_given.listed(extra)}, left out here."] if extra else []
        return Table(found.numbers[:, order], self.channels), told

    def _arranged(self, found: np.ndarray | Table) -> np.ndarray:
        """The numbers in the shape that the network takes."""
        given = found.numbers if isinstance(found, Table) else found
        if self.preprocess is not None:
            return _signals.array(self.preprocess(given), "What preprocess returns")
        if isinstance(found, Table):
            return _signals.fitting(self._ways(found.numbers), self.fits)
        if given.ndim == 1:
            return _signals.fitting([given, *self._ways(given[:, None])], self.fits)
        ways = [given, given[0]] if len(given) == 1 else [given]  # an axis of batches that came along
        return _signals.fitting([*ways, given[None]], self.fits)

    def _ways(self, table: np.ndarray) -> list[np.ndarray]:
        """The arrangements of (steps, channels), likeliest first."""
        steps, channels = table.shape
        first, last, flat = table.T, table, table[:, 0]
        ways = [last, first] if self.layer == "recurrent" else [first, last]
        if channels == 1:
            ways = [*ways, flat] if self.layer else [flat, *ways]
        ways.append(table.T[None])
        if self.time_axis is None:
            return ways
        fitting = [one for one in ways if -one.ndim <= self.time_axis < one.ndim and one.shape[self.time_axis] == steps]
        return fitting or ways

    def _axis(self, shape: tuple[int, ...], names: tuple[str, ...]) -> tuple[int, bool]:
        """Which axis of x is time, and whether that is a guess by its length alone."""
        if self.time_axis is not None:
            return _signals.axis_of(self.time_axis, shape), False
        long = [place for place, size in enumerate(shape) if size > 1]
        if len(long) < 2:
            return (long[0] if long else len(shape) - 1), False
        size = int(np.prod(shape))
        named = [place for place in long if names and size // shape[place] == len(names)]
        if len(named) == 1:
            return named[0], False
        if self.layer and len(shape) == 2:
            usual = 1 if self.layer == "convolution" else 0
            fits = [place for place in (0, 1) if shape[1 - place] == self.width]
            if fits:
                return (usual if len(fits) == 2 else fits[0]), False
        last = len(shape) - 1
        longest = max(long, key=lambda place: (shape[place], place == last))
        return longest, len(shape) == 2

    def made_up(self, share: float = 1.0) -> dict[str, np.ndarray]:
        """Some series as a person would give it, to see what a network makes of it; `share` makes it shorter."""
        wave = np.sin(np.arange(round(share * (self.steps or 128))) / 5)
        names = self.channels or tuple(f"channel {place}" for place in range(self.width or 1))
        return {name: wave + place / 10 for place, name in enumerate(names)}

    # -- players and references ----------------------------------------------------------------------------------

    def players(self, sample: Sample, kind: str | None = None, **options: Any) -> Players:
        """Cells (each number alone), steps, spans (option spans=<how many>) or channels."""
        view: SeriesView = sample.view
        kind = kind or self.player_kinds[0]
        if kind not in self.player_kinds:
            raise UserError(f"The players of a series are {', '.join(self.player_kinds)}; {kind!r} came.")
        count, steps = len(view.channels), view.steps
        step, channel = np.arange(steps)[None], np.arange(count)[:, None]
        names: tuple[str, ...] = ()
        if kind == "cells":
            owner, total = channel * steps + step, count * steps
            if total <= NAMED:
                one = count == 1 and not view.named
                names = tuple(
                    f"step {place}" if one else f"{name} at step {place}"
                    for name in view.channels
                    for place in range(steps)
                )
        elif kind == "steps":
            owner, total = step, steps
            names = tuple(f"step {place}" for place in range(steps))
        elif kind == "spans":
            index = _signals.spans(steps, options)
            owner, total = index[None], int(index[-1]) + 1
            names = tuple(stretch(first, last) for first, last in _signals.edges(index))
        else:
            owner, total, names = channel, count, view.channels
        whole = np.broadcast_to(owner, (count, steps))
        return Players(kind, _signals.laid(whole, sample.x.shape, view.axis), total, names)

    def reference(self, sample: Sample, baseline: Any = None) -> Reference:
        """One series to compare with: "zero", "mean" of the background or of each channel, a number or an array."""
        x = sample.x
        baseline = _given.named(baseline, self.baseline, self.baselines)
        if not isinstance(baseline, str):
            return _given.constant(baseline, x)
        if baseline == "zero":
            return Reference("zero", np.zeros_like(x)[None], "zero everywhere")
        if self.background_rows is not None:
            rows = self._rows(self.background_rows, sample)
            mean = rows.mean(0, dtype=np.float64).astype(x.dtype)
            return Reference("mean", mean[None], f"the mean of {len(rows):,} background series")
        rows = sample.view.rows(x, x.shape).astype(np.float64)
        level = np.broadcast_to(rows.mean(1, keepdims=True), rows.shape)
        said = "its own mean" if len(rows) == 1 else "each channel's own mean"
        return Reference("mean", _signals.laid(level, x.shape, sample.view.axis).astype(x.dtype)[None], said)

    def background(self, sample: Sample, rows: Any = None) -> Reference:
        """Series to average over: those given, the model's own, or the baseline alone."""
        rows = self.background_rows if rows is None else rows
        if rows is None:
            return self.reference(sample)
        found = self._rows(rows, sample)
        return Reference("background", found, f"{len(found):,} background series")

    def first_row(self) -> Any:
        """The first series of the model's own background; None where there is none."""
        rows = self._listed(self.background_rows)
        return rows[0] if rows is not None and len(rows) else None

    def _listed(self, rows: Any) -> Any:
        """The background as a list of series; one file, table or dict of channels is one series."""
        rows = _given.arrayed(rows)
        one = isinstance(rows, (str, bytes, bytearray, os.PathLike, Mapping)) or hasattr(rows, "iloc")
        return [rows] if one else rows

    def _rows(self, rows: Any, sample: Sample) -> np.ndarray:
        """Series like the sample's x, (rows, *x.shape)."""
        rows, x = self._listed(rows), sample.x
        if not isinstance(rows, (list, tuple)) and not (isinstance(rows, np.ndarray) and rows.ndim):
            raise UserError(f"The background of a series model is a list of series; {type(rows).__name__} came.")
        if isinstance(rows, (list, tuple)) and rows and not isinstance(rows[0], (int, float, np.number)):
            return np.stack([self._alike(self.read(one), sample) for one in rows])
        return _given.stacked(rows, x)

    def _alike(self, other: Sample, sample: Sample) -> np.ndarray:
        """x of another series, laid as the sample's."""
        if other.x.shape == sample.x.shape:
            return other.x
        rows, shape = other.view.rows(other.x, other.x.shape), sample.x.shape
        if rows.shape != (len(sample.view.channels), sample.view.steps):
            raise UserError(
                f"Every series of the background has the input's shape {shape}; one of {other.x.shape} came. Cut them"
                " to the same length."
            )
        return _signals.laid(rows, shape, sample.view.axis)


def stretch(first: int, last: int) -> str:
    """'step 40' or 'steps 40 to 52', both ends included, counted from 0."""
    return f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"
