"""The table of operators: from an ONNX operator's name to a function of its node and its input tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OPERATORS: dict[str, Callable[..., Any]] = {}


class Unsupported(Exception):
    """A graph needs something that is not written here; the message names it."""


@dataclass(frozen=True)
class Node:
    """One node of a graph: the attributes and the opset that its operator is read by, and where its outputs go.

    A missing optional input is given as None; an output that nobody wants has the name "".
    """

    operator: str
    attributes: dict[str, Any]
    opset: int
    outputs: tuple[str, ...] = ()
    graphs: dict[str, Any] = field(default_factory=dict)  # bodies of If, Loop and Scan, ready to be run

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or the default."""
        return self.attributes.get(name, default)


def operator(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function `(node, *inputs) -> tensor or tuple of tensors` for these operators."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return enter


def plain(table: dict[str, Callable[..., Any]]) -> None:
    """Enter functions of the inputs alone."""
    for name, function in table.items():
        OPERATORS[name] = lambda node, *inputs, function=function: function(*inputs)
