"""How a network takes series or sounds, as far as its layers and its owner tell; the rest is tried on the network.

A CSV says neither whether channels come before time nor whether one channel has an axis of its own: of the ways to lay
it, the first on which the network runs is taken (`runs`).
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch

from model_zoo.modalities.audio import AudioInput
from model_zoo.modalities.series import SeriesInput
from model_zoo.model import Model
from model_zoo.types import UserError


def taken(
    modality: str,
    module: torch.nn.Module | None,
    names: Sequence[str] | None,
    background: Any,
    preprocess: Callable[[Any], Any] | None,
    baseline: Any,
    rate: float | None,
    time_axis: int | None,
) -> SeriesInput | AudioInput | None:
    """How a network takes series or sounds; None for another modality."""
    dtype = precision(module)
    if modality == "series":
        return _series(module, names, background, preprocess, baseline, time_axis, dtype)
    if modality == "audio":
        return _audio(module, rate, background, preprocess, baseline, time_axis, dtype)
    return None


def precision(module: torch.nn.Module | None) -> str:
    """The type of x that keeps every bit that the network can use."""
    own = () if module is None else (*module.parameters(), *module.buffers())
    first = next((one for one in own if one.is_floating_point()), None)
    return "float64" if first is None or first.dtype == torch.float64 else "float32"


def _series(
    module: torch.nn.Module | None,
    channels: Sequence[str] | None,
    background: Any,
    preprocess: Callable[[Any], Any] | None,
    baseline: Any,
    time_axis: int | None,
    dtype: str,
) -> SeriesInput:
    names = tuple(map(str, channels or ()))
    twice = [one for one in dict.fromkeys(names) if names.count(one) > 1]
    if twice:
        raise UserError(f"Every channel has its own name; '{twice[0]}' came more than once.")
    layer, width = _first_layer(module)
    linear = next(
        (one for one in ([] if module is None else module.modules()) if isinstance(one, torch.nn.Linear)), None
    )
    return SeriesInput(
        names,
        time_axis=_axis(time_axis),
        layer=layer,
        width=width,
        steps=0 if layer or linear is None else linear.in_features // max(1, len(names)),
        baseline=baseline,
        background_rows=background,
        preprocess=preprocess,
        dtype=dtype,
    )


def _audio(
    module: torch.nn.Module | None,
    rate: float | None,
    background: Any,
    preprocess: Callable[[Any], Any] | None,
    baseline: Any,
    time_axis: int | None,
    dtype: str,
) -> AudioInput:
    number = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
    if rate is not None and not (number and 100 <= rate <= 1_000_000):
        raise UserError(f"rate is the samples a second that the model takes, such as 16000; {rate!r} came.")
    heard = AudioInput(
        None if rate is None else float(rate),
        preprocess,
        time_axis=_axis(time_axis),
        baseline=baseline,
        background_rows=background,
        dtype=dtype,
    )
    if preprocess is None:
        flat = not any(isinstance(one, torch.nn.Conv2d) for one in ([] if module is None else module.modules()))
    else:
        flat = _keeps_a_waveform(heard)
    return heard if flat else dataclasses.replace(heard, spectrogram=True)


def runs(model: Model) -> Callable[[np.ndarray], bool]:
    """Whether the network runs on an x: asked once for each shape."""
    from model_zoo import learning

    held, known = weakref.ref(model), dict[tuple[int, ...], bool]()

    def fits(x: np.ndarray) -> bool:
        found = held()
        if found is None:
            return True
        if x.shape not in known:
            try:
                with found.frozen():
                    scores, _ = learning.run(found, np.stack([x, x / 2]).astype(x.dtype))
                known[x.shape] = scores.ndim >= 2 and len(scores) == 2
            except UserError:
                known[x.shape] = False
        return known[x.shape]

    return fits


def learn(model: Model) -> None:
    """Complete the card before anybody gave an input: from the background, else from inputs that are made up.

    A network that says something of every step has as many numbers as there are steps, which tell nothing of its
    outputs: so what is made up has two lengths, and both are answered alike.
    """
    from model_zoo import learning

    own = model.input
    assert isinstance(own, (SeriesInput, AudioInput))
    first = own.first_row()
    if first is not None:
        model.learn(own.read(first).x)
        return
    try:
        given = [own.read(own.made_up(share)).x for share in (1.0, 0.75)]
        with model.frozen():
            found = [learning.run(model, np.stack([x, x / 2]).astype(x.dtype))[0].shape for x in given]
    except Exception:  # a stranger's network or preprocess may raise anything on what is made up
        return
    if len(found[0]) <= 2 and found[0] == found[1]:
        model.learn(given[0])


def _axis(time_axis: Any) -> int | None:
    whole = isinstance(time_axis, (int, np.integer)) and not isinstance(time_axis, bool)
    if time_axis is not None and not whole:
        raise UserError(
            f"time_axis is an axis of one input by its number, such as -1 for the last; {time_axis!r} came."
        )
    return None if time_axis is None else int(time_axis)


def _first_layer(module: torch.nn.Module | None) -> tuple[Literal["", "convolution", "recurrent"], int]:
    """The first layer that works along time, and how many channels it takes."""
    for one in [] if module is None else module.modules():
        if isinstance(one, torch.nn.Conv1d):
            return "convolution", one.in_channels
        if isinstance(one, torch.nn.RNNBase) and one.batch_first:
            return "recurrent", one.input_size
    return "", 0


def _keeps_a_waveform(heard: AudioInput) -> bool:
    """Whether preprocess returns one row of samples: tried on a second of a tone."""
    try:
        x = heard.read(heard.made_up()).x
    except Exception:  # a stranger's function may raise anything; it is most often a spectrogram
        return False
    return x.size == max(x.shape)
