"""Follows feature maps through a network, operator by operator, and the tokens that their cells become.

A map is the output of a convolution, or what elementwise, pooling and normalising operations make of it, while it keeps
two axes longer than 1, channels first or last. Where patches become tokens, states are told by their shape: what a norm
returns, and the sum of two states, which is what a residual block hands on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from model_zoo.probe.tokens import NORMS, WRITTEN_OUT, Layout, layout
from model_zoo.probe.watch import Watch

# These bring a new meaning to the axes, or to the places: a row of pixels may be a head, a token or another row after.
REARRANGING = ("view", "reshape", "permute", "transpose", "expand", "mm", "unfold", "squeeze", "roll", "flip", "rot90")
TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]  # how axes are permuted to have the channels last, and back
LAST = Layout(0, 0, flat=False)  # how a map lies whose channels are the last axis


@dataclass(frozen=True)
class Seen:
    """One map: what an operator returned, and how that lies over the image where its channels are not first."""

    output: torch.Tensor
    layer: str
    operator: str
    layout: Layout | None = None
    whole: bool = True  # false for what may be no more than a step of some normalisation

    def as_map(self, found: torch.Tensor) -> torch.Tensor:
        """The output, or its gradient, as (batch, channels, height, width)."""
        return found if self.layout is None else self.layout.as_map(found)


class SpatialWatch(Watch):
    """Keeps every map with the node of the autograd graph that it belongs to.

    The engine numbers the nodes in order, and an operation's node is made before it runs, so the latest number names
    the node of a map: where a gradient can be asked for, without a module to hook.
    """

    def __init__(self, path: Callable[[], str] = str, moment: Callable[[], int] = int) -> None:
        super().__init__()
        self.batch = 0  # rows of the first map; 0 while there is none
        self.cells = 0  # of the last map
        self.when = 0  # what `moment` said at the last map
        self.tokens = False  # whether a normalised state of patches was seen
        self.grid = False  # whether any state of patches was seen
        self.plain: dict[int, Seen] = {}  # by node
        self.custom: dict[int, Seen] = {}  # the same for autograd functions of people's own
        self._sizes: dict[tuple[int, int], None] = {}  # of the maps, in the order in which they were seen
        self._path = path
        self._moment = moment
        self._maps: dict[int, tuple[torch.Tensor, bool]] = {}  # by id; kept, so that no other tensor gets the id
        self._places: dict[int, tuple[dict[int, Seen], int, Seen]] = {}  # by id: where what was seen is kept
        self._copied = (-1, 0)  # node and argument of the operation before this one, if that was a copy

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """A map is followed through what keeps its axes; a state of tokens is told by its shape."""
        outputs = result if isinstance(result, list) else [result[0] if isinstance(result, tuple) else result]
        name = func._schema.name.removeprefix("aten::")
        node = self._node(name, args)
        if name == "permute":
            self._turn(args[0], args[1], outputs[0])
        elif "conv" in name:
            self._follow(outputs, name, node, False)
        elif not any(word in name for word in REARRANGING):
            followed = self._followed(args)
            if followed:
                self._follow(outputs, name, node, followed[0])
            elif outputs:
                self._state(outputs[0], args, name, node)

    def layout(self, found: Any) -> Layout | None:
        """How a state lies over the maps that were seen; None for a map, too."""
        if not isinstance(found, torch.Tensor) or found.shape[:1] != (self.batch,):
            return None
        if (known := self._maps.get(id(found))) is not None:
            return LAST if known[1] else None
        return layout(found, reversed(self._sizes))

    def at(self, node: Any) -> Seen | None:
        """The map that this node of the graph made, with its layer and operator."""
        own = isinstance(node, torch.autograd.function.BackwardCFunction)
        found = (self.custom if own else self.plain).get(node._sequence_nr())
        return None if found is None or (self.tokens and not found.whole) else found

    # -- what an operator returned -------------------------------------------------------------------------------

    def _turn(self, given: torch.Tensor, axes: list[int], output: torch.Tensor) -> None:
        """Channels brought to the end, as some libraries have them, and back again."""
        last = self._maps.get(id(given), (None, None))[1]
        if last is not None and list(axes) == (TO_FIRST if last else TO_LAST):
            self._maps[id(output)] = output, not last

    def _follow(self, outputs: list[Any], name: str, node: int, last: bool) -> None:
        maps = [one for one in outputs if isinstance(one, torch.Tensor) and is_map(one, last)]
        self._maps |= {id(one): (one, last) for one in maps}
        if len(maps) != 1 or len(outputs) > 1:
            return
        self.batch = self.batch or len(maps[0])
        if len(maps[0]) != self.batch:  # heads or windows beside one another
            return
        rows, columns = maps[0].shape[1:3] if last else maps[0].shape[-2:]
        self.cells, self.when = rows * columns, self._moment()
        self._sizes.pop((rows, columns), None)
        self._sizes[rows, columns] = None
        self.tokens |= last and name in NORMS
        self._keep(Seen(maps[0], self._path(), _short(name), LAST if last else None), node)

    def _state(self, output: Any, args: tuple[Any, ...], name: str, node: int) -> None:
        name = name.rstrip("_")
        if (name not in NORMS and name not in WRITTEN_OUT) or (found := self.layout(output)) is None:
            return
        terms = [one for one in args[:2] if isinstance(one, torch.Tensor) and one.shape == output.shape]
        whole = name in NORMS or (name == "add" and len(terms) == 2)
        self.tokens |= name in NORMS
        self.grid |= whole
        self._keep(Seen(output, self._path(), _short(name), found, whole), node)

    # -- where it belongs ----------------------------------------------------------------------------------------

    def _node(self, name: str, args: tuple[Any, ...]) -> int:
        """The number of this operation's node."""
        node = torch.autograd._get_sequence_nr() - 1
        copied, self._copied = self._copied, (node, id(args[0])) if name == "clone" else (-1, 0)
        if not args or not name.endswith("_"):
            return node
        if id(args[0]) in self._places:  # what was seen there is no more
            kept, place, seen = self._places.pop(id(args[0]))
            if kept.get(place) is seen:
                del kept[place]
        # Where the slope depends on what is overwritten, that is copied first, with a node of its own.
        return node - 1 if copied == (node, id(args[0])) else node

    def _keep(self, seen: Seen, node: int) -> None:
        kept = self.plain if torch.is_grad_enabled() else self.custom
        if kept is self.plain and node in kept:  # a later one has no node of its own
            return
        kept[node] = seen  # of a custom function, the last operation gives its output
        self._places[id(seen.output)] = kept, node, seen

    def _followed(self, args: tuple[Any, ...]) -> list[bool]:
        """Of each argument that is a map: whether its channels are last."""
        tensors = [one for arg in args for one in (arg if isinstance(arg, (list, tuple)) else (arg,))]
        return [self._maps[id(one)][1] for one in tensors if id(one) in self._maps]


def is_map(found: torch.Tensor, last: bool = False) -> bool:
    """Whether features have two spatial axes; `last`: their channels are the last axis."""
    if found.ndim != 4 or not found.is_floating_point():
        return False
    return min(found.shape[1:3] if last else found.shape[-2:]) > 1


def _short(name: str) -> str:
    """An operator's name in a sentence."""
    return name.strip("_").removeprefix("native_")
