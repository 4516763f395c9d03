"""The rule of each operation for layer-wise relevance propagation, as what it does to the gradient.

    weights (convolution, linear)   by the chosen rule of relevance_weights.py
    batch normalisation             linear; part of the convolution or linear layer before it
    GELU, SiLU, sigmoid, ... f      g · (f(a) - f(0)) / a: all but the constant f(0) is handed down (identity rule)
    layer, group, RMS norm          the spread is a constant: what is left is linear
    product of two                  half to each; but a gate (sigmoid, 1 + erf, 1 / spread) is a constant factor
    quotient                        the divisor is a constant
    attention                       half to the values, half through the softmax, of which queries and keys share
    softmax                         its own gradient (Taylor); a last one, before the score, is left out
    sums, moves, ReLU, maxima       the plain gradient
Reference: Montavon et al. (2019), doi:10.1007/978-3-030-28954-6_10; for gates Arras et al. (2017), arXiv:1706.07206;
for transformers AttnLRP, Achtibat et al. (2024), arXiv:2402.05602.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from explainers.engine import graph
from explainers.engine.relevance import Down, Handling, Place, Step
from explainers.engine.relevance_ends import first, heads, prepared
from explainers.engine.relevance_weights import Composite, Merged, weighted

CONSTANTS, SOFTMAX = "biases and other constants", "softmax"
# Linear, beside what graph.py lists.
MOVES = graph.LINEAR - {"NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm"} | {
    "PackPaddedSequence", "Trace", "Unfold", "MaxUnpool2D", "Squeeze", "Zeros", "Chunk", "Movedim", "Lift",
    "UpsampleBicubic2DAa", "FftC2R", "Diff", "ConstantPad", "Detach", "BroadcastTensors", "ConjPhysical",
}  # fmt: skip
# Twice the input gives twice the output: the plain gradient times the input is the output.
PROPORTIONAL = graph.MAXIMA | {
    "Relu", "LeakyRelu", "PreluKernel", "Abs", "Maximum", "Minimum", "Min", "Amin", "Sort", "Topk", "Kthvalue",
    "Median", "FractionalMaxPool2D", "LinalgVectorNorm", "Norm", "Cummax", "Cummin", "Std",
}  # fmt: skip
CURVES = {
    "Gelu", "Silu", "Mish", "Hardswish", "Sigmoid", "Hardsigmoid", "Tanh", "Softplus", "Elu", "Celu", "Hardtanh",
    "Clamp", "ClampMin", "ClampMax", "Threshold", "LogSigmoid", "Erf", "Exp", "Expm1", "Log1P", "Sin", "Atan", "Sqrt",
    "Softshrink", "Hardshrink", "Sinh", "Asinh",
}  # fmt: skip
BATCH_NORMS = {"NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "NativeBatchNormLegitNoTraining"}
SOFTMAXES = {"Softmax", "SafeSoftmax"}
GATES = {"Sigmoid", "Hardsigmoid", "Rsqrt", "Reciprocal", "Hardtanh"}
RAISED_GATES = {"Erf", "Tanh"}  # a gate once a constant is added: 1 + erf(a)
THROUGH = MOVES - {"Add", "Sub", "Rsub"}
WRITTEN = {"copy", "relu", "zero", "fill", "masked_fill", "add", "sub"}  # into a part of a tensor, which has no rule
ATTENTION = "ScaledDotProduct"

PRODUCT = "a product of more than two numbers that all depend on the input"
WORDS = {
    "Logsumexp": "logsumexp",
    "LogSoftmax": "a log-softmax that is not the last operation",
    "Log": "logarithms",
    "CopySlices": "numbers computed in place in a part of a tensor",
    "Reciprocal": "a reciprocal that is not a factor of what it normalises",
    "Rsqrt": "a reciprocal root that is not a factor of what it normalises",
}
PARTS = {"Rnn": "a fused recurrent layer", "LstmCell": "a fused recurrent layer", "GruCell": "a fused recurrent layer"}


def rules(places: list[Place], composite: Composite, score: bool) -> dict[Any, Handling]:
    """What to do at each node; those that are not named hand down their plain gradient.

    score: whether a last softmax or sigmoid turns scores into probabilities, and is left out.
    """
    by_node = {place.node: place for place in places}
    ends = heads(places, by_node) if score else set()
    reading = first(places, by_node) if composite.first else None
    found: dict[Any, Handling] = {}
    for place in places:
        if place.node in ends:
            found[place.node] = Handling(post=lambda down, above: (above, *down[1:]), head=True)
        elif reading is not None and place.node in reading.chain:
            found[place.node] = prepared(place)
        else:
            merged = _merged(place, by_node)
            handling = _rule(place, by_node, composite, merged, reading is not None and place.node is reading.node)
            if handling is not None:
                found[place.node] = handling
    return found


def _rule(
    place: Place, by_node: dict[Any, Place], composite: Composite, merged: Merged | None, is_first: bool
) -> Handling | None:
    kind, step = place.kind, place.step
    if kind == "Mul":
        return _product(place, by_node) if sum(place.depends) > 1 else None
    if kind == "Div":
        if not place.depends[0]:
            return _unknown(place)
        return Handling(post=lambda down, above: (down[0], None if down[1] is None else torch.zeros_like(down[1])))
    if kind in graph.FACTORS:
        one, other = (place.depends[at] for at in graph.FACTORS[kind])
        if step is None:
            return _unknown(place)
        if one and other:
            return Handling(post=_halves(graph.FACTORS[kind]))
        at = graph.FACTORS[kind][0 if one else 1]
        return weighted(place, at, composite, merged, is_first, CONSTANTS) if one or other else None
    if kind in ("Add", "Sub", "Rsub"):  # booked where a constant is added
        return Handling(reason=CONSTANTS) if step is not None and not all(place.depends) else None
    if kind in BATCH_NORMS:
        return _normalised(place) if _training(place) else Handling(reason=CONSTANTS)
    if kind in ("NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm"):
        return _normalised(place)
    if kind in CURVES:
        return _unknown(place) if step is None else Handling(post=_chord(step), reason=CONSTANTS)
    if kind == "Pow":
        power = place.step.args[1] if place.step is not None else None
        rising = isinstance(power, (int, float)) and power > 0 and place.depends == (True,)
        return Handling(post=_chord(place.step)) if rising and place.step is not None else _unknown(place)
    if kind in SOFTMAXES:
        return Handling(reason=SOFTMAX)
    if kind.startswith(ATTENTION):
        return _attention(place)
    if kind == "Glu":
        return _unknown(place) if step is None else Handling(post=_glu(step))
    if kind == "CopySlices" and step is not None and step.name in WRITTEN:
        return None
    if kind in MOVES or kind in PROPORTIONAL:
        return None
    return _unknown(place)


def _unknown(place: Place) -> Handling:
    part = next((said for word, said in PARTS.items() if word in place.kind), "")
    return Handling(unknown=part or WORDS.get(place.kind, f"the operation {place.kind.lower()}"))


# -- products ----------------------------------------------------------------------------------------------------


def _product(place: Place, by_node: dict[Any, Place]) -> Handling:
    gates = [_gate(below, by_node) for below, _ in place.node.next_functions[:2]]
    if gates[0] == gates[1]:
        return Handling(post=_halves((0, 1)))
    at = gates.index(True)
    return Handling(post=lambda down, above: tuple(_none(one) if i == at else one for i, one in enumerate(down)))


def _none(gradient: torch.Tensor | None) -> torch.Tensor | None:
    return None if gradient is None else torch.zeros_like(gradient)


def _halves(at: tuple[int, ...]) -> Callable[[Down, torch.Tensor], Down]:
    def post(down: Down, above: torch.Tensor) -> Down:
        return tuple(one / 2 if i in at and one is not None else one for i, one in enumerate(down))

    return post


def _gate(node: Any, by_node: dict[Any, Place], raised: bool = False) -> bool:
    """Whether a factor only opens and closes: a bounded function, or the reciprocal of a spread."""
    place = by_node.get(node)
    if place is None:
        return False
    if place.kind in GATES or (raised and place.kind in RAISED_GATES):
        return True
    if place.kind == "Pow":
        power = place.step.args[1] if place.step is not None else None
        return isinstance(power, (int, float)) and power < 0
    affine = place.kind in ("Add", "Sub", "Rsub", "Mul", "Div")
    if (place.kind not in THROUGH and not affine) or sum(place.depends) != 1:
        return False
    below = next(one for (one, _), depends in zip(place.node.next_functions, place.depends, strict=True) if depends)
    return _gate(below, by_node, raised or place.kind in ("Add", "Sub", "Rsub"))


def _attention(place: Place) -> Handling:
    """softmax(Q Kᵀ) V: half to V, half to the softmax; of that, half to Q and half to K."""
    query, key, value = place.depends[:3]
    scores = 0.5 if value and (query or key) else 1.0
    each = scores * (0.5 if query and key else 1.0)
    share = (each, each, 0.5 if query or key else 1.0, scores)

    def post(down: Down, above: torch.Tensor) -> Down:
        return tuple(None if one is None else one * share[min(i, 3)] for i, one in enumerate(down))

    return Handling(post=post, reason=SOFTMAX)


# -- curves and normalisations ---------------------------------------------------------------------------------------


def _chord(step: Step) -> Callable[[Down, torch.Tensor], Down]:
    """The slope from 0 to where it was, which hands down all but the constant f(0)."""
    at = step.args[0].double()
    zero = torch.zeros_like(at.reshape(-1)[:1])
    gave = [_first(step.func(one.clone(), *step.args[1:], **step.kwargs)) for one in (at, zero)]
    small = at.abs() < 1e-6  # there it is the tangent
    slope = ((gave[0] - gave[1]) / torch.where(small, 1.0, at)).to(step.args[0].dtype)
    return lambda down, above: (torch.where(small, down[0], above * slope), *down[1:])  # type: ignore[arg-type]


def _first(gave: Any) -> torch.Tensor:
    return gave[0] if isinstance(gave, (tuple, list)) else gave


def _glu(step: Step) -> Callable[[Down, torch.Tensor], Down]:
    """a · sigmoid(b): all to a."""
    dim = step.args[1] if len(step.args) > 1 else -1

    def post(down: Down, above: torch.Tensor) -> Down:
        gradient = down[0]
        assert gradient is not None
        signal, gate = gradient.chunk(2, dim)
        return (torch.cat([signal, torch.zeros_like(gate)], dim),)

    return post


def _training(place: Place) -> bool:
    return place.step is not None and bool(place.step.given().get("training", False))


def _normalised(place: Place) -> Handling:
    """(a - mean) / spread · weight + bias with the spread a constant; RMS norm has no mean."""
    step = place.step
    if step is None or any(place.depends[1:]):
        return _unknown(place)
    given, took = step.given(), step.args[0]
    weight = given.get("weight")
    if place.kind == "NativeLayerNorm" or place.kind == "FusedRmsNorm":
        axes = tuple(range(-len(given["normalized_shape"]), 0))
        shape, whole = took.shape, weight
    elif place.kind == "NativeGroupNorm":
        shape, axes = torch.Size((took.shape[0], given["group"], -1)), (-1,)
        whole = None if weight is None else weight.reshape(1, -1, *[1] * (took.ndim - 2))
    else:  # by the statistics of the input itself, as instance normalisation does
        shape, axes = took.shape, (0, *range(2, took.ndim))
        whole = None if weight is None else weight.reshape(1, -1, *[1] * (took.ndim - 2))
    numbers = took.double().reshape(shape)
    centre = place.kind != "FusedRmsNorm"
    eps = given.get("eps", given.get("epsilon"))
    if eps is None:
        eps = torch.finfo(took.dtype).eps
    spread = numbers.var(axes, correction=0, keepdim=True) if centre else numbers.square().mean(axes, keepdim=True)
    factor = (spread + eps).rsqrt().to(took.dtype)

    def post(down: Down, above: torch.Tensor) -> Down:
        gradient = ((above if whole is None else above * whole).reshape(shape)) * factor
        if centre:
            gradient = gradient - gradient.mean(axes, keepdim=True)
        return (gradient.reshape(took.shape), *down[1:])

    return Handling(post=post, reason=CONSTANTS)


def _merged(place: Place, by_node: dict[Any, Place]) -> Merged | None:
    """The batch normalisation that is the only user of a layer with weights: one layer with it."""
    if len(place.users) != 1:
        return None
    user = by_node[place.users[0]]
    if user.kind not in BATCH_NORMS or user.step is None or _training(user):
        return None
    given = user.step.given()
    scale = (given["running_var"] + given.get("eps", given.get("epsilon"))).rsqrt()
    if given["weight"] is not None:
        scale = scale * given["weight"]
    return Merged(scale, user.step.gave[0])
