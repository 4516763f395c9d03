"""From a flat state dict to a network: recognised, built without random numbers, and proven to be the file's own."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from model_zoo import recognition
from model_zoo.facts import Facts
from model_zoo.files import Choice, Opened
from model_zoo.formats._checkpoints import Weights, folded, numbers
from model_zoo.formats._torchfile import Claim, short
from model_zoo.recognition import Architecture, Shapes, _layers
from model_zoo.types import UserError

MOST_SHOWN = 3
MOST_NAME = 80  # characters of a name that a sentence quotes
ASIDE = re.compile(  # what a training class keeps beside its network: a loss's class weights, a metric's counters
    r"loss|criterion|(^|_)(crit|acc|auc|f1)(_|$)|metric|accuracy|auroc|precision|recall|confmat|confusion"
    r"|^(train|val|valid|test)_|normali[sz]|^(mean|std)$",
    re.IGNORECASE,
)
ELSE = (
    "Export it with its code instead: torch.jit.save(torch.jit.trace(model, example), 'model.pt') or"
    " torch.onnx.export(model, (example,), 'model.onnx'), or explain it from Python with model_zoo.wrap(model)."
)


@contextlib.contextmanager
def blank() -> Iterator[None]:
    """Modules built inside have their buffers as always, random ones too, and parameters that are not written yet.

    Memory that nobody wrote to costs nothing, so this takes hardly longer than the meta device, where the buffers that
    a file lacks (position indices, filters) would be lost.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Skipping(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(function, "__name__", "")
            if name.endswith("_") and not name.endswith("__"):
                first = args[0] if args else (kwargs or {}).get("tensor")  # torch.nn.init names it
                if isinstance(first, torch.nn.Parameter) and name != "requires_grad_":
                    return first
            return function(*args, **(kwargs or {}))

    # A truncated normal is drawn again until it fits, which numbers that nobody drew never do.
    init: Any = torch.nn.init
    drawn = init._no_grad_trunc_normal_
    init._no_grad_trunc_normal_ = lambda tensor, *args, **named: (
        tensor if isinstance(tensor, torch.nn.Parameter) else drawn(tensor, *args, **named)
    )
    try:
        with torch.no_grad(), Skipping():
            yield
    finally:
        init._no_grad_trunc_normal_ = drawn


def network_of(weights: Weights, said: Facts, name: str) -> Opened:
    """The network that the weights belong to; UserError says what comes nearest, or what is not as expected."""
    claims, notes = folded(weights.claims)
    notes = (*weights.notes, *notes)
    if not claims:
        raise UserError(f"{name} holds no weights; save them with torch.save(model.state_dict(), 'model.pt').")
    claims, found, stripped = _recognised(claims)
    if not found:
        raise UserError(_unknown(claims, name))
    chosen = _chosen(found, said.architecture, name)
    tensors, read = numbers(claims, name)
    proven = _proven(chosen, tensors, name)
    if proven is None:
        raise UserError(_unknown(claims, name))
    network, one = proven
    guess = one.facts
    if not guess.labels and len(weights.labels) in _outputs(network):
        guess = dataclasses.replace(guess, labels=weights.labels)
    choices = tuple(Choice(each.id, each.title, each.reason) for each in found)
    return Opened(
        network=network,
        guess=guess,
        what=f"{one.title}, {parameters(network)}",
        notes=(*notes, *stripped, *read, *one.notes),
        choices=choices if len(choices) > 1 or one.guessed else (),
        uncertain=one.guessed,
        usual=True,
        input=one.input,
    )


def _recognised(claims: Mapping[str, Claim]) -> tuple[dict[str, Claim], tuple[Architecture, ...], tuple[str, ...]]:
    """The claims as an architecture has them: as they are, or without the prefix of an owner's class."""
    tried = dict(claims)
    notes: list[str] = []
    for _ in range(4):
        found = recognition.recognise({name: one.shape for name, one in tried.items()})
        if found:
            return tried, found, tuple(notes)
        prefix = _main_prefix(tried)
        if not prefix:
            break
        rest = [name for name in tried if not name.startswith(prefix)]
        tried = {name[len(prefix) :]: one for name, one in tried.items() if name.startswith(prefix)}
        shown = ", ".join(map(short, rest[:2]))
        left = (
            f", and {len(rest)} tensor{'s were' if len(rest) > 1 else ' was'} left out beside it ({shown})"
            if rest
            else ""
        )
        notes.append(f"The prefix {short(prefix)!r} was taken off{left}.")
    return dict(claims), (), ()


def _main_prefix(claims: Mapping[str, Claim]) -> str:
    """The first part of the names, where nearly all of the weights have it in common."""
    sizes: dict[str, int] = {}
    for name, one in claims.items():
        first, dot, _ = name.partition(".")
        if dot:
            count = 1
            for n in one.shape:
                count *= n
            sizes[first + dot] = sizes.get(first + dot, 0) + count
    best = max(sizes, key=lambda one: sizes[one], default="")
    others = {name for name in claims if not name.startswith(best)} if best else set()
    fits = best and all(ASIDE.search(name.partition(".")[0]) for name in others) and len(claims) - len(others) > 1
    return best if fits and not best[:-1].isdigit() else ""


def _chosen(found: tuple[Architecture, ...], wanted: str, name: str) -> tuple[Architecture, ...]:
    """Those to try, in order; UserError if the one that was asked for is none of them."""
    if not wanted:
        return found
    kept = tuple(one for one in found if wanted in (one.id, one.id.rpartition("/")[2]))
    if not kept:
        raise UserError(
            f"The weights of {name} do not fit {wanted}; they fit {', '.join(one.id for one in found[:5])}. Choose one"
            " of these, or leave architecture empty."
        )
    return kept


def _outputs(network: Any) -> set[int]:
    """How many numbers the last layers give."""
    counts = [getattr(one, "out_features", getattr(one, "out_channels", 0)) for one in network.modules()]
    return set([one for one in counts if one][-2:])


def _proven(found: tuple[Architecture, ...], tensors: dict[str, Any], name: str) -> tuple[Any, Architecture] | None:
    """The first network whose names and shapes are exactly the file's, with the file's numbers in it."""
    import torch

    for one in found:
        own = one.rename(dict(tensors)) if one.rename is not None else dict(tensors)
        try:
            with blank():
                network = one.build()
        except UserError:
            raise
        except Exception:  # a library's constructor may raise anything on settings that do not fit
            continue
        state = network.state_dict()
        expected = {key: tuple(value.shape) for key, value in state.items()}
        given = {key: tuple(value.shape) for key, value in own.items()}
        if _differing(given, expected, one.spare):
            continue
        for key, each in own.items():
            if key in state and state[key].is_floating_point() and not each.is_floating_point():
                raise UserError(
                    f"{short(key)} in {name} holds whole numbers ({str(each.dtype)[6:]}), and floating-point numbers"
                    " are expected there; save the weights as training left them, in float32 or half precision."
                )
        dtype = next((each.dtype for each in own.values() if each.is_floating_point()), torch.float32)
        if dtype != torch.float32:
            network = network.to(dtype)
        state.update(
            {key: each for key, each in own.items() if key in expected}
        )  # keeps the versions that modules note
        network.load_state_dict(state, assign=True)
        network.eval().requires_grad_(False)
        return network, one
    return None


def _differing(given: Shapes, expected: Shapes, spare: tuple[str, ...] = recognition.SPARE) -> tuple[str, ...]:
    """How the tensors of a file and of a network differ, each difference with both shapes."""
    told = []
    for name in dict.fromkeys((*expected, *given)):
        if given.get(name) == expected.get(name) or (
            name.endswith(spare) and (name not in given or name not in expected)
        ):
            continue
        told.append(
            f"{short(name)} ({_shape(given.get(name))} in the file, {_shape(expected.get(name))} in the architecture)"
        )
    return tuple(told)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else "a scalar" if not shape else short(" × ".join(map(str, shape)))


def _unknown(claims: Mapping[str, Claim], name: str) -> str:
    """What to say of weights that fit nothing that is known."""
    shapes = {key: one.shape for key, one in claims.items()}
    kind = _layers.kind_of(shapes)
    if kind:
        return (
            f"{name} looks like {kind}, and how its layers are connected is in the code that made it, not in these"
            f" {len(claims)} tensors. {ELSE}"
        )
    near, prefix, inner = _nearest(shapes)
    beside = _layers.branches(shapes)
    if beside and (near is None or near.likeness < 0.6):
        return (
            f"{name} has layers that lie beside one another ({', '.join(beside[:4])}), and how they are connected is in"
            f" the code that made it, not in these {len(claims)} tensors, which are of no family that is known. {ELSE}"
        )
    start = f"The architecture of {name} ({len(claims)} tensors, {short(next(iter(claims)))} ...) is not known"
    if near is None or near.likeness < 0.3:
        return f"{start}, and no family comes near. {ELSE}"
    told = _some(_differing(inner, near.shapes())) or "nothing"
    if not prefix:
        return f"{start}; nearest is {near.title}, which differs in {told}. {ELSE}"
    rest = tuple(short(one) for one in shapes if not one.startswith(prefix))
    extra = f", and beside it lie {_some(rest)}" if rest else ""
    several = len({one.rpartition(".")[0] for one in rest}) > 1
    one_head = " Make a model that returns one of its outputs alone, and export that." if several else ""
    return (
        f"{start}; nearest to its part {short(prefix)!r} is {near.title}, which differs in {told}{extra}.{one_head}"
        f" {ELSE}"
    )


def _nearest(shapes: Shapes) -> tuple[recognition.Near | None, str, Shapes]:
    """The closest family; the prefix under which it lies in the file, and the shapes there."""
    best: tuple[recognition.Near | None, str, Shapes] = (None, "", shapes)
    prefix, inner = "", shapes
    for _ in range(4):
        for near in recognition.nearest(inner, 1):
            if best[0] is None or near.likeness > best[0].likeness:
                best = (near, prefix, inner)
        counts = Counter(one.partition(".")[0] for one in inner if "." in one)
        first, count = max(counts.items(), key=lambda one: one[1], default=("", 0))
        if 2 * count <= len(inner) or first.isdigit():
            break
        prefix += f"{first}."
        inner = {one[len(first) + 1 :]: shape for one, shape in inner.items() if one.startswith(f"{first}.")}
    return best


def _some(names: tuple[str, ...]) -> str:
    """The first few of many."""
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return f"{', '.join(names[:MOST_SHOWN])}{more}"


def parameters(network: Any) -> str:
    """How many parameters a network has, in words."""
    count = sum(one.numel() for one in network.parameters())
    return f"{count / 1e6:,.1f} million parameters" if count >= 1e6 else f"{count:,} parameters"
