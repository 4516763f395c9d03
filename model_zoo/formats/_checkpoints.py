"""From whatever a training script saved to one flat state dict of plain floating-point weights.

Undone are the wrappers around it (`state_dict`, `model`, `ema`, ...), what DataParallel, torch.compile and averaged
models put before the names, pruning (torch.nn.utils.prune), weight and spectral normalisation in their old and new
forms, and half precision. What was undone is told in `notes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model_zoo.formats._torchfile import Claim, quantised, short
from model_zoo.types import UserError

AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema")
KEYS = (*AVERAGED, "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights")
NOT_WEIGHTS = re.compile(r"optim|sched|scaler|callback|loop|amp|rng|hyper|config|args|grad", re.IGNORECASE)
MOST_DEPTH = 5
WRAPPED = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
ADAPTER = re.compile(r"\.lora_[AB](\.|$)|\.lora_(up|down)\.")
PACKED = re.compile(r"(^|\.)(_packed_params(\._packed_params)?|qweight|qzeros|weight_format|SCB|quant_state.*)$")


@dataclass(frozen=True)
class Weights:
    """A flat state dict, not read yet, and what was undone on the way to it."""

    claims: Mapping[str, Claim]
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # names of classes that lie beside them


def weights(tree: Any, name: str, foreign: tuple[str, ...] = ()) -> Weights:
    """The state dict in what a file holds; UserError says what it holds instead."""
    found, path, rivals = _found(tree)
    if found is None:
        raise UserError(_absent(tree, name, foreign))
    if rivals:
        keys = "".join(f"[{short(one)!r}]" for one in path)
        named = ", ".join(" → ".join(map(short, one)) for one in (path, *rivals[:3]))
        raise UserError(
            f"{name} holds several networks ({named}), and none of them is called the model; save the one to explain"
            f" alone, as with torch.save(checkpoint{keys}, 'model.pt')."
        )
    notes = []
    if path:
        notes.append(f"The weights were taken from {' → '.join(repr(short(one)) for one in path)} in the checkpoint.")
        if any(one in AVERAGED for one in path):
            notes.append("They are the averaged ones (EMA), which are the ones to evaluate.")
    if foreign:
        shown = ", ".join(map(short, foreign[:3])) + (" and others" if len(foreign) > 3 else "")
        notes.append(f"What else lies in the file ({shown}) would run code, and was left unread.")
    claims = {str(key): one for key, one in found.items() if isinstance(one, Claim)}
    claims, said = _unprefixed(claims)
    _refuse_what_is_no_model(claims, found, name)
    return Weights(claims, (*notes, *said), class_names(tree))


def holds_arrays(foreign: tuple[str, ...]) -> bool:
    """Whether numpy's arrays are all that is no tensor."""
    return bool(foreign) and all(one.startswith("numpy.") for one in foreign)


def has_weights(tree: Any) -> bool:
    """Whether plain tensors by name are somewhere in it."""
    return _found(tree)[0] is not None


Path = tuple[str, ...]


def _found(tree: Any) -> tuple[dict[Any, Any] | None, Path, tuple[Path, ...]]:
    """The mapping with the weights, the keys that lead to it, and those to networks that are as likely to be meant.

    Known names come first, then the largest.
    """
    places = sorted(_mappings(tree, ()), key=lambda one: one[0])
    if not places:
        return None, (), ()
    rank, found, path = places[0]
    rivals = [
        one
        for other, mapping, one in places[1:]
        if path and other[:2] == rank[:2] and one[: len(path)] != path and _is_network(mapping)
    ]
    return found, path, tuple(rivals)


def _is_network(mapping: Mapping[Any, Any]) -> bool:
    """Whether it has a layer's weight, as a loss's or a metric's numbers do not."""
    return any(
        isinstance(one, Claim) and one.floating and len(one.shape) > 1 and str(name).endswith("weight")
        for name, one in mapping.items()
    )


