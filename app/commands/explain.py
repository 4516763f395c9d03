"""assay explain: one prediction by one or several methods, printed, and written as a report or a record."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from app import given, terminal
from app.commands import naming
from app.commands.records import REPORTS, check_out, unheard, write
from explainers.runtime.types import COMMAND_LINE, Request
from explainers.types import Explanation
from model_zoo import targets
from model_zoo.types import ModelCard, UserError


def add(command: Any) -> None:
    """The command."""
    one = command("explain", explain, "Explain a prediction by one or several methods.", setting=True)
    one.add_argument("model", metavar="MODEL", help="an id of `assay models`, or a file or folder")
    one.add_argument(
        "input", metavar="INPUT", help="a file, rows.csv:3, a bundled example's id, a text, or - for stdin"
    )
    one.add_argument("-m", "--method", action="append", metavar="METHOD", help="repeatable; see `assay methods MODEL`")
    one.add_argument("--target", metavar="CLASS", help="a class by name or number; else the predicted one")
    one.add_argument("--output", choices=("logit", "probability", "value"), help="the number that is explained")
    one.add_argument("--baseline", help="what stands for absence")
    one.add_argument("--players", metavar="KIND", help="who gets credit: pixels, segments, tokens, words, columns")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a method's parameter; repeatable"
    )
    one.add_argument(
        "-o", "--out", action="append", default=[], type=Path, metavar="FILE", help=".html, .pdf or .assay"
    )
    naming.facts(one)


def explain(chosen: argparse.Namespace) -> int:
    """assay explain MODEL INPUT."""
    from explainers.runtime import Runtime

    card = naming.bundled(chosen.model)
    if card is not None:  # what can be told before a worker starts
        wanted, settings, target = _asked(card, chosen)
    else:
        naming.said(chosen)
        if chosen.method:
            given.parameters(chosen.method, chosen.set)
    for path in chosen.out:
        check_out(path, REPORTS)
    with Runtime(chosen.workspace, chosen.device, server=False) as runtime:
        if card is None or naming.anything(chosen):
            card = naming.card(runtime, chosen.model, chosen)
            digest = given.put(runtime, card, chosen.input)
            card = runtime.look(card.id, digest, owner=COMMAND_LINE).card  # completed by its first run
            wanted, settings, target = _asked(card, chosen)
        else:
            digest = given.put(runtime, card, chosen.input)
        requests = [
            Request(
                model=card.id,
                input=digest,
                method=method,
                parameters=settings[method],
                target=target,
                output=chosen.output,
                baseline=chosen.baseline,
                players=chosen.players,
                seed=chosen.seed,
            )
            for method in wanted
        ]
        found, failed = _run(runtime, requests)
    write(chosen.out, tuple(found))
    return 2 if failed else 0


def _asked(card: ModelCard, chosen: argparse.Namespace) -> tuple[list[str], dict[str, dict[str, Any]], int | None]:
    """Methods, their parameters, and the class; UserError where one does not exist."""
    from explainers import registry

    wanted = chosen.method or [next(one.id for one in registry.methods() if one.why_not(card) is None)]
    target = None if chosen.target is None else targets.index_of(card, chosen.target)
    return wanted, given.parameters(wanted, chosen.set), target


def _run(runtime: Any, requests: list[Request]) -> tuple[list[Explanation], bool]:
    """Every explanation, printed as it comes, and whether one failed; all are cancelled where this is stopped."""
    jobs: list[str] = []
    found: list[Explanation] = []
    failed = False
    try:
        for request in requests:
            jobs.append(runtime.submit(request, COMMAND_LINE))
        for job in jobs:
            try:
                found.append(watched(runtime, job))
            except UserError as error:
                failed = True
                naming.tell(f"{runtime.job(job, COMMAND_LINE).title}: {error}")
                continue
            try:
                print(("\n" if len(found) > 1 else "") + terminal.shown(found[-1]), flush=True)
            except BrokenPipeError:  # `assay explain ... -o report.html | head` still wants its report
                unheard()
    except BaseException:
        for job in jobs:
            if runtime.job(job, COMMAND_LINE).status in ("queued", "running"):
                runtime.cancel(job, COMMAND_LINE)
        raise
    return found, failed


def watched(runtime: Any, job: str) -> Explanation:
    """The result of a job, with its progress on stderr until then."""
    line = terminal.Progress()
    try:
        version = -1
        while (now := runtime.job(job, COMMAND_LINE)).status in ("queued", "running"):
            if now.version != version:
                version = now.version
                line.show(now)
            time.sleep(0.02)
    finally:
        line.clear()
    return runtime.result(job, COMMAND_LINE)
