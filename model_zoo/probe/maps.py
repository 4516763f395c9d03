"""The nouns of attention as the probe sees it: a layer's heads, and all layers of one run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from model_zoo.probe.lineage import Sources


@dataclass(frozen=True)
class Heads:
    """The heads of one attention layer.

    map, gradient: (batch, heads, targets, sources); rows are who pays attention, columns to whom. A layer that the
        score does not depend on has a gradient of zeros; None where none was asked for.
    value: (batch, heads, sources, width) that the maps mix; None where the product was not seen.
    projection: (heads, width, state), the linear map that the mixed values go through next; None if none was seen.
    crossed: queries and keys come from two states, as a decoder's and an encoder's; related: they share a source.
    windowed: there are more maps than heads: the tokens of each window attend to one another alone.
    """

    map: torch.Tensor
    gradient: torch.Tensor | None = None
    value: torch.Tensor | None = None
    projection: torch.Tensor | None = None
    crossed: bool = False
    related: bool = True
    windowed: bool = False
    fused: bool = False
    source: int = 0  # names the output of the layer
    made_from: Sources = frozenset()  # what its queries, keys and values were made from
    keys_from: Sources = frozenset()  # what its keys were made from

    @property
    def within(self) -> bool:
        """Attention among the tokens of one sequence."""
        return not self.crossed and self.map.shape[-1] == self.map.shape[-2]

    @property
    def across(self) -> bool:
        """Attention to the tokens of another sequence, such as an encoder's or those that a learned query reads."""
        return self.crossed or (not self.related and self.map.shape[-1] != self.map.shape[-2])


@dataclass(frozen=True)
class Attention:
    """Every attention layer in the order of computation."""

    layers: tuple[Heads, ...]
    sizes: tuple[tuple[int, int], ...] = ()  # rows and columns of maps of convolutions and pools, latest first

    @cached_property
    def maps(self) -> tuple[torch.Tensor, ...]:
        """Maps (batch, heads, tokens, tokens) of the layers within a sequence."""
        return tuple(one.map for one in self.layers if one.within)

    @cached_property
    def gradients(self) -> tuple[torch.Tensor, ...] | None:
        """Gradients of the same shapes; None where they were not asked for."""
        found = [one.gradient for one in self.layers if one.within]
        return None if any(one is None for one in found) else tuple(one for one in found if one is not None)

    def below(self, top: tuple[Heads, ...]) -> tuple[Heads, ...]:
        """The layers within a sequence that the keys of these layers were made from: of an encoder, by its decoder."""
        known = {one.source: one.made_from for one in self.layers}
        waiting, reached = [source for one in top for source in one.keys_from], set[int]()
        while waiting:
            source = waiting.pop()
            if source not in reached:
                reached.add(source)
                waiting += known.get(source, ())
        return tuple(one for one in self.layers if one.within and one.source in reached)
