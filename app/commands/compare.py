"""assay compare: one input by several methods, and how far they agree; printed, and written as a report or a record."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from app import given, terminal
from app.commands import naming
from app.commands.explain import watched
from app.commands.records import REPORTS, check_out, write
from explainers.runtime.types import COMMAND_LINE, Look, Request
from explainers.types import Explanation
from model_zoo import targets
from model_zoo.types import ModelCard, UserError

DEFAULT = 3  # methods, where neither some nor a time are given


def add(command: Any) -> None:
    """The command."""
    one = command(
        "compare", compare, "Explain a prediction by several methods and say how far they agree.", setting=True
    )
    one.add_argument("model", metavar="MODEL", help="an id of `assay models`, or a file or folder")
    one.add_argument(
        "input", metavar="INPUT", help="a file, rows.csv:3, a bundled example's id, a text, or - for stdin"
    )
    one.add_argument("-m", "--method", action="append", metavar="METHOD", help="repeatable; see `assay methods MODEL`")
    one.add_argument(
        "--good-set", type=float, metavar="SECONDS", help="methods of different families that fit this time"
    )
    one.add_argument("--targets", metavar="CLASS,CLASS", help="classes by name or number; else the predicted one")
    one.add_argument("--against", metavar="CLASS", help="why each of them rather than this class")
    one.add_argument("--output", choices=("logit", "probability", "value"), help="the number that is explained")
    one.add_argument("--baseline", help="what stands for absence, for methods that compare with one baseline")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument(
        "-o", "--out", action="append", default=[], type=Path, metavar="FILE", help=".html, .pdf or .assay"
    )
    naming.facts(one)


def compare(chosen: argparse.Namespace) -> int:
    """assay compare MODEL INPUT."""
    from explainers import comparing
    from explainers.runtime import Runtime

    if chosen.method and chosen.good_set is not None:
        raise UserError("Give either methods with -m or a time with --good-set, not both.")
    if chosen.good_set is not None and not 0 < chosen.good_set < float("inf"):
        raise UserError(f"--good-set is a number of seconds above 0; {chosen.good_set:g} came.")
    for path in chosen.out:
        check_out(path, REPORTS)
    card = naming.bundled(chosen.model)
    if card is None:
        naming.said(chosen)
    with Runtime(chosen.workspace, chosen.device, server=False) as runtime:
        if card is None or naming.anything(chosen):
            card = naming.card(runtime, chosen.model, chosen)
        digest = given.put(runtime, card, chosen.input)
        look = runtime.look(card.id, digest, owner=COMMAND_LINE)
        wanted = _methods(runtime, look, digest, chosen)
        found, failed = _run(runtime, look.card, digest, wanted, chosen)
    groups = [group for group in found if len(group) > 1]
    comparisons = tuple(comparing.compare(group) for group in groups)
    for one in comparisons:
        print(terminal.compared(one), flush=True)
    write(chosen.out, tuple(one for group in found for one in group), comparisons)
    if not comparisons:
        raise UserError("Fewer than two methods have answered, so there is nothing to compare.")
    return 2 if failed else 0


def _methods(runtime: Any, look: Look, digest: str, chosen: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The methods with their parameters; those of a good set with the reasons printed."""
    from explainers import registry
    from explainers.good_set import counted, good_set, paced

    card = look.card
    if chosen.method:
        given.parameters(chosen.method, [])  # says which do not exist
        if len(set(chosen.method)) < 2:
            raise UserError("Two methods or more are compared; name them with -m, or give a time with --good-set.")
        return {one: {} for one in chosen.method}
    if chosen.good_set is None:
        applying = [one for one in registry.methods() if one.why_not(card) is None]
        families = {one.family: one.id for one in reversed(applying)}
        return {one: {} for one in list(reversed(families.values()))[:DEFAULT]}
    examined = runtime.doctor(card.id, digest, COMMAND_LINE)
    pace, refused = paced(examined, lambda method: runtime.past(card.id, method))
    each = chosen.good_set / max(1, len(_targets(card, chosen)))
    found = good_set(card, lambda method: counted(card, look.sample, method), each, pace, refused)
    print(terminal.paragraph(found.sentence))
    for pick in found.picks:
        print(terminal.paragraph(f"  + {pick.method.title}: {pick.reason}", "    "))
    print(terminal.paragraph(f"  - {len(found.left)} others were left out.", "    "), flush=True)
    return {one.method.id: one.parameters for one in found.picks}


def _targets(card: ModelCard, chosen: argparse.Namespace) -> list[int | None]:
    """The classes; None is the predicted one. A whole argument may be the name of one class, commas and all."""
    if chosen.targets is None:
        return [None]
    if chosen.targets in card.labels:
        return [targets.index_of(card, chosen.targets)]
    return [targets.index_of(card, one.strip()) for one in chosen.targets.split(",") if one.strip()]


def _run(
    runtime: Any, card: ModelCard, digest: str, wanted: dict[str, dict[str, Any]], chosen: argparse.Namespace
) -> tuple[list[list[Explanation]], bool]:
    """The explanations by target, and whether one failed; all are cancelled where this is stopped."""
    import secrets

    from explainers import registry

    against = None if chosen.against is None else targets.index_of(card, chosen.against)
    group, jobs, failed = secrets.token_hex(8), [], False
    found: list[list[Explanation]] = []
    try:
        for target in _targets(card, chosen):
            row = [
                Request(
                    model=card.id,
                    input=digest,
                    method=method,
                    parameters=parameters,
                    target=target,
                    output=chosen.output,
                    baseline=chosen.baseline if registry.method(method).absence == "baseline" else None,
                    seed=chosen.seed,
                    group=group,
                    against=against,
                )
                for method, parameters in wanted.items()
            ]
            jobs.append([runtime.submit(one, COMMAND_LINE) for one in row])
        for row_of_jobs in jobs:
            found.append([])
            for job in row_of_jobs:
                try:
                    found[-1].append(watched(runtime, job))
                except UserError as error:
                    failed = True
                    naming.tell(f"{runtime.job(job, COMMAND_LINE).title}: {error}")
    except BaseException:
        for job in (one for row_of_jobs in jobs for one in row_of_jobs):
            if runtime.job(job, COMMAND_LINE).status in ("queued", "running"):
                runtime.cancel(job, COMMAND_LINE)
        raise
    return found, failed
