"""assay explain: one prediction by one or several methods, printed, and written as a report or a record."""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import given, terminal
from app.commands import naming
from app.commands.records import REPORTS, check_out, unheard, write
from explainers.runtime.types import COMMAND_LINE, Request
from explainers.types import Explanation
from model_zoo import targets
from model_zoo.types import ModelCard, UserError

ON_DEMAND = ("beats_chance", "reads_the_model", "repeats", "second_opinion")


def add(command: Any) -> None:
    """The command."""
    one = command("explain", explain, "Explain a prediction by one or several methods.", setting=True)
    one.add_argument("model", metavar="MODEL", help="an id of `assay models`, or a file or folder")
    one.add_argument(
        "input", metavar="INPUT", help="a file, rows.csv:3, a bundled example's id, a text, or - for stdin"
    )
    one.add_argument("-m", "--method", action="append", metavar="METHOD", help="repeatable; see `assay methods MODEL`")
    one.add_argument("--target", metavar="CLASS", help="a class by name or number; else the predicted one")
    one.add_argument(
        "--against", metavar="CLASS", help="why the target rather than this class; runner_up for the next likely one"
    )
    one.add_argument(
        "--at",
        metavar="START:STOP",
        help="positions of an output that has some (tokens, pixels, steps), over which it is summed; or one position",
    )
    one.add_argument("--output", choices=("logit", "probability", "value"), help="the number that is explained")
    one.add_argument("--baseline", help="what stands for absence")
    one.add_argument("--players", metavar="KIND", help="who gets credit: pixels, segments, tokens, words, columns")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a method's parameter; repeatable"
    )
    one.add_argument(
        "--evidence",
        metavar="TESTS",
        help=f"tests beyond those that always run: all, or some of {', '.join(ON_DEMAND)} with commas between them",
    )
    one.add_argument(
        "-o", "--out", action="append", default=[], type=Path, metavar="FILE", help=".html, .pdf or .assay"
    )
    naming.facts(one)


def explain(chosen: argparse.Namespace) -> int:
    """assay explain MODEL INPUT."""
    from explainers.runtime import Runtime

    card = naming.bundled(chosen.model)
    evidence, at = _evidence(chosen.evidence), _span(chosen.at)
    if card is not None:  # what can be told before a worker starts
        asked = _asked(card, chosen)
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
            asked = _asked(card, chosen)
        else:
            digest = given.put(runtime, card, chosen.input)
        against = _against(runtime, card, digest, asked)
        requests = [
            Request(
                model=card.id,
                input=digest,
                method=method,
                parameters=asked.settings[method],
                target=asked.target,
                output=chosen.output,
                baseline=chosen.baseline,
                players=chosen.players,
                seed=chosen.seed,
                against=against,
                at=at,
                evidence=evidence,
            )
            for method in asked.methods
        ]
        found, failed = _run(runtime, requests)
    write(chosen.out, tuple(found))
    return 2 if failed else 0


@dataclass(frozen=True)
class Asked:
    """What is asked of a model, by ids and numbers."""

    methods: list[str]
    settings: dict[str, dict[str, Any]]  # of each method
    target: int | None
    against: int | None
    runner_up: bool  # compared with the next likely class, which only the prediction tells


def _asked(card: ModelCard, chosen: argparse.Namespace) -> Asked:
    """What the options say; UserError where a method, a parameter or a class does not exist."""
    from explainers import registry

    wanted = chosen.method or [next(one.id for one in registry.methods() if one.why_not(card) is None)]
    wanted = [registry.method(one).id for one in wanted]
    runner_up = chosen.against == targets.RUNNER_UP
    classes = (chosen.target, None if runner_up else chosen.against)
    target, against = (None if one is None else targets.index_of(card, one) for one in classes)
    return Asked(wanted, given.parameters(wanted, chosen.set), target, against, runner_up)


def _against(runtime: Any, card: ModelCard, digest: str, asked: Asked) -> int | None:
    """The class that the target is compared with."""
    if not asked.runner_up:
        return asked.against
    said = runtime.look(card.id, digest, owner=COMMAND_LINE).prediction
    return targets.resolve(card, said, asked.target, against=targets.RUNNER_UP).against


def _evidence(text: str | None) -> tuple[str, ...]:
    """The tests on demand that are asked for; UserError lists what there is."""
    from explainers import registry

    if text is None:
        return ()
    asked = registry.wanted(text if text == registry.ALL else [one.strip() for one in text.split(",")])
    return tuple(one.id for one in registry.checks() if one.id in asked and one.on_demand)


def _span(text: str | None) -> tuple[int, int] | None:
    """The first position, and the one after the last."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})(?::(\d{1,9}))?", text.strip())
    span = None if found is None else (int(found[1]), int(found[2] or int(found[1]) + 1))
    if span is None or span[1] <= span[0]:
        raise UserError(f"--at takes a position, or a span START:STOP such as 3:8; {text!r} came.")
    return span


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
