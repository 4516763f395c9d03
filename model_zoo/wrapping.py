"""wrap(): anybody's trained model made explainable: a torch module, a callable, a fitted estimator.

What a card must say and nobody said is learnt by running the network once (learning.py): at once where the shape of an
input is known, else on the first sample. The module is left as it was: mode, gradients and hooks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch

from model_zoo import estimators, settings, timed
from model_zoo.learning import CannotRun, Wish
from model_zoo.modalities.audio import AudioInput
from model_zoo.modalities.image import ImageInput
from model_zoo.modalities.series import SeriesInput
from model_zoo.modalities.tabular import TableInput
from model_zoo.modalities.text import TextInput
from model_zoo.model import Model
from model_zoo.types import Capability, Column, Input, ModelCard, Output, Sample, Task, UserError, digest

MODALITIES = ("image", "text", "tabular", "series", "audio")
TASKS = ("classification", "binary", "regression")
OUTPUTS = ("logit", "probability", "value")


def wrap(
    network: Any,
    *,
    modality: str = "tabular",
    task: Task | None = None,
    output: Output | None = None,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    background: Any = None,
    preprocess: Callable[[Any], Any] | None = None,
    tokenizer: Any = None,
    embedding: str | torch.nn.Module | None = None,
    baseline: Any = None,
    columns: Sequence[Column] | None = None,
    size: int | tuple[int, int] | None = None,
    limit: int | None = None,
    rate: float | None = None,
    time_axis: int | None = None,
    title: str = "",
    unit: str = "",
    description: str = "",
    device: str | torch.device | None = None,
    input: Input | None = None,
) -> Model:
    """Make a trained model explainable; UserError says in one sentence what does not fit.

    network: torch module; callable on tensors or arrays (n, *x.shape) -> (n, outputs) or (n,); or fitted estimator.
    task: "classification" (the default), "binary" (one column, two classes) or "regression"; one column that is not
        said to be binary is a regression.
    output: what the scores are; None takes rows that add up to 1 as probabilities, others as logits.
    feature_names, columns: for tables, names alone or all that is known; for series feature_names are those of the
        channels. class_names: as many as there are outputs.
    background: rows that stand for the data: (rows, features), a pandas table, a CSV, texts, pictures, series, sounds.
    preprocess: callable(PIL image) -> (C, H, W), callable(row) -> (features,), callable(series or waveform) -> x;
        without it an image model takes floats (C, H, W) as they are, and photos as 0 to 1, squeezed to `size` if that
        is given: (height, width), or one number for a square.
    rate: for sounds, the samples a second that the network takes; recordings at another rate are resampled.
    time_axis: for series and sounds, which axis of one input x is time, -1 for the last: of (channels, steps) it is -1,
        of (steps, channels) 0. Without it the names of the channels, the first layer over time or the longer axis tell.
    tokenizer: tokenizers.Tokenizer, Hugging Face tokenizer or callable text -> ids; at most `limit` tokens are read.
    embedding: the submodule, or its dotted path, that turns token ids into vectors; found by itself as a rule.
    baseline: the default baseline: a name, a number, an array like x, a row; for texts a token or its id.
    input: how the model takes its input, ready made, in place of preprocess, tokenizer, size, limit and baseline.
    """
    settings.one_of("modality", modality, MODALITIES)
    settings.one_of("task", task, (None, *TASKS))
    settings.one_of("output", output, (None, *OUTPUTS))
    settings.agree(task, output)
    device = settings.device(device)
    known = estimators.fitted(network, task, output, columns)
    module = network if isinstance(network, torch.nn.Module) else None
    if known is None and not callable(network):
        raise UserError(
            "A model is a torch module, a callable from inputs to scores or a fitted estimator;"
            f" {type(network).__name__} came."
        )
    if known is not None:
        task, output = settings.of_estimator(network, known, task, output)
        class_names = known.classes if class_names is None else class_names
    if module is not None and device is not None:
        module.to(device)
    if modality == "tabular" and isinstance(background, (str, bytes, os.PathLike)):
        background = TableInput().rows(background)

    found = settings.columns(columns, feature_names, background, known) if modality == "tabular" else ()
    wish = Wish(task, output, None if class_names is None else tuple(map(str, class_names)))
    named = title or getattr(network, "__name__", "") or type(network).__name__
    card = ModelCard(
        id=re.sub(r"\W+", "_", named.lower()).strip("_") or "wrapped",
        title="The model" if named == "<lambda>" else named,
        modality=modality,
        task=task or "classification",
        output="value" if task == "regression" else output or "logit",
        labels=wish.names or (),
        can=_first_guess(modality, module, known),
        description=description,
        digest="" if module is None else state_digest(module),
        unit=unit,
        columns=found,
    )
    taken = (
        input
        or timed.taken(modality, module, feature_names, background, preprocess, baseline, rate, time_axis)
        or _input(modality, module, found, background, preprocess, tokenizer, baseline, size, limit)
    )
    if isinstance(taken, (TableInput, ImageInput, SeriesInput, AudioInput)):
        settings.baseline(baseline, dataclasses.replace(taken, baseline=None).baselines)
    model = Model(
        card,
        network if known is None else known.function,
        taken,
        embedding=_embedding(network, embedding) if modality == "text" else None,
        trees=None if known is None else known.trees,
        arrays=known is not None,
        learn=wish.learn,
    )
    if module is None:
        model.dtype = torch.float64
        model.device = device or torch.device("cpu")
    if isinstance(taken, (SeriesInput, AudioInput)):
        model.input = dataclasses.replace(taken, fits=timed.runs(model))
    _learn_at_once(model, len(found))
    return model


def state_digest(module: torch.nn.Module) -> str:
    """sha256 over the names, types, shapes and bytes of a module's parameters and buffers."""
    parts: list[bytes] = []
    for name, one in sorted(module.state_dict().items()):
        if isinstance(one, torch.Tensor):
            flat = one.detach().cpu().contiguous().reshape(-1)
            parts += [f"{name} {one.dtype} {tuple(one.shape)}".encode(), flat.view(torch.uint8).numpy().tobytes()]
    return digest(*parts)


