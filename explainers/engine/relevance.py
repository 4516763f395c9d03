"""Layer-wise relevance propagation at the level of operators: what each operation hands down, and what it keeps.

Relevance is carried as R = a · g: an activation times a modified gradient. Where an operation is linear, or doubles
when its input does (ReLU, maximum, pooling), the plain gradient shares R_out = b · g_out among its inputs in proportion
to what each brings, so sums, moves, skips and maxima need no rule of their own; `relevance_rules.py` has those of all
others, `relevance_weights.py` those of layers with weights. They are hooks on the nodes of one run's autograd graph: a
functional call, a module that is used twice and a script are seen like anything else, and the model is never touched.
An operation without a rule is named by NoRule as soon as relevance reaches it.

Not all relevance arrives: biases and other constants keep their part. The ledger says how much and where.
Reference: Bach et al. (2015), doi:10.1371/journal.pone.0130140; Montavon et al. (2019),
doi:10.1007/978-3-030-28954-6_10.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from explainers.engine import graph
from model_zoo.probe.watch import Number, unfused

RECURRENT = ("RNN", "LSTM", "GRU")


class NoRule(Exception):
    """Operations that relevance reached and that have no rule, in plain words."""

    def __init__(self, *found: str) -> None:
        super().__init__("; ".join(found))
        self.found = found


@dataclass(frozen=True)
class Step:
    """One operation as it was run: tensors that depend on the entry are copies from before, `gave` from after."""

    name: str  # "addmm", the same in place
    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    gave: tuple[torch.Tensor, ...]

    def given(self) -> dict[str, Any]:
        """Arguments by the names of the operator's schema, defaults too."""
        schema = self.func._schema.arguments
        found = {one.name: one.default_value for one in schema}
        found.update(zip(found, self.args, strict=False))
        return found | self.kwargs


@dataclass(frozen=True)
class Place:
    """One node on the way: what it does, which inputs depend on the entry, what it was given and who uses it."""

    node: Any
    kind: str
    depends: tuple[bool, ...]
    step: Step | None
    users: tuple[Any, ...]


@dataclass
class Ledger:
    """Where relevance stayed, by reason; `reached` without a rule; `logit` that heads shared, if there are any."""

    kept: dict[str, float] = field(default_factory=dict)
    reached: list[str] = field(default_factory=list)
    logit: float | None = None


Down = tuple[torch.Tensor | None, ...]


@dataclass(frozen=True)
class Handling:
    """How one node hands down: `pre` changes the gradient that arrives, `post` those that leave; what they lose is
    booked under `reason`, unless that is empty."""

    pre: Callable[[torch.Tensor], torch.Tensor] | None = None
    post: Callable[[Down, torch.Tensor], Down] | None = None
    reason: str = ""
    head: bool = False  # the last softmax or sigmoid, left out: what is shared is what it took
    unknown: str = ""  # no rule: in plain words


@dataclass(frozen=True)
class Propagated:
    """Relevance (1, *entry) of `explained`, which is the number itself or the logit below it; and the ledger."""

    relevance: torch.Tensor
    explained: float
    ledger: Ledger


Rules = Callable[[list[Place]], dict[Any, Handling]]


def propagate(number: Number, entry: torch.Tensor, rules: Rules) -> Propagated:
    """Share number(entry) (1,) among the elements of entry (1, *entry); NoRule where that cannot be done."""
    leaf = entry.detach().clone().requires_grad_(True)
    with torch.enable_grad(), unfused(), Watch() as watch:
        said = number(leaf).sum()
    ledger = Ledger()
    nodes = graph.between(said, leaf)
    if not nodes:
        return Propagated(torch.zeros_like(leaf), float(said.detach()), ledger)
    hidden = graph.opaque(nodes)
    if hidden:
        raise NoRule(*(f"an operation with a backward pass of its own ({one})" for one in hidden))
    handles: list[Any] = []
    try:
        places = _places(nodes, watch.steps)
        known = {place.node: place.step for place in places}
        for node, handling in rules(places).items():
            handles += _hooked(node, handling, known[node], ledger)
        (found,) = torch.autograd.grad(said, leaf)
    finally:
        for handle in handles:
            handle.remove()
    if ledger.reached:
        raise NoRule(*dict.fromkeys(ledger.reached))
    explained = float(said.detach()) if ledger.logit is None else ledger.logit
    return Propagated(leaf.detach() * found, explained, ledger)