NAMES = re.compile(
    r"(class|label|cat|category)(es|s)?_?(names?|list)?|(class|label|name)_?(to|2)_?(idx|id|index)"
    r"|(idx|id|index)_?(to|2)_?(class|label|name)|names|label_?map",
    re.IGNORECASE,
)
MOST_LABEL = 200  # characters of a name


def class_names(tree: Any, depth: int = 2) -> tuple[str, ...]:
    """Names of classes, in their order, that a checkpoint keeps under a usual name; () where there are none."""
    if not isinstance(tree, dict):
        return ()
    for key, one in tree.items():
        if isinstance(key, str) and NAMES.fullmatch(key):
            found = _in_order(one)
            if len(found) > 1 and all(isinstance(each, str) and 0 < len(each) <= MOST_LABEL for each in found):
                return found
    deeper = (class_names(one, depth - 1) for one in tree.values() if depth and isinstance(one, dict))
    return next((one for one in deeper if one), ())


def _in_order(names: Any) -> tuple[Any, ...]:
    """A list as it is; a dictionary by the numbers on its one side or the other, if they count from 0."""
    if isinstance(names, (list, tuple)):
        return tuple(names)
    if not isinstance(names, dict):
        return ()
    if all(type(one) is int for one in names.values()):
        names = {number: name for name, number in names.items()}
    by_number = {int(one): name for one, name in names.items() if str(one).isdecimal() and len(str(one)) < 7}
    return tuple(by_number[one] for one in range(len(names))) if sorted(by_number) == [*range(len(names))] else ()


def _mappings(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[int, ...], dict[Any, Any], tuple[str, ...]]]:
    if not isinstance(tree, dict) or len(path) > MOST_DEPTH:
        return
    own = [one for key, one in tree.items() if isinstance(key, str) and isinstance(one, Claim)]
    if own:
        ranks = [KEYS.index(one) if one in KEYS else len(KEYS) for one in path]
        elements = sum(_count(one) for one in own)
        yield ((int(not path and elements < 8), min(ranks, default=0), -elements), tree, path)
    for key, one in tree.items():
        if isinstance(key, str) and isinstance(one, dict) and not NOT_WEIGHTS.search(key):
            yield from _mappings(one, (*path, key))


def _count(one: Claim) -> int:
    found = 1
    for n in one.shape:
        found *= n
    return found


def _unprefixed(claims: dict[str, Claim]) -> tuple[dict[str, Claim], tuple[str, ...]]:
    """Without what DataParallel, torch.compile and averaged models put before and between the names."""
    notes = []
    if "n_averaged" in claims:
        claims = {name: one for name, one in claims.items() if name != "n_averaged"}
        notes.append("It is an averaged model (torch.optim.swa_utils); its count was left out.")
    bare = {WRAPPED.sub("", name): one for name, one in claims.items()}
    if bare.keys() != claims.keys():
        notes.append("What torch.compile or FSDP put between the names was taken out.")
    while bare and all(name.startswith("module.") for name in bare):
        bare = {name[len("module.") :]: one for name, one in bare.items()}
        notes.append("The prefix 'module.' of DataParallel was taken off.")
    return bare, tuple(dict.fromkeys(notes))


