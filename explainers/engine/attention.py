"""What attention methods look at: the attention layers that one input goes through, and where the score is read from.

A classifier may read its answer from the first token, from the last one or from the mean of all. The gradient tells
which: in the last layer only the rows of positions that are read have one. Where there is no gradient, the first token
is read if it is a special one (a classification token), the last if no token looks ahead, and else the mean of all.
Of an encoder with a decoder, layers `within` the sequence are the encoder's, those `across` the decoder's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch

from explainers.engine.reading import Place
from explainers.types import Attribution
from model_zoo import probe
from model_zoo.probe.tokens import MOST_EXTRA, grid
from model_zoo.types import Capability, Players, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

UNIT = "share of attention"
INSTEAD = {
    "text": "Use another method, such as integrated gradients or partition SHAP.",
    "image": "Use another method, such as Grad-CAM or integrated gradients.",
}

_refusals: WeakKeyDictionary[Model, dict[tuple[object, ...], str | None]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Layer:
    """One layer as arrays, float64: map and gradient (heads, targets, sources); see model_zoo.probe.Heads."""

    map: np.ndarray
    gradient: np.ndarray | None
    value: np.ndarray | None  # (heads, sources, width)
    projection: np.ndarray | None  # (heads, width, state)


@dataclass(frozen=True)
class Seen:
    """The attention layers among the tokens of one input; rows pay attention to columns."""

    layers: tuple[Layer, ...]
    readers: np.ndarray  # (tokens,) bool: the positions that the score is read from, or the one that was asked for
    place: Place
    asked: bool = False  # for a position
    left_out: int = 0  # layers that are not among all tokens

    @property
    def maps(self) -> tuple[np.ndarray, ...]:
        """(heads, tokens, tokens) of each layer."""
        return tuple(one.map for one in self.layers)

    @property
    def gradients(self) -> tuple[np.ndarray, ...] | None:
        """Of the target with respect to the maps, of the same shapes."""
        found = tuple(one.gradient for one in self.layers if one.gradient is not None)
        return found if len(found) == len(self.layers) else None

    def read(self, tokens: np.ndarray) -> np.ndarray:
        """Row of the position that the score is read from, or the mean of such rows: (tokens, tokens) -> (tokens,)."""
        found: np.ndarray = tokens[self.readers].mean(0)
        return found

    def attribution(
        self,
        row: np.ndarray,
        sample: Sample,
        players: Players,
        interpolation: str,
        unit: str,
        *notes: str,
        shares: bool = True,
    ) -> Attribution:
        """Numbers (tokens,) as values, with all maps in the extras and whose attention it is in the notes.

        shares: they are parts of a whole, so that it means something how much of it is nobody's.
        """
        values, extras = self.place.values(row, sample, players, interpolation)
        nobodys = self.place.nobodys(row, players) if shares else ()
        said = (self._reading(), *nobodys, *self._others(), *notes)
        if self.place.rows:
            unit = f"{unit} per patch"
        return Attribution(values, unit=unit, extras=self.place.extras(self.maps) | extras, notes=said)

    def _reading(self) -> str:
        count, size = int(self.readers.sum()), len(self.readers)
        if self.asked:
            return f"This is what token {int(np.argmax(self.readers)) + 1} of {size} attends to, as was asked for."
        if count > 1:
            return f"The model reads its score from {count} of {size} tokens: this is what they attend to on average."
        place = int(np.argmax(self.readers)) + 1
        return f"The model reads its score from token {place} of {size}: this is what that token attends to."

    def _others(self) -> tuple[str, ...]:
        if not self.left_out:
            return ()
        layers = "1 more attention layer is" if self.left_out == 1 else f"{self.left_out} more attention layers are"
        return (f"{layers} not among all of these tokens, such as a decoder's, and left out.",)


def look(model: Model, sample: Sample, target: Target, players: Players, run: Run, position: int = -1) -> Seen:
    """Run the model once, and back where it has gradients; UserError if it shows no attention over the tokens."""
    run.expect(1)
    backward = Capability.GRADIENTS in model.can

    def watch(number: probe.Number, entry: torch.Tensor) -> probe.Attention:
        if backward:
            return probe.attention_with_gradients(number, entry)
        return probe.attention(lambda: number(entry), entry=entry)

    found = run.evaluator.inside(model.tensor(sample.x[None]), target, watch, backward)
    kept, place = within(found, sample, model)
    layers = tuple(_layer(one) for one in kept)
    if position >= 0:
        if position >= place.count:
            raise UserError(
                f"position lies between 0 and {place.count - 1}, the last token that {model.card.title} sees of this"
                f" input, or is -1; {position} came."
            )
        readers = np.arange(place.count) == position
    else:
        special = place.own < place.count or (not place.rows and bool(players.owner[0] < 0))
        readers = _readers(layers[-1].map, layers[-1].gradient, special)
        # A network that reads its own token at the end has put it there.
        own = np.flatnonzero(readers)
        if place.own < place.count and len(own) == 1 and own[0] >= place.own:
            place = Place(place.count, 0, place.own, place.rows, place.columns)
    return Seen(layers, readers, place, position >= 0, len(found.layers) - len(kept))


def within(found: probe.Attention, sample: Sample, model: Model) -> tuple[tuple[probe.Heads, ...], Place]:
    """The layers among all tokens of the input, first layer first; UserError where there are none."""
    layers = tuple(one for one in found.layers if one.within)
    readable = tuple(one for one in found.layers if one.across and _place(one.map.shape[-1], found, sample) is not None)
    encoder = found.below(readable)
    layers = encoder or layers
    title = model.card.title
    if sample.modality == "image":
        counts = {one.map.shape[-1] for one in layers}
        if any(one.windowed for one in layers) or len(counts) > 1:
            raise UserError(
                f"{title} attends within windows or over merged patches: its maps do not lie over one grid of patches,"
                f" and cannot be followed through its layers. {INSTEAD['image']}"
            )
    places = [_place(one.map.shape[-1], found, sample) for one in layers if not one.windowed]
    fitting = [one for one in places if one is not None]
    if not fitting:
        parts = f"the {len(sample.x)} tokens of the text" if sample.modality == "text" else "the patches of the image"
        raise UserError(
            f"{title} was expected to compute attention between {parts}; none was seen"
            f" by the probe. {INSTEAD[sample.modality]}"
        )
    place = min(fitting, key=lambda one: one.count)
    return tuple(one for one in layers if one.map.shape[-1] == place.count and not one.windowed), place


def across(found: probe.Attention, sample: Sample, model: Model) -> tuple[tuple[probe.Heads, ...], Place]:
    """The layers in which another sequence looks at the tokens of the input; UserError where there are none."""
    seen = [(one, _place(one.map.shape[-1], found, sample)) for one in found.layers if one.across]
    places = [place for _, place in seen if place is not None]
    if not places:
        parts = "tokens of the text" if sample.modality == "text" else "patches of the image"
        raise UserError(
            f"{model.card.title} has no cross-attention: nothing but the {parts} themselves, such as a decoder, was"
            f" seen to look at them. Use attention instead."
        )
    place = min(places, key=lambda one: one.count)
    return tuple(one for one, its in seen if its == place), place


def refusal(kind: str, model: Model, sample: Sample) -> str | None:
    """Why there is no attention "within" or "across" to be read; found out once for a model and a shape of input."""
    known = _refusals.setdefault(model, {})
    key = (kind, id(model.network), sample.x.shape)
    if key not in known:
        inputs = model.tensor(sample.x[None])
        try:
            with torch.no_grad():
                entry = model.entry(inputs)
                found = probe.attention(lambda: model.forward_entry(entry, inputs), entry=entry)
            (within if kind == "within" else across)(found, sample, model)
            known[key] = None
        except UserError as error:
            known[key] = str(error)
    return known[key]


def arrays(layers: tuple[probe.Heads, ...]) -> tuple[Layer, ...]:
    """The layers as arrays of the one input that was run."""
    return tuple(_layer(one) for one in layers)


def _place(tokens: int, found: probe.Attention, sample: Sample) -> Place | None:
    """How so many tokens lie over the input: those that the network adds are taken to come first."""
    if sample.modality == "text":
        extra = tokens - len(sample.x)
        return Place(tokens, extra, len(sample.x)) if 0 <= extra <= MOST_EXTRA else None
    height, width = sample.x.shape[-2:]
    lies = grid(tokens, found.sizes, (height, width))
    return None if lies is None else Place(tokens, lies.extra, lies.rows * lies.columns, lies.rows, lies.columns)


def _readers(last: np.ndarray, gradient: np.ndarray | None, special: bool) -> np.ndarray:
    """Which positions the score is read from, bool (tokens,), by the last layer's map (heads, tokens, tokens)."""
    size = last.shape[-1]
    if gradient is not None:
        read: np.ndarray = np.abs(gradient * last).sum((0, 2)) > 0
        if read.any():
            return read
    position = np.arange(size)
    looks_ahead = np.triu(last, 1).any()
    if size > 1 and not looks_ahead:
        return position == size - 1
    return position == 0 if special else np.ones(size, dtype=bool)


def _layer(one: probe.Heads) -> Layer:
    def array(found: torch.Tensor | None) -> np.ndarray | None:
        return None if found is None else found.cpu().double().numpy()

    map, gradient, value = array(one.map), array(one.gradient), array(one.value)
    assert map is not None
    return Layer(
        map[0],
        None if gradient is None else gradient[0],
        None if value is None else value[0],
        array(one.projection),
    )
