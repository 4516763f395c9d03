"""Operators that move numbers about: shapes, slices, gathers, scatters, pads, and tensors made from nothing."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from model_zoo.formats._onnx.registry import Node, Unsupported, operator
from model_zoo.formats._onnx.tensors import dtype, tensor, whole

Tensor = torch.Tensor
LARGEST = 1 << 28  # numbers that one operator may make: a constant of a few bytes can ask for terabytes


def bounded(shape: list[int]) -> list[int]:
    """The shape; Unsupported if it is larger than any that a model needs."""
    if math.prod(shape) > LARGEST or any(one < 0 for one in shape):
        raise Unsupported(f"a tensor of the shape {shape}, which is too large")
    return shape


@operator("Constant")
def constant(node: Node) -> Tensor:
    """The tensor in the node itself."""
    for name, value in node.attributes.items():
        if name == "value":
            return value
        if name in ("value_float", "value_floats"):
            return torch.tensor(value, dtype=torch.float32)
        if name in ("value_int", "value_ints"):
            return torch.tensor(value, dtype=torch.int64)
    raise Unsupported("a constant of texts or of sparse values")


@operator("ConstantOfShape")
def constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    """One value everywhere."""
    value = node.get("value", torch.zeros(1))
    return torch.full(bounded(whole(shape)), value.reshape(-1)[0].item(), dtype=value.dtype, device=shape.device)


@operator("Shape")
def shape(node: Node, x: Tensor) -> Tensor:
    """The sizes of x from `start` to `end`."""
    return torch.tensor(list(x.shape)[node.get("start", 0) : node.get("end", None)], dtype=torch.int64, device=x.device)


@operator("Size")
def size(node: Node, x: Tensor) -> Tensor:
    """How many numbers x has."""
    return torch.tensor(x.numel(), dtype=torch.int64, device=x.device)


@operator("Reshape")
def reshape(node: Node, x: Tensor, sizes: Tensor | None = None) -> Tensor:
    """x in another shape; 0 keeps a size, unless allowzero, and -1 follows from the others."""
    wanted = list(node.get("shape")) if sizes is None else whole(sizes)
    if not node.get("allowzero", 0):
        wanted = [x.shape[place] if one == 0 else one for place, one in enumerate(wanted)]
    return x.reshape(wanted)


@operator("Flatten")
def flatten(node: Node, x: Tensor) -> Tensor:
    """x as a matrix: the axes before `axis`, and the others."""
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1 if x.numel() else math.prod(x.shape[axis:]))


@operator("Squeeze")
def squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """x without axes of size 1."""
    chosen = node.get("axes") if axes is None else whole(axes)
    return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))


@operator("Unsqueeze")
def unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """x with new axes of size 1, at places of the result."""
    chosen = node.get("axes") if axes is None else whole(axes)
    for axis in sorted(one % (x.ndim + len(chosen)) for one in chosen):
        x = x.unsqueeze(axis)
    return x


@operator("Transpose")
def transpose(node: Node, x: Tensor) -> Tensor:
    """x with its axes in another order, reversed by default."""
    return x.permute(node.get("perm", tuple(reversed(range(x.ndim)))))


@operator("Concat")
def concat(node: Node, *inputs: Tensor) -> Tensor:
    """The inputs one after the other."""
    return torch.cat(inputs, node.get("axis", 1))


@operator("Split")
def split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    """x in parts of given sizes, or of as equal ones as possible."""
    axis = node.get("axis", 0)
    chosen = node.get("split") if sizes is None else whole(sizes)
    if chosen is None:
        count = node.get("num_outputs", len(node.outputs))
        each = -(-x.shape[axis] // count)
        chosen = [max(0, min(each, x.shape[axis] - each * place)) for place in range(count)]
    return torch.split(x, chosen, axis)


@operator("Slice")
def slices(node: Node, x: Tensor, *given: Tensor | None) -> Tensor:
    """x from starts to ends along axes, in steps that may go backwards."""
    if given:
        starts, ends, axes, steps = (None if one is None else whole(one) for one in (*given, None, None)[:4])
    else:
        starts, ends, axes, steps = node.get("starts"), node.get("ends"), node.get("axes"), None
    assert starts is not None
    assert ends is not None
    axes = list(range(len(starts))) if axes is None else axes
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        places = range(x.shape[axis])[slice(start, max(end, -x.shape[axis] - 1) if step < 0 else end, step)]
        if step > 0:
            index = [slice(None)] * x.ndim
            index[axis] = slice(places.start, max(places.start, places.stop), step)
            x = x[tuple(index)]
        else:
            x = x.index_select(axis, torch.tensor(list(places), dtype=torch.int64, device=x.device))
    return x


@operator("Gather")
def gather(node: Node, x: Tensor, places: Tensor) -> Tensor:
    """Rows of x along one axis; of a table of vectors it is a look-up, which lookup.py sees."""
    axis = node.get("axis", 0) % max(1, x.ndim)
    places = places.long()
    if axis == 0 and x.ndim == 2 and x.is_floating_point() and places.ndim in (1, 2):
        return functional.embedding(torch.where(places < 0, places + len(x), places), x)
    if places.ndim == 0:
        return x.select(axis, int(places))
    flat = places.reshape(-1)
    found = x.index_select(axis, torch.where(flat < 0, flat + x.shape[axis], flat))
    return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


@operator("GatherElements")
def gather_elements(node: Node, x: Tensor, places: Tensor) -> Tensor:
    """One number of x for each place, along one axis."""
    axis = node.get("axis", 0)
    return torch.gather(x, axis, torch.where(places < 0, places + x.shape[axis], places).long())


@operator("GatherND")
def gather_nd(node: Node, x: Tensor, places: Tensor) -> Tensor:
    """Parts of x that tuples of places name, within each element of the batch axes."""
    batch = node.get("batch_dims", 0)
    lead = x.shape[:batch]
    flat = x.reshape(-1, *x.shape[batch:])
    named = places.reshape(math.prod(lead), *places.shape[batch:])
    parts = [one[tuple(index.movedim(-1, 0))] for one, index in zip(flat, named, strict=True)]
    return torch.stack(parts).reshape(*lead, *parts[0].shape)


@operator("ScatterElements", "Scatter")
def scatter_elements(node: Node, x: Tensor, places: Tensor, updates: Tensor) -> Tensor:
    """x with numbers put at places along one axis, or added, multiplied, or the larger or smaller kept."""
    axis, kind = node.get("axis", 0), node.get("reduction", "none")
    places = torch.where(places < 0, places + x.shape[axis], places).long()
    if kind == "none":
        return x.scatter(axis, places, updates)
    return x.scatter_reduce(axis, places, updates, {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}[kind])


@operator("ScatterND")
def scatter_nd(node: Node, x: Tensor, places: Tensor, updates: Tensor) -> Tensor:
    """x with parts replaced that tuples of places name, or added to, multiplied and so on."""
    kind, width = node.get("reduction", "none"), places.shape[-1]
    index = tuple(places.reshape(-1, width).long().T)
    parts = updates.reshape(-1, *x.shape[width:])
    if kind in ("none", "add"):
        return x.index_put(index, parts, accumulate=kind == "add")
    work = {"mul": torch.mul, "max": torch.maximum, "min": torch.minimum}[kind]
    for place, part in zip(zip(*index, strict=True), parts, strict=True):
        x = x.index_put(place, work(x[place], part))
    return x


@operator("Expand")
def expand(node: Node, x: Tensor, sizes: Tensor) -> Tensor:
    """x repeated to a shape, as arithmetic would."""
    return x.expand(torch.broadcast_shapes(x.shape, bounded(whole(sizes))))


@operator("Tile")
def tile(node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    """x side by side with itself."""
    times = whole(repeats)
    bounded([one * many for one, many in zip(x.shape, times, strict=True)])
    return x.repeat(times)


@operator("Pad")
def pad(
    node: Node, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    """x with more on its sides: a constant, its edge, its mirror image or itself again; less where negative."""
    given = list(node.get("pads") or node.get("paddings")) if pads is None else whole(pads)
    chosen = list(range(x.ndim)) if axes is None else [one % x.ndim for one in whole(axes)]
    mode = node.get("mode", "constant")
    fill = node.get("value", 0.0) if value is None else value.item()
    for place, axis in enumerate(chosen):
        before, after = given[place], given[place + len(chosen)]
        bounded([x.shape[axis] + max(0, before) + max(0, after)])
        x = _padded(x, axis, before, after, mode, fill)
    return x


def _padded(x: Tensor, axis: int, before: int, after: int, mode: str, fill: float) -> Tensor:
    if before < 0 or after < 0:
        cut = max(0, -before)
        x = x.narrow(axis, cut, x.shape[axis] - cut - max(0, -after))
        before, after = max(0, before), max(0, after)
    if not before and not after:
        return x
    count = x.shape[axis]
    if mode == "constant":
        sides = [0, 0] * x.ndim
        sides[2 * (x.ndim - 1 - axis)], sides[2 * (x.ndim - 1 - axis) + 1] = before, after
        return functional.pad(x, sides, value=fill)
    places = torch.arange(-before, count + after, device=x.device)
    if mode == "edge":
        places = places.clamp(0, count - 1)
    elif mode == "wrap":
        places = places % count
    else:  # reflect: the edge itself is not repeated
        round_trip = max(1, 2 * (count - 1))
        places = places % round_trip
        places = torch.where(places >= count, round_trip - places, places)
    return x.index_select(axis, places)


@operator("Range")
def arange(node: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Numbers from start to below limit, in steps."""
    bounded([max(0, math.ceil((limit.item() - start.item()) / delta.item()))])
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype, device=start.device)