def _absent(tree: Any, name: str, foreign: tuple[str, ...]) -> str:
    """Why there are no weights in it."""
    save = "save the weights with torch.save(model.state_dict(), 'model.pt')"
    if holds_arrays(foreign):
        return (
            f"{name} holds numpy arrays where tensors were expected; save it with torch.save({{name:"
            " torch.as_tensor(array) for name, array in weights.items()}, 'model.pt')."
        )
    if isinstance(tree, Claim):
        return f"{name} holds a single tensor of shape {list(tree.shape)}, not a model's weights by name; {save}."
    parts = (tree, *tree.values()) if isinstance(tree, dict) else ()
    if any(isinstance(one, dict) and ("param_groups" in one or "exp_avg" in one) for one in parts):
        return f"{name} holds the state of an optimiser, not a model's weights; {save}."
    if isinstance(tree, (dict, list, tuple)) and not tree:
        return f"{name} holds nothing (an empty {type(tree).__name__}); {save}."
    if isinstance(tree, dict):
        kinds = sorted({type(one).__name__ for one in tree.values()})
        some = ", ".join(repr(short(key)) for key in list(tree)[:3])
        return (
            f"{name} has no tensors by name where a model's weights were expected: its keys are {some}"
            f"{' ...' if len(tree) > 3 else ''} with values of type {', '.join(kinds[:3])}; {save}."
        )
    return f"{name} holds a {type(tree).__name__}, not a model's weights by name; {save}."


def _refuse_what_is_no_model(claims: Mapping[str, Claim], found: Mapping[Any, Any], name: str) -> None:
    """Adapters, quantised and optimiser states look like weights and are none that can be run."""
    if any(one.dtype.startswith("q") for one in claims.values()) or any(PACKED.search(str(key)) for key in found):
        raise UserError(quantised(name))
    adapters = sum(bool(ADAPTER.search(key)) for key in claims)
    if adapters and adapters * 2 >= len(claims):
        raise UserError(
            f"{name} holds a LoRA adapter alone ({adapters} tensors), which means nothing without its base model; merge"
            " the two with model.merge_and_unload() and save the merged model."
        )
    imaginary = next((key for key, one in claims.items() if one.dtype.startswith("complex")), "")
    if imaginary:
        raise UserError(
            f"{short(imaginary)} in {name} holds complex numbers ({claims[imaginary].dtype}), and the networks that are"
            " recognised compute with real ones; export it with its code, as TorchScript or ONNX."
        )
    if claims and not any(one.floating for one in claims.values()):
        kinds = ", ".join(sorted({one.dtype for one in claims.values()}))
        raise UserError(
            f"{name} holds whole numbers alone ({kinds}), and the weights of a model are floating-point numbers; save"
            " them with torch.save(model.state_dict(), 'model.pt')."
        )


# -- the numbers


PARTS = re.compile(
    r"^(?P<home>(?:.*\.)?)(?:parametrizations\.(?P<new>\w+)\.(?P<part>original[01]?|0\._[uv])"
    r"|(?P<old>\w+?)_(?P<end>orig|mask|g|v|u))$"
)


def folded(claims: Mapping[str, Claim]) -> tuple[dict[str, Claim], tuple[str, ...]]:
    """With weights that are kept as parts put together, when they are read; and what they were."""
    groups: dict[str, dict[str, str]] = {}
    for name in claims:
        match = PARTS.match(name)
        if match:
            whole = match["home"] + (match["new"] or match["old"])
            groups.setdefault(whole, {})[match["part"] or match["end"]] = name
    into: dict[str, tuple[str, Claim] | None] = {}  # a part's name: the weight that stands in its place, if any does
    notes = set()
    for whole, parts in groups.items():
        made = _whole_of(whole, {part: claims[name] for part, name in parts.items()})
        if made is None or whole in claims:
            continue
        claim, note = made
        notes.add(note)
        first, *others = parts.values()
        into |= {first: (whole, claim), **dict.fromkeys(others)}
    kept = (into.get(name, (name, one)) for name, one in claims.items())
    return dict(one for one in kept if one is not None), tuple(sorted(notes))