def _learn_at_once(model: Model, width: int) -> None:
    """Complete the card from a made-up input; where its shape is a guess and fails, the first sample will do."""
    taken, network = model.input, model.network
    if isinstance(taken, TableInput) and width:
        x = np.zeros(width, dtype=taken.dtype)
        try:
            model.learn(taken.background(Sample("tabular", "", x, None)).rows[0])
        except CannotRun as error:
            linear = _first_linear(network)
            if linear is None or linear.in_features == width:
                raise
            raise UserError(
                f"{width:,} features were named or came with the background, and the first nn.Linear of"
                f" {model.card.title} takes {linear.in_features:,}; give one name, and one value in each row, for each"
                " feature."
            ) from error
        return
    with contextlib.suppress(CannotRun):
        if isinstance(taken, TextInput):
            try:
                words = taken.trial()
            except UserError:  # a tokenizer of items, which reads no sentence
                return
            model.learn(words)
        elif isinstance(taken, (SeriesInput, AudioInput)):
            timed.learn(model)
        elif isinstance(taken, ImageInput) and taken.size is not None and taken.preprocess is None:
            _learn_picture(model, taken, taken.size)
        elif isinstance(taken, TableInput) and taken.preprocess is None and isinstance(network, torch.nn.Module):
            linear = _first_linear(network)
            if linear is not None:
                model.learn(np.zeros(linear.in_features, dtype=taken.dtype))


def _first_linear(network: Any) -> torch.nn.Linear | None:
    return next((one for one in _parts(network) if isinstance(one, torch.nn.Linear)), None)


