"""torch.export archives (.pt2) whose parts are numbers and a graph: proven to hold nothing that runs code by itself.

_pt2.py tells them, and makes the archive anew of what was checked. The graph's operators still run natively, so it is
opened in the sandbox. Its mode, training or evaluation, was fixed when it was exported.
"""

from __future__ import annotations

from typing import IO, Any

from model_zoo import guessing
from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _pt2
from model_zoo.types import UserError, quoted

# What may come before whole numbers are made floats, and what makes them floats.
LAYOUT = ("permute", "transpose", "view", "reshape", "flatten", "squeeze", "unsqueeze", "contiguous", "clone", "alias")
FLOATING = ("to", "_to_copy", "div")
# Operators, after the last that counts, that leave the numbers as they are.
SHAPING = ("view", "reshape", "flatten", "squeeze", "unsqueeze", "to", "_to_copy", "contiguous", "clone", "alias")


def _sniff(file: ModelFile) -> bool:
    try:
        return _pt2.archive(file) and not _pt2.libraries(file) and not _pt2.danger(file)
    except UserError:  # damaged: opening it says so
        return True


def _open(file: ModelFile, said: Facts) -> Opened:
    return opened(file, _pt2.made_anew(file), said)


def opened(file: ModelFile, archive: IO[bytes], said: Facts) -> Opened:
    """The program in an archive, ready to be run on batches of any size."""
    import torch

    from model_zoo.formats import _graphs

    exported = _loaded(file, archive)
    inputs = _inputs(exported, file.name)
    roles = _graphs.roles([name for name, _ in inputs], file.name)
    name, value = inputs[roles.index("x")]
    shape = [one if isinstance(one, int) else None for one in value.shape]
    guess = guessing.by_shape(shape, value.dtype, name)
    facts = said.over(guess)
    program = exported.module(check_guards=False)  # guards are Python of the file's own
    floats = value.dtype if value.dtype.is_floating_point else torch.float32
    graph = _graphs.Graph(
        program,
        roles,
        pad=_graphs.pad_of(said.tokenizer),
        last=facts.modality == "image" and guessing.layout(shape) == "NHWC",
        length=shape[1] if facts.modality == "text" and len(shape) == 2 else None,
        kind=value.dtype if value.dtype not in (torch.float32, torch.int64) else None,
        smooth=not value.dtype.is_floating_point and facts.modality != "text" and _smoothed(program, name),
        mark=_graphs.mark(file),
    )
    rows = _graphs.example(facts, floats, rows=2)
    if shape and shape[0] is not None and (rows is None or facts.modality == "text"):
        graph.batch = shape[0]
    elif rows is not None:
        _graphs.fit(graph, rows)
    graph.columns = len(guess.columns) or None
    width, more = _graphs.returned(graph, rows)
    guess = _graphs.scored(guess, said, _ends_in_sigmoid(exported), width)
    count = sum(one.numel() for one in program.parameters())
    what = f"torch.export program, {len(exported.graph.nodes):,} operators, {count:,} parameters"
    return Opened(
        graph, guess, what, (*more, *_graphs.labelled(guess, width), *_graphs.notes(graph, facts.modality != "text"))
    )


def _ends_in_sigmoid(exported: Any) -> bool:
    """Whether the scores, but for their shape, come out of a sigmoid."""
    names = {node.name: node for node in exported.graph.nodes}
    found = names.get(next(iter(exported.graph_signature.user_outputs), None))
    while found is not None and _operator(found) in SHAPING:
        found = found.args[0]
    return found is not None and _operator(found) in ("sigmoid", "sigmoid_")


def _smoothed(program: Any, name: str) -> bool:
    """Whether an input of whole numbers is turned into floats before all else; then it may be given as floats, for
    what checks its type is taken out of the program."""
    waiting = [node for node in program.graph.nodes if node.op == "placeholder" and node.target == name]
    checks: list[Any] = []
    seen = False
    while waiting:
        for user in waiting.pop().users:
            kind, dtype = _operator(user), getattr(user.meta.get("val"), "dtype", None)
            if kind == "_assert_tensor_metadata":
                checks.append(user)
            elif kind in FLOATING and dtype is not None and dtype.is_floating_point:
                seen = True
            elif kind in LAYOUT:
                waiting.append(user)
            else:
                return False
    for one in checks if seen else ():
        program.graph.erase_node(one)
    program.recompile()
    return seen


def _operator(node: Any) -> str:
    """The plain name of a node's operator: view of aten.view.default."""
    parts = str(node.target).split(".")
    return parts[1] if parts[0] == "aten" and len(parts) > 1 else ""


def _loaded(file: ModelFile, archive: IO[bytes]) -> Any:
    import logging
    import warnings

    import torch

    said = logging.getLogger("torch.export")
    level = said.level
    said.setLevel(logging.CRITICAL)  # it tells of what fails below by itself
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(archive)
    except Exception as error:  # the reader of a hostile file may raise anything
        raise UserError(
            f"{file.name} is a torch.export archive that cannot be read: {quoted(error)}. Export and save it again"
            f" with torch {torch.__version__.partition('+')[0]}: torch.export.save(torch.export.export(model, inputs),"
            " path)."
        ) from error
    finally:
        said.setLevel(level)


def _inputs(exported: Any, title: str) -> list[tuple[str, Any]]:
    """Name and described tensor of each input that a person gives."""
    names = [str(one) for one in exported.graph_signature.user_inputs if isinstance(one, str)]
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes if node.op == "placeholder"}
    found = [(name, values.get(name)) for name in names]
    for name, value in found:
        if not hasattr(value, "shape"):
            raise UserError(
                f"{title} takes {name} as {type(value).__name__}; a model of one tensor is expected. Export it with one"
                " batch as its only input."
            )
    return found


FORMAT = Format(
    id="export",
    title="torch.export program",
    endings=(".pt2",),
    trust=Trust.SANDBOX,
    sniff=_sniff,
    open=_open,
    summary="Exported programs of torch 2.9 and newer with plain weights; explained with gradients.",
    order=21,
)
