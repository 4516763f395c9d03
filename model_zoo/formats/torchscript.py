"""TorchScript: a network with its code, as torch.jit.save writes it; scripted, traced, frozen and quantised ones.

An archive of code in a small language of its own and of tensors. That code may read and write files
(docs/safety.md), so it runs in the sandbox alone. Gradients, attention and spatial maps are seen at the level of
operators, for the parts of a script take no hooks. It is run by the executor that optimises nothing: the other one
profiles its first runs and then rewrites itself, so that later runs would differ from the first.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

from model_zoo import guessing
from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.types import UserError, quoted

# Operators, after the last that counts, that leave the numbers as they are.
SHAPING = {
    "prim::TupleConstruct",
    "prim::ListConstruct",
    *(f"aten::{one}" for one in ("view", "reshape", "flatten", "squeeze", "unsqueeze", "to", "contiguous", "float")),
}


def _sniff(file: ModelFile) -> bool:
    return any(one.rpartition("/")[2] == "constants.pkl" for one in file.entries) and any(
        "/code/" in f"/{one}" for one in file.entries
    )


def _open(file: ModelFile, said: Facts) -> Opened:
    import torch

    from model_zoo.formats import _graphs

    script = _loaded(file)
    roles, names = _signature(script, file.name)
    graph = _graphs.Graph(_graphs.Script(script), roles, pad=_graphs.pad_of(said.tokenizer), mark=_graphs.mark(file))
    guess = guessing.by_network(script)
    if "x" in names and (len(roles) > 1 or names[roles.index("x")].lower() == "input_ids"):
        guess = Facts(modality="text")
    facts = said.over(guess)
    dtype = next((one.dtype for one in script.parameters() if one.is_floating_point()), torch.float32)
    if facts.modality == "image" and facts.size is None:
        channels = facts.channels or 3
        with torch.no_grad():
            size = guessing.picture_size(lambda *size: graph(torch.zeros(1, channels, *size, dtype=dtype)))
        guess = dataclasses.replace(guess, size=size)
    inputs = _graphs.example(said.over(guess), dtype, rows=2)
    if inputs is not None:
        _graphs.fit(graph, inputs)
    graph.columns = len(guess.columns) or None
    width, more = _graphs.returned(graph, inputs)
    guess = _graphs.scored(guess, said, _ends_in_sigmoid(script), width)
    count = sum(one.numel() for one in script.parameters())
    notes = (*more, *_graphs.labelled(guess, width), *_graphs.notes(graph))
    return Opened(graph, guess, f"TorchScript {script.original_name}, {count:,} parameters", notes)


def _ends_in_sigmoid(script: Any) -> bool:
    """Whether the scores, but for their shape, come out of a sigmoid."""
    graph = script.inlined_graph  # its nodes live as long as it does
    found = next(graph.outputs()).node()
    while found.kind() in SHAPING:
        found = next(found.inputs()).node()
    return found.kind() in ("aten::sigmoid", "aten::sigmoid_")


def _loaded(file: ModelFile) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is deprecated; such files stay
            script = torch.jit.load(str(file.path), map_location="cpu")
    except (RuntimeError, ValueError, OSError, EOFError) as error:
        raise UserError(
            f"{file.name} is a TorchScript file that cannot be read: {quoted(error, 160)}. Save it again with"
            f" torch.jit.save, with a torch no newer than {torch.__version__.partition('+')[0]}."
        ) from error
    if not hasattr(script, "forward"):
        raise UserError(f"{file.name} has no forward method; save the module itself with torch.jit.save.")
    script.eval()
    for one in script.parameters():
        one.requires_grad_(False)
    return script


def _signature(script: Any, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What each input is, and its name; UserError where one is no tensor, or where there are too many."""
    from model_zoo.formats import _graphs

    wanted = [one for one in script.forward.schema.arguments[1:] if not one.has_default_value()]
    for one in wanted:
        if str(one.type) not in ("Tensor", "Optional[Tensor]"):
            raise UserError(
                f"{name} takes {one.name} as {one.type}; a model of one tensor is expected. Wrap it in a module whose"
                " forward takes one batch, and save it again."
            )
    names = tuple(one.name for one in wanted)
    return _graphs.roles(names, name), names


FORMAT = Format(
    id="torchscript",
    title="TorchScript",
    endings=(".pt", ".pth", ".ts", ".torchscript"),
    trust=Trust.SANDBOX,
    sniff=_sniff,
    open=_open,
    summary="Scripted and traced networks with their code; explained with gradients unless they are quantised.",
    order=20,
)