@operator("OneHot")
def one_hot(node: Node, places: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    """The second value where the place is, the first elsewhere."""
    many, axis = int(depth.reshape(-1)[0]), node.get("axis", -1)
    bounded([*places.shape, many])
    places = places.long()
    places = torch.where(places < 0, places + many, places).unsqueeze(axis)
    line = torch.arange(many, device=places.device)
    line = line.reshape([-1 if place == axis % places.ndim else 1 for place in range(places.ndim)])
    return torch.where(places == line, values[1], values[0])


@operator("EyeLike")
def eye_like(node: Node, x: Tensor) -> Tensor:
    """Ones on a diagonal."""
    kind = dtype(node.get("dtype")) if node.get("dtype") else x.dtype
    rows, columns = x.shape
    places = torch.arange(columns, device=x.device) - torch.arange(rows, device=x.device)[:, None]
    return (places == node.get("k", 0)).to(kind)


@operator("Trilu")
def triangle(node: Node, x: Tensor, k: Tensor | None = None) -> Tensor:
    """The upper or lower triangle of each matrix, 0 elsewhere."""
    diagonal = 0 if k is None else int(k)
    return torch.triu(x, diagonal) if node.get("upper", 1) else torch.tril(x, diagonal)


@operator("NonZero")
def non_zero(node: Node, x: Tensor) -> Tensor:
    """Places of what is not 0, (axes, count)."""
    return torch.nonzero(x).T


@operator("Compress")
def compress(node: Node, x: Tensor, condition: Tensor) -> Tensor:
    """What a condition selects along an axis, or of all."""
    axis = node.get("axis")
    x = x.reshape(-1) if axis is None else x
    return x.index_select(axis or 0, torch.nonzero(condition.bool()).reshape(-1))


@operator("Unique")
def unique(node: Node, x: Tensor) -> tuple[Tensor, ...]:
    """Values once each, their first places, which each number is, and how many there are."""
    axis = node.get("axis")
    found, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True, dim=axis)
    inverse = inverse.reshape(-1)
    places = torch.arange(len(inverse), device=x.device)
    first = torch.full_like(counts, len(inverse)).scatter_reduce(0, inverse, places, "amin")
    if not node.get("sorted", 1):
        order = torch.argsort(first)
        found = found[order] if axis is None else found.index_select(axis, order)
        first, counts, inverse = first[order], counts[order], torch.argsort(order)[inverse]
    return found, first, inverse, counts