@contextlib.contextmanager
def elementary(network: Any) -> Iterator[None]:
    """Recurrent layers as the sums and products that they are, not as one operator of a library."""
    was = torch._C._get_mkldnn_enabled(), torch._C._get_cudnn_enabled()
    try:
        if isinstance(network, torch.nn.Module) and any(_recurrent(one) for one in network.modules()):
            torch._C._set_mkldnn_enabled(False)
            torch._C._set_cudnn_enabled(False)
        yield
    finally:
        torch._C._set_mkldnn_enabled(was[0])
        torch._C._set_cudnn_enabled(was[1])


def _recurrent(module: torch.nn.Module) -> bool:
    return getattr(module, "original_name", type(module).__name__) in RECURRENT


def _places(nodes: list[Any], steps: dict[int, Step]) -> list[Place]:
    inside = set(nodes)
    users: dict[Any, list[Any]] = {}
    for node in nodes:
        for below, _ in node.next_functions:
            if below in inside:
                users.setdefault(below, []).append(node)
    places = []
    for node in nodes:
        kind = graph.kind(node)
        within = kind == "CopySlices"  # made after the operation that wrote into a part
        step = steps.get(node._sequence_nr() - within)
        if step is not None and not within and kind.lower() != step.name.replace("_", ""):
            step = None
        depends = tuple(below in inside for below, _ in node.next_functions)
        places.append(Place(node, kind, depends, step, tuple(users.get(node, ()))))
    return places


def _hooked(node: Any, handling: Handling, step: Step | None, ledger: Ledger) -> list[Any]:
    """The hooks of one node, and the books that they keep."""
    arrived: list[torch.Tensor] = []

    def before(above: Any) -> Any:
        if above[0] is None:
            return None
        if handling.unknown and bool(above[0].any()):
            ledger.reached.append(handling.unknown)
        arrived.append(above[0])
        return None if handling.pre is None else (handling.pre(above[0]), *above[1:])

    def after(downward: Any, above: Any) -> Any:
        if not arrived:
            return None
        down = downward if handling.post is None else handling.post(downward, arrived[-1])
        if step is not None and handling.head:
            ledger.logit = (ledger.logit or 0.0) + relevance(step.args[0], above[0])
        elif step is not None and handling.reason:
            pairs = [
                (given, gradient)
                for given, gradient in zip(step.args, down, strict=False)
                if isinstance(given, torch.Tensor) and gradient is not None
            ]
            lost = relevance(step.gave[0], arrived[-1]) - sum(relevance(*one) for one in pairs)
            ledger.kept[handling.reason] = ledger.kept.get(handling.reason, 0.0) + lost
        return down

    return [node.register_prehook(before), node.register_hook(after)]


def relevance(activation: torch.Tensor, gradient: torch.Tensor) -> float:
    """The sum of a · g, in which a masked score of minus infinity, of which nothing is asked, counts nothing."""
    product = torch.where(gradient == 0, 0.0, activation.detach() * gradient)
    return float(product.sum())


class Watch(TorchDispatchMode):
    """Keeps each operation on numbers that depend on the entry, by the number of its node in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[int, Step] = {}
        self._copied = (-1, 0)  # node and argument of the operation before this one, if that was a copy

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        depends = any(isinstance(one, torch.Tensor) and one.requires_grad for one in tree_leaves((args, kwargs)))
        # A detach saves a result, inside an operation of the same name; a function of its own runs without gradients.
        if not depends or not torch.is_grad_enabled() or name == "detach":
            return func(*args, **kwargs)
        node = torch.autograd._get_sequence_nr() - 1
        copied, self._copied = self._copied, (node, id(args[0])) if name == "clone" else (-1, 0)
        if func._schema.name.endswith("_") and copied == (node, id(args[0])):
            node -= 1  # what is overwritten was copied first, with a node of its own
        keeps = name.lstrip("_") not in MOVES
        kept = tree_map(_copy, (args, kwargs)) if keeps else ((), {})
        result = func(*args, **kwargs)
        gave = tuple(one for one in tree_leaves(result) if isinstance(one, torch.Tensor)) if keeps else ()
        step = Step(name, func, kept[0], kept[1], tuple(one.detach().clone() for one in gave))
        self.steps[node] = step
        return result


# Of these nothing need be known but that they were here.
MOVES = {
    "view", "unsafe_view", "reshape", "reshape_alias", "permute", "transpose", "t", "squeeze", "unsqueeze", "expand",
    "clone", "alias", "slice", "select", "split", "split_with_sizes", "unsafe_split", "unbind", "cat", "stack",
    "to_copy", "copy", "as_strided", "index", "gather", "sum", "mean",
}  # fmt: skip


def _copy(one: Any) -> Any:
    """A copy of what depends on the entry, since the network may go on in place; constants as they are."""
    return one.detach().clone() if isinstance(one, torch.Tensor) and one.requires_grad else one
