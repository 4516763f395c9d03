"""DeepLIFT's rescale rule at the level of operators: the slopes that carry a difference through a network exactly.

The reference goes through first, and what every activation took and gave is kept; then the input goes through. Where
an activation took a and a' (reference) and gave b and b', its backward pass multiplies by the secant's slope
    (b - b') / (a - a')
instead of the gradient, which stays where a and a' are equal up to rounding. A maximum over several numbers shares
b - b' as Captum does: max(b, b') - b' to the place where the input was largest, b - max(b, b') to the reference's.
What results, m, gives each element m_i (x_i - x'_i); these add up to F(x) - F(x') as long as everything between is
linear or such an activation, which is looked up for each operation: NoRule says what is not.

Constants are compared too: a mask, a detached number or a branch that depends on the input changes F without a
gradient, and so escapes every method of this kind.
Reference: Shrikumar, Greenside and Kundaje (2017), arXiv:1704.02685; Ancona et al. (2018), arXiv:1711.06104.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from explainers.engine import graph
from model_zoo.probe.watch import Number, unfused

ROUNDING = 32  # units in the last place within which two numbers count as equal
TINY = 1e-10  # Captum's
# Operators by the name of their node.
ACTIVATIONS = {
    "relu", "leaky_relu", "_prelu_kernel", "elu", "celu", "sigmoid", "tanh", "softplus", "hardtanh", "clamp",
    "clamp_min", "clamp_max", "threshold", "hardsigmoid", "log_sigmoid_forward", "maximum", "minimum",
}  # fmt: skip
MAXIMA = {"max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d", "max",
          "amax"}  # fmt: skip
BRANCH = "steps that are taken for one input and not for another"
MASK = "numbers that change with the input without a gradient, such as a mask or a detached tensor"

Rule = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (gradient in, gradient out) -> what goes on down


class NoRule(Exception):
    """Something between the input and the number escapes the rule; says what."""

    def __init__(self, *found: str) -> None:
        super().__init__("; ".join(found))
        self.found = found


@dataclass(frozen=True)
class Compared:
    """Multipliers (n, *entry) and the numbers (n,) at the reference and at the input."""

    multipliers: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor


def compare(number: Number, start: torch.Tensor, end: torch.Tensor) -> Compared:
    """How the difference of entry points end - start, both (n, *entry), reaches the number; NoRule if not by rule."""
    rules, after, leaf, before = _both(number, start, end)
    handles = [node.register_hook(_applying(rules[node])) for node in rules]
    try:
        (found,) = torch.autograd.grad(after.sum(), leaf)
    finally:
        for handle in handles:
            handle.remove()
    return Compared(found, before.detach(), after.detach())


def check(number: Number, start: torch.Tensor, end: torch.Tensor) -> None:
    """NoRule if the rule would not carry the difference through; two forward passes."""
    _both(number, start, end)


def _both(
    number: Number, start: torch.Tensor, end: torch.Tensor
) -> tuple[dict[Any, Rule], torch.Tensor, torch.Tensor, torch.Tensor]:
    """The rule of each activation on the way, the number with its leaf, and the number of the reference."""
    reference = _Reference()
    with torch.enable_grad(), unfused():
        # Grads are wanted, for other operators may run without; what they would need is not kept.
        with torch.autograd.graph.saved_tensors_hooks(lambda one: None, lambda one: one), reference:
            before = number(start.detach().clone().requires_grad_(True)).detach()
        leaf = end.detach().clone().requires_grad_(True)
        with _Input(reference.steps) as watch:
            after = number(leaf)
    nodes = graph.between(after, leaf)
    escapes = graph.without_rule(nodes)
    if escapes:
        raise NoRule(*escapes)
    if watch.differs or len(reference.steps) != watch.done:
        raise NoRule(watch.differs or BRANCH)
    rules: dict[Any, Rule] = {}
    for node in nodes:
        if graph.kind(node) in graph.ACTIVATIONS | graph.MAXIMA:
            name, rule = watch.rules.get(node._sequence_nr(), ("", None))
            if rule is None or not name.replace("_", "").startswith(graph.kind(node).lower()):
                raise NoRule(f"an operation {graph.kind(node)} that could not be followed")
            rules[node] = rule
    return rules, after, leaf, before


def _applying(rule: Rule) -> Callable[[Any, Any], Any]:
    def hook(downward: Any, given: Any) -> Any:
        if given[0] is None:
            return None
        return tuple(None if one is None else rule(one, given[0]) for one in downward)

    return hook


@dataclass(frozen=True)
class _Passed:
    """What an activation or a maximum took and gave."""

    took: torch.Tensor
    gave: torch.Tensor


@dataclass(frozen=True)
class _Step:
    """One operation on numbers that depend on the entry: what it is, and what else it was given."""

    func: Any
    constants: list[Any]
    passed: _Passed | None  # of an activation or a maximum


class _Steps(TorchDispatchMode):
    """Sees every operation on numbers that depend on the entry."""

    def __init__(self) -> None:
        super().__init__()
        self._cloned = -1

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = tree_leaves((args, kwargs))
        varies = [one for one in given if isinstance(one, torch.Tensor) and one.requires_grad]
        name = _name(func)
        # A detach saves a result, inside an operation of the same name; a function of its own runs without gradients.
        if not varies or not torch.is_grad_enabled() or name == "detach":
            return func(*args, **kwargs)
        in_place = func._schema.name.endswith("_")
        constants = [
            one.clone() if in_place and one is args[0] else one
            for one in given
            if not any(one is other for other in varies)
        ]
        took = varies[0].detach() if name in ACTIVATIONS | MAXIMA else None
        if took is not None and in_place:
            took = took.clone()
        node = self._node(name, in_place)
        result = func(*args, **kwargs)
        passed = None
        if took is not None:
            first = result[0] if isinstance(result, (tuple, list)) else result
            passed = _Passed(took, first.detach())
        self.saw(_Step(func, constants, passed), node, args, kwargs)
        return result

    def _node(self, name: str, in_place: bool) -> int:
        """The number of the operation's node in the graph: the last one that was made before it runs.

        Some save a clone of what they are about to overwrite, whose node is then one later than their own.
        """
        last = torch.autograd._get_sequence_nr() - 1
        cloned, self._cloned = self._cloned, last if name == "clone" else -1
        return last - 1 if in_place and cloned == last else last

    def saw(self, step: _Step, node: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Called after each operation."""
        raise NotImplementedError


