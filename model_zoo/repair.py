"""A copy of a network in which every activation is a module of its own; the scores provably stay.

torch.fx writes the network's forward pass as a graph of calls. Replacing the call F.relu(x) by a new nn.ReLU()(x), or
the second use of a module by a copy of it, changes no function and no order; whether the trace caught what the network
does is then tried on one input, bit for bit, and the copy is counted again.
"""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

KINDS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardtanh": nn.Hardtanh,
    "relu6": nn.ReLU6,
    "softmax": nn.Softmax,
    "max_pool1d": nn.MaxPool1d,
    "max_pool2d": nn.MaxPool2d,
    "max_pool3d": nn.MaxPool3d,
}  # those that Captum's DeepLIFT has rules for, and their kin
OPERATORS = {*KINDS, "_softmax", "max_pool2d_with_indices", "max_pool3d_with_indices", "mkldnn_max_pool2d"}
FUNCTIONS: dict[Any, type[nn.Module]] = {
    found: kind
    for name, kind in KINDS.items()
    for place in (F, torch)
    if (found := getattr(place, name, None)) is not None
}
MODULES = tuple(KINDS.values())


@dataclass(frozen=True)
class Activations:
    """How many activations one forward pass has, and how many of them no module stands for alone."""

    total: int
    functional: int
    reused: int


def activations(module: nn.Module, forward: Callable[[], Any]) -> Activations:
    """The activations that forward() of a module computes, counted at the level of operators and of modules."""
    calls: Counter[nn.Module] = Counter()
    inside = 0
    functional = total = 0

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal functional, total
            if func._schema.name.removeprefix("aten::").rstrip("_") in OPERATORS:
                total += 1
                functional += not inside
            return func(*args, **(kwargs or {}))

    def enter(part: nn.Module, given: Any) -> None:
        nonlocal inside
        inside += 1
        calls[part] += 1

    def leave(part: nn.Module, given: Any, output: Any) -> None:
        nonlocal inside
        inside -= 1

    handles: list[Any] = []
    try:
        for part in module.modules():
            if isinstance(part, MODULES) and not isinstance(part, torch.jit.ScriptModule):
                handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave, always_call=True)]
        with torch.jit.optimized_execution(False), Count():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return Activations(total, functional, sum(count for count in calls.values() if count > 1))


def own_activations(module: nn.Module, inputs: torch.Tensor) -> nn.Module | str:
    """A copy in which each activation is a module of its own, tried on `inputs` (n, *x.shape); or why there is none."""
    if isinstance(module, torch.jit.ScriptModule):
        return "a script cannot be rewritten"
    try:
        traced = torch.fx.symbolic_trace(copy.deepcopy(module))
        _rewrite(traced)
        with torch.no_grad():
            ours, theirs = traced(inputs.clone()), module(inputs.clone())
    except Exception as error:  # whatever a stranger's forward() does that a trace cannot follow
        return f"torch.fx cannot trace it: {' '.join(str(error).split())[:100] or type(error).__name__}"
    if not isinstance(ours, torch.Tensor) or not isinstance(theirs, torch.Tensor):
        return "it does not return a tensor"
    if not torch.equal(ours, theirs):
        return "its rewritten copy gave other scores"
    left = activations(traced, lambda: traced(inputs.clone()))
    if left.functional or left.reused:
        return f"{left.functional + left.reused} are still hidden in a rewritten copy"
    return traced


def _rewrite(traced: torch.fx.GraphModule) -> None:
    used: set[str] = set()
    for place, node in enumerate(list(traced.graph.nodes)):
        fresh: nn.Module | None = None
        if node.op == "call_function" and node.target in FUNCTIONS:
            fresh = _module(FUNCTIONS[node.target], node.args[1:], node.kwargs)
        elif node.op == "call_method" and node.target.rstrip("_") in KINDS:
            fresh = _module(KINDS[node.target.rstrip("_")], node.args[1:], node.kwargs)
        elif node.op == "call_module" and isinstance(traced.get_submodule(node.target), MODULES):
            if node.target in used:
                fresh = copy.deepcopy(traced.get_submodule(node.target))
            used.add(node.target)
        if fresh is None:
            continue
        name = f"activation_{place}"
        traced.add_submodule(name, fresh)
        with traced.graph.inserting_before(node):
            given = node.args[0] if node.args else node.kwargs["input"]
            replaced = traced.graph.call_module(name, (given,))
        node.replace_all_uses_with(replaced)
        traced.graph.erase_node(node)
    traced.graph.lint()
    traced.recompile()


def _module(kind: type[nn.Module], args: tuple[Any, ...], named: dict[str, Any]) -> nn.Module | None:
    """The module of a functional call, in place or not; None where it is asked for what the module cannot."""
    takes = inspect.signature(kind).parameters
    if any(name not in (*takes, "input", "_stacklevel") and value is not None for name, value in named.items()):
        return None
    given = {name: value for name, value in named.items() if name in takes and name != "inplace"}
    return kind(*(one for one in args if not isinstance(one, bool)), **given).eval()