def _learn_picture(model: Model, taken: ImageInput, size: tuple[int, int]) -> None:
    """Complete the card from a made-up picture; a network that takes no other number of channels has its input know."""
    convolution = next((one for one in _parts(model.network) if isinstance(one, torch.nn.Conv2d)), None)
    likely = (3,) if convolution is None else dict.fromkeys((convolution.in_channels, 3))
    for channels in likely if taken.channels is None else (taken.channels,):
        with contextlib.suppress(CannotRun):
            model.learn(np.zeros((channels, *size), dtype=taken.dtype))
            break
    else:
        return
    if taken.channels is None:
        try:
            with model.frozen(), torch.no_grad():
                model.outputs(model.tensor(np.zeros((2, 1 if channels > 1 else 3, *size), dtype=taken.dtype)))
        except Exception:  # a stranger's network may raise anything
            model.input = dataclasses.replace(taken, channels=channels)


def _input(
    modality: str,
    module: torch.nn.Module | None,
    columns: tuple[Column, ...],
    background: Any,
    preprocess: Callable[[Any], Any] | None,
    tokenizer: Any,
    baseline: Any,
    size: Any,
    limit: int | None,
) -> Input:
    """How the model takes its modality; x keeps every bit that the network can use."""
    dtype = timed.precision(module)
    if modality == "tabular":
        return TableInput(
            columns,
            encoding="ordinal" if any(column.kind == "category" for column in columns) else "raw",
            background_rows=background,
            baseline=baseline,
            preprocess=preprocess,
            dtype=dtype,
        )
    if modality == "text":
        settings.limit(limit)
        if limit is None:
            config = getattr(module, "config", None)
            limit = min(512, getattr(config, "max_position_embeddings", 512) or 512)
        return TextInput(tokenizer, limit=limit, baseline=baseline, background_rows=background)
    convolution = next((one for one in _parts(module) if isinstance(one, torch.nn.Conv2d)), None)
    grey = convolution is not None and convolution.in_channels == 1
    return ImageInput(
        size=settings.height_and_width(size),
        channels=1 if grey and preprocess is None else None,
        preprocess=preprocess,
        baseline=baseline,
        background_rows=background,
        dtype=dtype,
    )


def _first_guess(modality: str, module: torch.nn.Module | None, known: estimators.Fitted | None) -> Capability:
    """What can probably be asked, until the network has been run."""
    if known is not None:
        return Capability.NONE if known.trees is None else Capability.TREES
    if modality == "text":
        some = any(isinstance(one, torch.nn.Embedding) for one in _parts(module))
        return Capability.EMBEDDINGS | Capability.GRADIENTS if some else Capability.NONE
    spatial = modality == "image" and any(isinstance(one, torch.nn.Conv2d) for one in _parts(module))
    return Capability.GRADIENTS | (Capability.SPATIAL if spatial else Capability.NONE)


def _embedding(network: Any, embedding: str | torch.nn.Module | None) -> torch.nn.Module | None:
    """The submodule that turns ids into vectors, if it was named or the network names it itself."""
    if isinstance(embedding, torch.nn.Module):
        return embedding
    if isinstance(embedding, str):
        found = dict(network.named_modules()).get(embedding) if isinstance(network, torch.nn.Module) else None
        if found is None:
            some = (
                [n for n, one in network.named_modules() if isinstance(one, torch.nn.Embedding)]
                if _parts(network)
                else []
            )
            raise UserError(
                f"embedding is a submodule or its dotted path; there is no {embedding!r}."
                f" The network's nn.Embedding modules are: {', '.join(some) or 'none'}."
            )
        return found
    if embedding is not None:
        raise UserError(f"embedding is a submodule or its dotted path; {type(embedding).__name__} came.")
    own = getattr(network, "get_input_embeddings", None)
    return cast("torch.nn.Module | None", own()) if callable(own) else None


def _parts(network: Any) -> list[torch.nn.Module]:
    return list(network.modules()) if isinstance(network, torch.nn.Module) else []
