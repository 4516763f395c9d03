"""What the probe remembers of each tensor: which states it was made from, and whether it holds attention.

Attention between the tokens of one sequence has queries and keys made from the same state; cross-attention has them
from two. A state is told by its sources: the look-up of an embedding, the entry point, the output of an attention
layer. Other operators pass on the sources of what they are given, weights have none. A tensor is known by its memory,
which views and work in place share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

Sources = frozenset[int]

# These give the values of what they are given, in memory of their own.
COPIES = ("clone", "_to_copy", "contiguous", "_reshape_copy", "expand_copy", "view_copy", "masked_fill", "alias_copy")


@dataclass(frozen=True)
class Trace:
    """What is known of one tensor; a layer is told by its place in the order of computation."""

    sources: Sources = frozenset()
    pair: tuple[Sources, Sources] | None = None  # of the two factors, where this is a product, perhaps scaled, masked
    chances: int | None = None  # the layer of which these are the probabilities
    mixed: int | None = None  # the layer of which these are values, mixed by its probabilities
    projected: int | None = None  # the same after one linear map


NOTHING = Trace()


class Lineage:
    """Traces by memory; a new tensor in the same memory replaces what was known of the old one."""

    def __init__(self) -> None:
        self._traces: dict[int, Trace] = {}
        self._count = 0

    def of(self, found: Any) -> Trace:
        """What is known of a tensor."""
        return self._traces.get(_memory(found), NOTHING) if isinstance(found, torch.Tensor) else NOTHING

    def fresh(self) -> int:
        """A source that no other tensor has."""
        self._count += 1
        return self._count

    def mark(self, found: torch.Tensor, **about: Any) -> None:
        """Add to what is known of a tensor, and of all that shares its memory."""
        self._traces[_memory(found)] = replace(self.of(found), **about)

    def follow(self, name: str, given: list[torch.Tensor], result: Any) -> None:
        """Pass on what is known of the arguments of an operator to its results."""
        known = [self.of(one) for one in given]
        taken = {_memory(one) for one in given}
        sources = frozenset[int]().union(*(one.sources for one in known))
        if "embedding" in name:
            sources |= {self.fresh()}
        pair = next((one.pair for one in known if one.pair is not None), None)
        whole = known[0] if name in COPIES and known else NOTHING
        made = Trace(sources, pair, whole.chances, whole.mixed, whole.projected)
        for one in result if isinstance(result, (list, tuple)) else (result,):
            if not isinstance(one, torch.Tensor):
                continue
            memory = _memory(one)
            if memory not in taken:
                self._traces[memory] = made
            elif sources - self.of(one).sources:  # something was written into it
                self._traces[memory] = replace(made, pair=self.of(one).pair or pair)


def tensors(args: Any) -> list[torch.Tensor]:
    """The tensors among the arguments of an operator, those in lists too."""
    found: list[torch.Tensor] = []
    for one in args:
        if isinstance(one, torch.Tensor):
            found.append(one)
        elif isinstance(one, (list, tuple)):
            found += [part for part in one if isinstance(part, torch.Tensor)]
    return found


def _memory(found: torch.Tensor) -> int:
    try:
        return found.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # sparse, nested and other tensors without one memory
        return -id(found)