class _Reference(_Steps):
    """Keeps what every activation took and gave."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[_Step] = []

    def saw(self, step: _Step, node: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Clones, since the network may go on in place."""
        if step.passed is not None:
            step = replace(step, passed=_Passed(step.passed.took.clone(), step.passed.gave.clone()))
        self.steps.append(step)


class _Input(_Steps):
    """Walks the same way, and makes the rule of each activation from both."""

    def __init__(self, reference: list[_Step]) -> None:
        super().__init__()
        self.reference = reference
        self.done = 0
        self.differs = ""
        self.rules: dict[int, tuple[str, Rule]] = {}  # the operator and its rule, by the number of the node

    def saw(self, step: _Step, node: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Says what differs, the first time."""
        place, self.done = self.done, self.done + 1
        if self.differs:
            return
        if place >= len(self.reference) or self.reference[place].func is not step.func:
            self.differs = BRANCH
            return
        other = self.reference[place]
        if not _same(step.constants, other.constants):
            self.differs = MASK
        elif step.passed is not None and other.passed is not None:
            name = _name(step.func)
            if name in MAXIMA:
                again = functools.partial(_again, step.func, args[1:], kwargs)
                self.rules[node] = name, _maximum(step.passed, other.passed, again)
            elif step.passed.took.shape == step.passed.gave.shape:
                self.rules[node] = name, _secant(step.passed, other.passed)
            self.reference[place] = replace(other, passed=None)  # its memory is free again


def _name(func: Any) -> str:
    """An operator's name, the same for one that works in place."""
    return func._schema.name.removeprefix("aten::").rstrip("_")


def _again(func: Any, others: tuple[Any, ...], kwargs: dict[str, Any], point: torch.Tensor) -> torch.Tensor:
    """What an operator gives at another point; the first, where it gives several."""
    gave = func(point, *others, **kwargs)
    return gave[0] if isinstance(gave, (tuple, list)) else gave


def _secant(here: _Passed, there: _Passed) -> Rule:
    """Multiplies by the slope between the two points."""
    slope = torch.where(_still(here.took, there.took), torch.nan, (here.gave - there.gave) / (here.took - there.took))
    return lambda downward, given: torch.where(slope.isnan(), downward, given * slope)


def _maximum(here: _Passed, there: _Passed, maximum: Callable[[torch.Tensor], torch.Tensor]) -> Rule:
    """Carries what the maximum gained to the place of the input's, and what it lost to that of the reference's."""
    points = here.took.clone(), there.took
    higher = torch.maximum(here.gave, there.gave)
    shares = higher - there.gave, here.gave - higher
    change = here.took - there.took
    still = _still(here.took, there.took)

    def pulled(point: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The gradient at one of the two points."""
        leaf = point.detach().requires_grad_(True)
        with torch.enable_grad():
            return torch.autograd.grad(maximum(leaf), leaf, weights)[0]

    def rule(downward: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        carried = pulled(points[0], given * shares[0]) + pulled(points[1], given * shares[1])
        return torch.where(still, downward, carried / change)

    return rule


def _still(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Where two numbers differ by no more than rounding, so that a slope between them would be noise."""
    unit = torch.finfo(one.dtype).eps * ROUNDING
    return (one - other).abs() <= (torch.maximum(one.abs(), other.abs()) * unit).clamp(min=TINY)


def _same(ours: list[Any], theirs: list[Any]) -> bool:
    return len(ours) == len(theirs) and all(map(_alike, ours, theirs))


def _alike(one: Any, other: Any) -> bool:
    """Computed twice, the same constants may round differently."""
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return type(one) is type(other) and bool(one == other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one is other or (one.data_ptr() == other.data_ptr() and one.stride() == other.stride()):
        return True
    return torch.allclose(one, other, 1e-5, 1e-7, True) if one.is_floating_point() else torch.equal(one, other)
