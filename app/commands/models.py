"""assay models: what there is, one's own too; what explains a model, and a model file's card."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

from app import broken, terminal
from app.commands import naming
from explainers.runtime.types import COMMAND_LINE
from model_zoo.facts import Facts
from model_zoo.files import Reading
from model_zoo.types import ModelCard, UserError

Command = Callable[..., argparse.ArgumentParser]
MANY = 50  # outputs for which a card begins with made-up names


def add(command: Command) -> None:
    """The commands of this file."""
    one = command("models", models, "List the models, or add and remove one's own.", setting=True)
    one.add_argument("--add", metavar="FILE", help="a file or folder, which stays where it is")
    one.add_argument("--remove", metavar="ID", help="forget one's own model; an attached file stays as it is")
    naming.facts(one)
    one = command("methods", methods, "List the methods that explain a model, and why the others do not.", setting=True)
    one.add_argument("model", metavar="MODEL", help="an id of `assay models`, or a file or folder")
    naming.facts(one)
    one = command("card", card, "Write what a model's file says of itself as a card to complete.", setting=True)
    one.add_argument("model", metavar="MODEL", help="a file or folder")
    one.add_argument("-o", "--out", type=Path, metavar="CARD.json", help="else it is printed")
    naming.facts(one)


def models(chosen: argparse.Namespace) -> None:
    """assay models [--add FILE | --remove ID]."""
    from explainers.runtime import Runtime
    from model_zoo import catalogue

    with Runtime(chosen.workspace, chosen.device, server=False) as runtime:
        if chosen.remove:
            one = next((one for one in runtime.uploads(COMMAND_LINE) if one.id == chosen.remove), None)
            if one is None:
                raise UserError(f"There is no model {chosen.remove!r} of yours; `assay models` lists them.")
            runtime.remove(one.id, COMMAND_LINE)
            print(f"Removed: {terminal.clean(one.title)}", file=sys.stderr)
        if chosen.add:
            if not naming.exists(chosen.add):
                raise UserError(f"There is no file or folder {chosen.add!r}; check the path.")
            found = naming.described(runtime, runtime.attach(chosen.add, COMMAND_LINE), chosen)
            print(terminal.table([_row(found)]))
        if chosen.add or chosen.remove:
            return
        own = runtime.uploads(COMMAND_LINE)
    print(terminal.table(_row(one) for one in catalogue.cards()))
    if own:
        print("\nYour own:")
        print(terminal.table(_row(one.card) if one.card else (one.id, "not described", one.name) for one in own))
    for sentence in broken.sentences():
        naming.tell(sentence)


def methods(chosen: argparse.Namespace) -> None:
    """assay methods MODEL."""
    from explainers import methods_for, registry
    from explainers.runtime import Runtime

    found = naming.bundled(chosen.model)
    if found is None:
        if not naming.exists(chosen.model) and "." in chosen.model:
            naming.missing(chosen.model)
        with Runtime(chosen.workspace, chosen.device, server=False) as runtime:
            found = naming.card(runtime, chosen.model, chosen)
    listed = methods_for(found)
    print(terminal.table((one.method.id, f"{one.method.title}. {one.method.summary}") for one in listed if one))
    others = [(one.method.id, one.reason or "") for one in listed if not one]
    if others:
        print("\nNot for this model:\n" + terminal.table(others))
    for one in registry.broken():
        naming.tell(f"the plug-in {one.name} did not load: {one.reason}")


def card(chosen: argparse.Namespace) -> None:
    """assay card MODEL [-o CARD.json]."""
    from explainers.runtime import Runtime

    if naming.bundled(chosen.model) is not None:
        raise UserError(f"{chosen.model} is bundled and has its card already; give a model file.")
    if chosen.out is not None and not chosen.out.absolute().parent.is_dir():
        raise UserError(f"There is no folder {chosen.out.absolute().parent}; make it first.")
    with Runtime(chosen.workspace, chosen.device, server=False) as runtime:
        one = naming.upload(runtime, chosen.model)
        said = naming.said(chosen).over(one.facts)
        reading = runtime.inspect(one.id, COMMAND_LINE, said)
    text = begun(reading, said).dump()
    for line in (reading.what, *reading.notes, reading.problem and f"A first run did not work: {reading.problem}"):
        if line:
            naming.tell(line)
    for choice in reading.choices:
        naming.tell(f"could be {choice.id}: {choice.title}; {choice.reason}")
    for name in reading.required:
        naming.tell(f"still to be said: {name}, for instance by {naming.FLAGS.get(name, 'the card')}")
    if chosen.out is None:
        print(text, end="")
    else:
        chosen.out.write_text(text, encoding="utf-8")
        print(f"Written: {chosen.out}", file=sys.stderr)


def begun(reading: Reading, said: Facts) -> Facts:
    """A card to complete: what was said over what was found, and names of classes to be replaced."""
    found = said.over(reading.guess)
    if found.labels or not reading.outputs or reading.outputs > MANY or found.task == "regression":
        return found
    count = 2 if found.task == "binary" else reading.outputs
    return dataclasses.replace(found, labels=tuple(f"class {one}" for one in range(count)))


def _row(one: ModelCard) -> tuple[str, str, str]:
    return one.id, one.modality, f"{one.title}. {one.description}"
