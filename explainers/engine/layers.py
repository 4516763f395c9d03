"""One named layer of a network: what it gives, something else in its place, and the way back from its units.

A layer is a module, named by its dotted path. Its hooks live as long as one call. Where a layer's output lies over the
input, as a feature map over an image or the embedding over tokens, what its units receive can be shown there; from any
other layer the way back is through the network: a unit's credit goes to what moved the unit.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from explainers.words import number as words
from model_zoo.probe.follow import SpatialWatch
from model_zoo.probe.watch import Number, unfused
from model_zoo.types import Sample, UserError

if TYPE_CHECKING:
    from model_zoo.model import Model

STRONGEST = 5  # units that a note names
EMBEDDING = "the embedding"


@dataclass(frozen=True)
class Layer:
    """A layer as it was seen on one input: `shape` of its output without the batch, and how that lies over the input.

    module None: the entry point itself, where token ids have become vectors. channels: the axis that tells units apart.
    as_map: from an output (n, *shape) to maps (n, channels, height, width); None where it is no map of the input.
    """

    name: str
    module: torch.nn.Module | None
    shape: tuple[int, ...]
    channels: int
    as_map: Callable[[torch.Tensor], torch.Tensor] | None = None

    @property
    def title(self) -> str:
        """What a sentence calls it."""
        if self.module is None:
            return EMBEDDING
        return f"layer {self.name}" if self.name else "the network's output"

    def at(self, number: Number, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The number (n,) at entry points (n, *entry), and what the layer gave there (n, *shape), differentiable."""
        if self.module is None:
            return number(points), points
        kept: list[torch.Tensor] = []

        def keep(module: Any, args: Any, output: Any) -> Any:
            found = _tensor(output)
            assert found is not None
            kept.append(found)
            # What follows may work in place: it gets a copy, so that what was kept stays as the layer left it.
            return _with(output, found.clone())

        with unfused(), _hooked(self.module, keep):
            said = number(points)
        return said, kept[0]

    def instead(self, number: Number, points: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """The number (n,) at entry points (n, *entry) with the layer giving `given` (n, *shape)."""
        if self.module is None:
            return number(given)
        with unfused(), _hooked(self.module, lambda module, args, output: _with(output, given.clone())):
            return number(points)

    def units(self, shares: np.ndarray) -> np.ndarray:
        """Shares of an output (*shape) by unit: summed over places, so that channels or features are left."""
        return np.moveaxis(shares, self.channels, 0).reshape(shares.shape[self.channels], -1).sum(1)

    def strongest(self, units: np.ndarray, whose: str) -> str:
        """A sentence that names the units with the largest shares."""
        order = np.argsort(-np.abs(units), kind="stable")[:STRONGEST]
        said = ", ".join(f"{unit} ({'+' if units[unit] > 0 else ''}{words(float(units[unit]))})" for unit in order)
        kind = "Channels" if self.as_map is not None else "Units"
        return f"{kind} of {self.title} with the largest {whose}, of {len(units):,}: {said}."


def find(model: Model, sample: Sample, name: str, last: bool) -> Layer:
    """The layer of this name; else a default: an image's last feature map, or a hidden layer, the last or the first.

    For token ids without a name and not `last`, the embedding. UserError where there is no such layer, or it cannot be
    looked at.
    """
    network = model.network
    if not isinstance(network, torch.nn.Module) or isinstance(network, torch.jit.ScriptModule):
        raise UserError(
            f"{model.card.title} has no layers that can be told apart by name: it is a function or a script. Use"
            " integrated gradients instead."
        )
    if not name and not last and model.embedding is not None:
        return _entry("", model, sample)
    modules = dict(network.named_modules())
    if name and name not in modules:
        near = difflib.get_close_matches(name, [one for one in modules if one], n=3, cutoff=0.0)
        listed = f"the nearest are {', '.join(map(repr, near))}" if near else "it has no named layers"
        raise UserError(f"The network has no layer {name!r}; {listed}. Leave it empty to have one chosen.")
    if name and modules[name] is model.embedding:
        return _entry(name, model, sample)
    seen = _walk(model, sample)
    if name:
        return _layer(_named(name, seen), model, sample)
    usable = [one for one in seen.values() if one.calls == 1 and one.batched]
    chosen = _default(usable, last)
    if chosen is None:
        raise UserError(
            f"{model.card.title} has no layer that can be looked at by name. Use integrated gradients instead."
        )
    return _layer(chosen, model, sample)


def summed(layer: Layer, shares: np.ndarray) -> np.ndarray:
    """Shares of a feature map's output (*shape) by cell (height, width)."""
    assert layer.as_map is not None
    return layer.as_map(torch.as_tensor(shares)[None])[0].sum(0).numpy()


def spread(shares: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Shares of cells (height, width) laid over pixels (*size): bilinear, what a cell's pixels get is its share."""
    rows, columns = (_weights(small, large) for small, large in zip(shares.shape, size, strict=True))
    return rows @ shares @ columns.T


def _weights(small: int, large: int) -> np.ndarray:
    """How each of `small` cells is shared among `large` pixels, (large, small); each column adds up to one."""
    places = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    found = np.maximum(1 - np.abs(places[:, None] - np.arange(small)), 0)
    missed = found.sum(0) == 0  # more cells than pixels
    found[np.minimum(np.flatnonzero(missed) * large // small, large - 1), np.flatnonzero(missed)] = 1
    return found / found.sum(0)


def _entry(name: str, model: Model, sample: Sample) -> Layer:
    shape = tuple(model.entry(model.tensor(sample.x[None])).shape[1:])
    return Layer(name, None, shape, len(shape) - 1)


def _layer(one: _Seen, model: Model, sample: Sample) -> Layer:
    """With the axis of its units: the channels of convolutions come first, the features of tokens last."""
    first = len(one.shape) > 2
    if len(one.shape) == 2 and sample.modality != "text" and one.as_map is None:
        first = any(isinstance(part, torch.nn.Conv1d) for part in model.network.modules())  # type: ignore[attr-defined]
    if one.as_map is not None:
        maps = one.as_map(torch.zeros(1, *one.shape))
        first = tuple(maps.shape[1:]) == one.shape and len(one.shape) == 3
    return Layer(one.name, one.module, one.shape, 0 if first else len(one.shape) - 1, one.as_map)


# -- choosing ----------------------------------------------------------------------------------------------------


@dataclass
class _Seen:
    """A module that ran: how often, what it gave, whether that is one row an input."""

    name: str
    module: torch.nn.Module
    calls: int = 0
    shape: tuple[int, ...] = ()
    batched: bool = False
    place: tuple[int, int] = (0, 0)  # the output's memory and its state, the same for one that hands on what it took
    kept: torch.Tensor | None = None  # so that no other output gets that memory
    as_map: Callable[[torch.Tensor], torch.Tensor] | None = None
    said: str = ""  # what it gave, for a sentence

    @property
    def weighted(self) -> bool:
        """Whether the module itself has weights, rather than its parts."""
        return next(self.module.parameters(recurse=False), None) is not None


def _walk(model: Model, sample: Sample) -> dict[str, _Seen]:
    """Every module that runs, in the order in which they finish; two inputs at once, to see which axis is theirs."""
    seen: dict[str, _Seen] = {}
    inputs = model.tensor(np.stack([sample.x, sample.x]))
    entry = model.entry(inputs).detach().requires_grad_(True)
    image = sample.modality == "image"

    def look(one: _Seen, output: Any, watch: SpatialWatch) -> None:
        one.calls += 1
        found = _tensor(output)
        one.said = type(output).__name__ if found is None else str(tuple(found.shape))
        if found is None or not found.requires_grad or found.ndim < 2:
            return  # no numbers, or none that depend on the input
        one.shape, one.batched, one.kept = tuple(found.shape[1:]), len(found) == 2, found.detach()
        one.place = found.data_ptr(), found._version
        if image and one.batched:
            map_ = watch.at(found.grad_fn)
            if map_ is not None and (map_.layout is None or map_.layout.extra == 0):
                one.as_map = map_.as_map

    with contextlib.ExitStack() as stack:
        watch = SpatialWatch()
        for name, module in model.network.named_modules():  # type: ignore[attr-defined]
            if isinstance(module, torch.jit.ScriptModule) or module is model.embedding:
                continue
            one = _Seen(name, module)

            def hook(module: Any, args: Any, output: Any, one: _Seen = one) -> None:
                seen.setdefault(one.name, one)
                look(one, output, watch)

            stack.enter_context(_hooked(module, hook))
        stack.enter_context(unfused())
        stack.enter_context(torch.enable_grad())
        stack.enter_context(watch)
        model.forward_entry(entry, inputs)
    return seen


def _default(usable: list[_Seen], last: bool) -> _Seen | None:
    maps = [one for one in usable if one.as_map is not None]
    if maps:
        return next(one for one in maps if one.place == maps[-1].place and one.shape == maps[-1].shape)
    weighted = [one for one in usable if one.weighted]
    if not weighted:
        return usable[-1] if usable else None
    if len(weighted) == 1:
        return weighted[0]
    if not last:
        return weighted[0]
    before = usable[: usable.index(weighted[-1])]
    return next(one for one in before if one.place == before[-1].place and one.shape == before[-1].shape)


def _named(name: str, seen: dict[str, _Seen]) -> _Seen:
    one = seen.get(name)
    if one is None:
        raise UserError(f"Layer {name!r} is not run for this input; choose another.")
    if one.calls > 1:
        raise UserError(f"Layer {name!r} is run {one.calls} times for one input; choose a layer that is run once.")
    if not one.batched:
        raise UserError(
            f"Layer {name!r} gives {one.said} for two inputs; a layer is expected to give numbers with one row for each"
            " input. Choose another."
        )
    return one


# -- hooks -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _hooked(module: torch.nn.Module | None, hook: Callable[..., Any]) -> Iterator[None]:
    if module is None:
        yield
        return
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _tensor(output: Any) -> torch.Tensor | None:
    """What a layer gives: a tensor, or the first of several."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], torch.Tensor):
        return output[0]
    return None


def _with(output: Any, first: torch.Tensor) -> Any:
    if isinstance(output, torch.Tensor):
        return first
    if hasattr(output, "_fields"):  # a named tuple
        return output._replace(**{output._fields[0]: first})
    return type(output)([first, *output[1:]])