@operator("ReverseSequence")
def reverse_sequence(node: Node, x: Tensor, lengths: Tensor) -> Tensor:
    """The first steps of each element of the batch in reverse."""
    time, batch = node.get("time_axis", 0), node.get("batch_axis", 1)
    parts = []
    for place, length in enumerate(whole(lengths)):
        one = x.select(batch, place)
        axis = time - (time > batch)
        parts.append(
            torch.cat(
                [one.narrow(axis, 0, length).flip(axis), one.narrow(axis, length, one.shape[axis] - length)], axis
            )
        )
    return torch.stack(parts, batch)


@operator("DepthToSpace")
def depth_to_space(node: Node, x: Tensor) -> Tensor:
    """Channels laid out as a finer picture."""
    n, c, h, w = x.shape
    b = node.get("blocksize")
    if node.get("mode", "DCR") == "DCR":
        return x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)
    return x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // b**2, h * b, w * b)


@operator("SpaceToDepth")
def space_to_depth(node: Node, x: Tensor) -> Tensor:
    """A picture laid out as channels of a coarser one."""
    n, c, h, w = x.shape
    b = node.get("blocksize")
    order = (0, 1, 3, 5, 2, 4) if node.get("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    return x.reshape(n, c, h // b, b, w // b, b).permute(order).reshape(n, c * b * b, h // b, w // b)


# -- sequences: lists of tensors ---------------------------------------------------------------------------------


@operator("SequenceEmpty")
def sequence_empty(node: Node) -> list[Tensor]:
    """No tensor."""
    return []


@operator("SequenceConstruct")
def sequence_construct(node: Node, *inputs: Tensor) -> list[Tensor]:
    """The inputs as a list."""
    return list(inputs)


@operator("SequenceInsert")
def sequence_insert(node: Node, sequence: list[Tensor], one: Tensor, place: Tensor | None = None) -> list[Tensor]:
    """The list with one more, at the end by default."""
    at = len(sequence) if place is None else int(place)
    at = at + len(sequence) if at < 0 else at
    return [*sequence[:at], one, *sequence[at:]]


@operator("SequenceErase")
def sequence_erase(node: Node, sequence: list[Tensor], place: Tensor | None = None) -> list[Tensor]:
    """The list without one, the last by default."""
    at = (-1 if place is None else int(place)) % len(sequence)
    return [*sequence[:at], *sequence[at + 1 :]]


@operator("SequenceAt")
def sequence_at(node: Node, sequence: list[Tensor], place: Tensor) -> Tensor:
    """One of the list."""
    return sequence[int(place)]


@operator("SequenceLength")
def sequence_length(node: Node, sequence: list[Tensor]) -> Tensor:
    """How many there are."""
    return torch.tensor(len(sequence), dtype=torch.int64)


@operator("ConcatFromSequence")
def concat_from_sequence(node: Node, sequence: list[Tensor]) -> Tensor:
    """The list as one tensor."""
    return (torch.stack if node.get("new_axis", 0) else torch.cat)(sequence, node.get("axis"))


@operator("SplitToSequence")
def split_to_sequence(node: Node, x: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
    """x in parts along one axis."""
    axis = node.get("axis", 0)
    if sizes is None:
        parts = torch.split(x, 1, axis)
        return [one if node.get("keepdims", 1) else one.squeeze(axis) for one in parts]
    return list(torch.split(x, int(sizes) if sizes.ndim == 0 else whole(sizes), axis))


@operator("Optional")
def optional(node: Node, x: Any = None) -> Any:
    """Something, or nothing."""
    return x


@operator("OptionalGetElement")
def optional_get_element(node: Node, x: Any) -> Any:
    """What is there."""
    return x


@operator("OptionalHasElement")
def optional_has_element(node: Node, x: Any = None) -> Tensor:
    """Whether something is there."""
    return torch.tensor(x is not None)


__all__ = ["bounded", "tensor"]
