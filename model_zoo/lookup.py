"""The place where a network turns token ids into vectors, and those vectors replaced so that gradients reach them.

In a module that is nn.Embedding, and a forward hook replaces what it returns. A script, an exported program or a
converted graph has no such module, or takes no hooks: there the operator that looks the ids up in a table
(aten::embedding, or an index into it) is seen by a dispatch mode, as probe.py sees attention. The mode works below
autograd: vectors that it returns in place of the operator's keep the graph that they come with.
No hook or mode stays behind, not even after an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

Same = Callable[[torch.Tensor, torch.Tensor], bool]  # whether ids seen are those of the sample


@final
class Lookup:
    """The table of a network without nn.Embedding: from ids (n, tokens) to vectors (n, tokens, width)."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight.detach()  # (words, width)

    @property
    def num_embeddings(self) -> int:
        """Ids that the table has."""
        return len(self.weight)

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """The vectors (n, tokens, width) of ids (n, tokens)."""
        self.weight = self.weight.to(ids.device)
        return torch.nn.functional.embedding(ids, self.weight)


def find(run: Callable[[torch.Tensor], Any], ids: torch.Tensor) -> Lookup | None:
    """The one table that `run(ids)` looks the ids themselves up in, if there is exactly one."""
    with torch.no_grad(), _Watch() as watch, _current(watch):
        watch.expect(ids)
        run(ids)
    return Lookup(watch.tables[0]) if len(watch.tables) == 1 else None


@contextlib.contextmanager
def replaced(embedding: Any, entry: torch.Tensor, ids: torch.Tensor, same: Same) -> Iterator[Callable[[], int]]:
    """While it lasts, `entry` (n, tokens, width) stands for the vectors of `ids`; yields how often it did so far."""
    if not isinstance(embedding, Lookup):
        with _hooked(embedding, entry, ids, same) as count:
            yield count
        return
    with _Watch(same) as watch, _current(watch):
        watch.table = embedding.weight
        watch.expect(ids, entry)
        yield lambda: watch.count


@contextlib.contextmanager
def rows(chosen: torch.Tensor) -> Iterator[None]:
    """The network is run on these rows (k,) of the batch alone, by a module that takes a batch apart."""
    watch = _CURRENT.get()
    if watch is None or watch.ids is None:
        yield
        return
    with watch.instead(watch.ids[chosen], None if watch.entry is None else watch.entry[chosen]):
        yield


@contextlib.contextmanager
def filled(length: int, pad: int) -> Iterator[None]:
    """The network is run on ids filled up to a length, by a module whose graph takes texts of that length alone."""
    watch = _CURRENT.get()
    more = 0 if watch is None or watch.ids is None else length - watch.ids.shape[1]
    if watch is None or watch.ids is None or more <= 0:
        yield
        return
    entry = watch.entry
    if entry is not None and watch.table is not None:
        empty = watch.table[pad].to(entry.dtype).expand(len(entry), more, -1)
        entry = torch.cat([entry, empty], 1)
    with watch.instead(torch.nn.functional.pad(watch.ids, (0, more), value=pad), entry):
        yield


@contextlib.contextmanager
def _hooked(module: torch.nn.Module, entry: torch.Tensor, ids: torch.Tensor, same: Same) -> Iterator[Callable[[], int]]:
    count = 0

    def hook(module: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        nonlocal count
        given = args[0] if args else named.get("input")
        if not isinstance(given, torch.Tensor) or given.shape != ids.shape or not same(given.to(ids.dtype), ids):
            return output
        count += 1
        return shielded(entry)

    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield lambda: count
    finally:
        handle.remove()


class _Watch(TorchDispatchMode):
    """Sees each look-up; with vectors expected, returns these in place of what the table has."""

    def __init__(self, same: Same = torch.equal) -> None:
        super().__init__()
        self.tables: list[torch.Tensor] = []
        self.ids: torch.Tensor | None = None
        self.entry: torch.Tensor | None = None
        self.table: torch.Tensor | None = None
        self.count = 0
        self._same = same

    def expect(self, ids: torch.Tensor, entry: torch.Tensor | None = None) -> None:
        """From now on the ids of the sample are these, (n, tokens), and their vectors (n, tokens, width)."""
        self.ids, self.entry = ids, entry
        if entry is not None:  # made here, for nothing that the mode itself does is differentiated
            self._given = shielded(entry)
            self._flat = self._given.reshape(-1, entry.shape[-1])

    @contextlib.contextmanager
    def instead(self, ids: torch.Tensor, entry: torch.Tensor | None) -> Iterator[None]:
        """Other ids and vectors for a while."""
        before = (self.ids, self.entry)
        self.expect(ids, entry)
        try:
            yield
        finally:
            assert before[0] is not None
            self.expect(before[0], before[1])

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        found = _looked_up(func._schema.name, args)
        if found is not None:
            table, ids = found
            flat = ids.ndim == 1
            whole = self.ids if self.ids is None or not flat else self.ids.reshape(-1)
            if whole is not None and ids.shape == whole.shape and self._same(ids.to(whole.dtype), whole):
                if self.entry is not None and table.shape[1] == self.entry.shape[-1]:
                    self.count += 1
                    return self._flat if flat else self._given
                if not any(table is one for one in self.tables):
                    self.tables.append(table)
        return func(*args, **(kwargs or {}))


def _looked_up(name: str, args: tuple[Any, ...]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The table (words, width) and the ids that an operator looks up in it; None for any other operator."""
    if name == "aten::embedding":
        table, ids = args[0], args[1]
    elif name == "aten::index_select" and args[1] == 0:
        table, ids = args[0], args[2]
    elif name == "aten::index" and len(args[1]) == 1:
        table, ids = args[0], args[1][0]
    else:
        return None
    fits = isinstance(ids, torch.Tensor) and table.ndim == 2 and table.is_floating_point()
    return (table, ids) if fits and ids.ndim in (1, 2) else None


_CURRENT: ContextVar[_Watch | None] = ContextVar("watch", default=None)


@contextlib.contextmanager
def _current(watch: _Watch) -> Iterator[None]:
    token = _CURRENT.set(watch)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def shielded(inputs: torch.Tensor) -> torch.Tensor:
    """The same numbers; a copy where torch lets no network work in place, at the point that gradients are asked for."""
    return inputs.clone() if inputs.is_leaf and inputs.requires_grad else inputs
