"""Recurrent layers, RNN, GRU and LSTM, step by step: both directions, lengths, peepholes and other activations.

Shapes are those of ONNX: X (steps, batch, input), with layout=1 (batch, steps, input); W (directions, gates · hidden,
input), R (directions, gates · hidden, hidden), B (directions, 2 · gates · hidden).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from model_zoo.formats._onnx.registry import Node, Unsupported, operator

Tensor = torch.Tensor
Activation = Callable[[Tensor], Tensor]
USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _activation(name: str, alpha: float | None, beta: float | None) -> Activation:
    first = alpha if alpha is not None else {"leakyrelu": 0.01, "hardsigmoid": 0.2}.get(name.lower(), 1.0)
    second = beta if beta is not None else {"hardsigmoid": 0.5}.get(name.lower(), 0.0)
    found: dict[str, Activation] = {
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "softsign": functional.softsign,
        "softplus": functional.softplus,
        "affine": lambda x: first * x + second,
        "leakyrelu": lambda x: functional.leaky_relu(x, first),
        "thresholdedrelu": lambda x: torch.where(x >= first, x, torch.zeros_like(x)),
        "scaledtanh": lambda x: first * torch.tanh(second * x),
        "hardsigmoid": lambda x: (first * x + second).clamp(0, 1),
        "elu": lambda x: functional.elu(x, first),
    }
    if name.lower() not in found:
        raise Unsupported(f"the activation {name} of a recurrent layer")
    return found[name.lower()]


def _activations(node: Node, directions: int) -> list[list[Activation]]:
    usual = USUAL[node.operator]
    names = list(node.get("activations", usual * directions))
    alphas, betas = list(node.get("activation_alpha", [])), list(node.get("activation_beta", []))
    made = []
    for name in names:  # the numbers belong, in order, to the activations that take any
        alpha = alphas.pop(0) if alphas and name.lower() not in ("tanh", "sigmoid", "relu", "softsign") else None
        beta = betas.pop(0) if betas and name.lower() in ("affine", "scaledtanh", "hardsigmoid") else None
        made.append(_activation(name, alpha, beta))
    return [made[one * len(usual) : (one + 1) * len(usual)] for one in range(directions)]


@operator("RNN", "GRU", "LSTM")
def recurrent(
    node: Node,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
    peepholes: Tensor | None = None,
) -> Any:
    """All states (steps, directions, batch, hidden) and the last one, of an LSTM also its last cell."""
    layout = node.get("layout", 0)
    if layout:
        x = x.transpose(0, 1)
        h0, c0 = (None if one is None else one.transpose(0, 1) for one in (h0, c0))
    directions, hidden, batch = len(w), r.shape[-1], x.shape[1]
    kind = node.get("direction", "forward")
    acts = _activations(node, directions)
    outputs, last, cells = [], [], []
    for one in range(directions):
        zeros = torch.zeros(batch, hidden, dtype=x.dtype, device=x.device)
        state = zeros if h0 is None else h0[one]
        cell = zeros if c0 is None else c0[one]
        backwards = one == 1 or kind == "reverse"
        step = _step(
            node,
            w[one],
            r[one],
            None if b is None else b[one],
            None if peepholes is None else peepholes[one],
            acts[one],
        )
        whole, state, cell = _along(step, x, state, cell, lengths, backwards)
        outputs.append(whole)
        last.append(state)
        cells.append(cell)
    y, y_h, y_c = torch.stack(outputs, 1), torch.stack(last), torch.stack(cells)
    if layout:
        y, y_h, y_c = y.permute(2, 0, 1, 3), y_h.transpose(0, 1), y_c.transpose(0, 1)
    return (y, y_h, y_c) if node.operator == "LSTM" else (y, y_h)


Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _along(
    step: Step, x: Tensor, state: Tensor, cell: Tensor, lengths: Tensor | None, backwards: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """States at all steps, and the last state and cell; what lies behind an element's length is 0."""
    found: list[Tensor] = [state] * len(x)
    for place in reversed(range(len(x))) if backwards else range(len(x)):
        new, new_cell = step(x[place], state, cell)
        if lengths is None:
            state, cell = new, new_cell
            found[place] = state
        else:
            there = (place < lengths)[:, None]
            state, cell = torch.where(there, new, state), torch.where(there, new_cell, cell)
            found[place] = torch.where(there, new, torch.zeros_like(new))
    return torch.stack(found), state, cell


def _step(node: Node, w: Tensor, r: Tensor, b: Tensor | None, p: Tensor | None, acts: list[Activation]) -> Step:
    """One step of one direction: from an input and the state and cell before to those after."""
    hidden = r.shape[-1]
    wb, rb = (None, None) if b is None else b.split(GATES[node.operator] * hidden)
    bound = node.get("clip")

    def clipped(x: Tensor) -> Tensor:
        return x if bound is None else x.clamp(-bound, bound)

    def rnn(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return acts[0](clipped(functional.linear(x, w, wb) + functional.linear(h, r, rb))), c

    def gru(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        given = functional.linear(x, w, wb)
        if node.get("linear_before_reset", 0):
            past = functional.linear(h, r, rb)
            update = acts[0](clipped(given[:, :hidden] + past[:, :hidden]))
            reset = acts[0](clipped(given[:, hidden : 2 * hidden] + past[:, hidden : 2 * hidden]))
            new = acts[1](clipped(given[:, 2 * hidden :] + reset * past[:, 2 * hidden :]))
        else:
            both = functional.linear(h, r[: 2 * hidden], None if rb is None else rb[: 2 * hidden])
            update = acts[0](clipped(given[:, :hidden] + both[:, :hidden]))
            reset = acts[0](clipped(given[:, hidden : 2 * hidden] + both[:, hidden:]))
            past = functional.linear(reset * h, r[2 * hidden :], None if rb is None else rb[2 * hidden :])
            new = acts[1](clipped(given[:, 2 * hidden :] + past))
        return (1 - update) * new + update * h, c

    def lstm(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, o, f, g = (functional.linear(x, w, wb) + functional.linear(h, r, rb)).split(hidden, -1)
        pi, po, pf = (0.0, 0.0, 0.0) if p is None else p.split(hidden)
        enter = acts[0](clipped(i + pi * c))
        keep = 1 - enter if node.get("input_forget", 0) else acts[0](clipped(f + pf * c))
        cell = keep * c + enter * acts[1](clipped(g))
        leave = acts[0](clipped(o + po * cell))
        return leave * acts[2](cell), cell

    return {"RNN": rnn, "GRU": gru, "LSTM": lstm}[node.operator]
