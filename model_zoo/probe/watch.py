"""What the probe's parts share: a mode that looks on at every operator, and a network that is left as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

Number = Callable[[torch.Tensor], torch.Tensor]  # from an entry point to the number y (batch,) that is explained


class Watch(TorchDispatchMode):
    """A mode that looks on; operations made of others, which inference mode leaves whole, are taken apart."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        self.saw(func, args, kwargs, result)
        return result

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Called after each operation."""
        raise NotImplementedError


@contextlib.contextmanager
def path_of(network: Any) -> Iterator[Callable[[], str]]:
    """A function that says which module of the network is running, innermost, as a dotted path."""
    running: list[str] = []
    handles: list[Any] = []
    named = network.named_modules() if isinstance(network, torch.nn.Module) else ()

    def leave(module: Any, args: Any, output: Any) -> None:
        running.pop()

    try:
        for name, module in named:
            if not _opaque(module):
                handles.append(module.register_forward_pre_hook(lambda *_, name=name: running.append(name)))
                handles.append(module.register_forward_hook(leave, always_call=True))
        yield lambda: running[-1] if running else ""
    finally:
        for handle in handles:
            handle.remove()


def _opaque(module: torch.nn.Module) -> bool:
    """Whether the parts of a module are not run as modules: those of scripts and of exported programs take no hooks."""
    kinds = (torch.jit.ScriptModule, torch.fx.GraphModule)
    return isinstance(module, kinds) or any(isinstance(one, torch.jit.ScriptModule) for one in module.children())


@contextlib.contextmanager
def unfused() -> Iterator[None]:
    """Without what hides operators: the fused transformer layer, and the optimiser of scripts.

    The latter also runs operators on plain numbers that no mode can repeat.
    """
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.jit.optimized_execution(False):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


def graph(root: Any) -> set[Any]:
    """All nodes of the autograd graph below `root`; none where nothing is differentiable."""
    waiting = [] if root is None else [root]
    found = set(waiting)
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in found:
                found.add(node)
                waiting.append(node)
    return found