def _whole_of(name: str, parts: Mapping[str, Claim]) -> tuple[Claim, str] | None:
    """One weight from its parts, lazily; None if they are none that are known."""
    have = set(parts)
    if have == {"orig", "mask"}:
        first, second = parts["orig"], parts["mask"]
        return _claim(first, lambda: first.read() * second.read()), "Pruned weights were multiplied by their masks."
    direction = parts.get("original1") or (parts.get("v") if "g" in have else None)
    size = parts.get("original0") or parts.get("g")
    if direction is not None and size is not None and have in ({"g", "v"}, {"original0", "original1"}):
        return _claim(direction, lambda: _normed(size, direction)), "Weight normalisation was folded into the weights."
    matrix = parts.get("original") or parts.get("orig")
    left = parts.get("0._u") or parts.get("u")
    right = parts.get("0._v") or parts.get("v")
    if matrix is not None and left is not None and right is not None:
        return (
            _claim(matrix, lambda: _spectral(matrix, left, right)),
            "Spectral normalisation was folded into the weights.",
        )
    if "original" in have or "original0" in have:
        raise UserError(
            f"{short(name)} is kept under a parametrization that its names do not tell; before saving, call"
            " torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')."
        )
    return None


def _claim(like: Claim, read: Any) -> Claim:
    return Claim(like.shape, like.dtype, read)


def _normed(size: Claim, direction: Claim) -> Any:
    """g v / |v|, the norm over every axis along which g has one entry."""
    import torch

    length, along = size.read(), direction.read()
    axes = [axis for axis in range(along.ndim) if length.ndim == 0 or length.shape[axis] == 1]
    kept = [axis for axis in range(along.ndim) if axis not in axes]
    if not axes:  # one output or input channel alone: g is as large as v there
        return length * along.sign()
    norm = torch.linalg.vector_norm(along, dim=axes, keepdim=bool(kept) or length.ndim > 0)
    return along * (length / norm)


def _spectral(matrix: Claim, left: Claim, right: Claim) -> Any:
    """W / (u^T W v), W as a matrix with u's axis in front: the first, or the second of a transposed convolution.

    Where both are as long as u, it is the one along which u and v are singular vectors, as training has made them.
    """
    weight, u, v = matrix.read(), left.read(), right.read()
    axes = (0, 1) if weight.ndim > 2 else (0,)
    along = [axis for axis in axes if weight.shape[axis] == u.numel() and weight.numel() == u.numel() * v.numel()]
    if not along:
        raise UserError(
            f"A weight of shape {list(weight.shape)} and its vectors of spectral normalisation, of {u.numel():,} and"
            f" {v.numel():,} numbers, do not belong together, so the file is damaged; save the model again."
        )
    seen = [weight.movedim(axis, 0).reshape(len(u), -1) @ v for axis in along]
    sizes = [u @ one for one in seen]
    alike = [abs(float(size)) / max(float(one.norm()), 1e-30) for size, one in zip(sizes, seen, strict=True)]
    return weight / sizes[alike.index(max(alike))]


HALF = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")


def numbers(claims: Mapping[str, Claim], name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The tensors, in float32 or float64 where any is; UserError names one that is not finite."""
    import torch

    kinds = {one.dtype for one in claims.values() if one.floating}
    dtype = torch.float64 if "float64" in kinds else torch.float32
    notes = []
    half = sorted(kinds & set(HALF))
    if half:
        notes.append(f"Weights kept in {' and '.join(half)} are computed in {str(dtype)[6:]} on the CPU.")
    if "float64" in kinds:
        notes.append("Weights in float64 are computed in float64, so the inputs are too.")
    tensors = {}
    for key, one in claims.items():
        found = one.read()
        if found.is_floating_point():
            found = found.to(dtype)
            if not _finite(found):
                bad = "NaN" if bool(torch.isnan(found).any()) else "infinite"
                raise UserError(
                    f"{short(key)} in {name} holds {bad} values, so every answer would be NaN: training had diverged by"
                    " then; save an earlier checkpoint."
                )
        tensors[key] = found
    return tensors, tuple(notes)


def _finite(tensor: Any) -> bool:
    """Whether every entry is finite: a sum that is tells it in one pass, and one that is not is looked into.

    In numpy, since torch would call all its threads together for each of hundreds of tensors.
    """
    import numpy as np

    array = tensor.detach().numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())
