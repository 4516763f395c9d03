"""assay doctor: a model before anything is explained, or what this machine can hold a stranger's model with."""

from __future__ import annotations

import argparse
from typing import Any

from app import broken, given, terminal
from app.commands import naming
from app.saying import checkup
from explainers.diagnosis import Diagnosis, Part
from explainers.runtime.types import COMMAND_LINE, Host
from explainers.verdicts import MARKS
from model_zoo.types import UserError

LAYERS = 60  # lines of the tree


def add(command: Any) -> None:
    """The command."""
    one = command("doctor", doctor, "Examine a model on one input before it is explained.", setting=True)
    one.add_argument("model", nargs="?", metavar="MODEL", help="an id of `assay models`, or a file or folder")
    one.add_argument("input", nargs="?", metavar="INPUT", help="as for `assay explain`; else one is made up")
    one.add_argument("--host", action="store_true", help="what this machine can hold a stranger's model with")
    one.add_argument("--layers", type=int, default=LAYERS, metavar="LINES", help="of the tree that are printed")
    naming.facts(one)


def doctor(chosen: argparse.Namespace) -> None:
    """assay doctor MODEL [INPUT], or assay doctor --host."""
    from explainers.runtime import Runtime

    if chosen.model is None and not chosen.host:
        raise UserError("Name a model to examine, or give --host to examine this machine.")
    with Runtime(chosen.workspace, chosen.device, server=False) as runtime:
        if chosen.host:
            print(_host(runtime.host()))
        if chosen.model is None:
            return
        card = naming.card(runtime, chosen.model, chosen)
        digest = None if chosen.input is None else given.put(runtime, card, chosen.input)
        found = runtime.doctor(card.id, digest, COMMAND_LINE)
    print(("\n" if chosen.host else "") + shown(found, chosen.layers))


def shown(found: Diagnosis, layers: int = LAYERS) -> str:
    """A diagnosis as text."""
    lines = [terminal.paragraph(f"{found.card.title}, run once on {found.sample}, on {found.device}"), ""]
    lines += [terminal.table((f"  {name.lower()}", value) for name, value in checkup.figures(found).items()), ""]
    for one in found.findings:
        sentence = checkup.sentence(one).replace("**", "")
        lines.append(terminal.paragraph(f"  {MARKS[one.verdict].sign} {one.label}: {sentence}", "    "))
    able = [one for one in found.methods if not one.reason]
    lines += ["", "Explained by:", terminal.table((f"  {one.method}", one.note or one.title) for one in able)]
    others = [(f"  {one.method}", one.reason) for one in found.methods if one.reason]
    if others:
        lines += ["", "Not for this model:", terminal.table(others)]
    if found.parts and layers > 0:
        lines += ["", "Layers:", *tree(found.parts, layers)]
    return "\n".join(lines)


def tree(parts: tuple[Part, ...], most: int) -> list[str]:
    """Layers indented by depth, the upper levels where all would be more than `most` lines."""
    depth = max(one.depth for one in parts)
    while depth and sum(one.depth <= depth for one in parts) > most:
        depth -= 1
    upper = [one for one in parts if one.depth <= depth]
    lines = [
        terminal.clean(
            f"  {'  ' * one.depth}{one.path.rpartition('.')[2] or 'model'}  {one.kind}"
            + (f", {one.parameters:,}" if one.parameters else "")
            + (f"  {one.output}" if one.output else "")
        )
        for one in upper[:most]
    ]
    left = len(parts) - len(lines)
    return [*lines, f"  and {left:,} more below these"] if left else lines


def _host(found: Host) -> str:
    rows = [
        (f"  {'✓' if one.holds else '✕'} {one.label}", "holds" if one.holds else "missing", one.sentence)
        for one in found.barriers
    ]
    lines = [terminal.paragraph(found.sentence), "", terminal.clean(found.system), terminal.table(rows)]
    failed = [terminal.paragraph(one) for one in broken.sentences()]
    return "\n".join([*lines, "", *failed] if failed else lines)
