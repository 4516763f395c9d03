"""The command `assay`: everything that the browser does, on a terminal.

Exit codes: 0; 2 for what a person can mend, said in one sentence on stderr; 130 after Ctrl-C.

torch is never loaded here: models run in a worker of `explainers.runtime`, as they do for the browser.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from app import given, terminal
from app.reports import printing
from explainers.runtime.types import COMMAND_LINE, Request
from explainers.types import Explanation
from model_zoo import targets
from model_zoo.types import UserError

REPORTS = (".html", ".pdf", ".assay")
FIRST_PORT, LAST_PORT = 8501, 8520


def main(arguments: list[str] | None = None) -> int:
    """Run one command; what a person can mend is one sentence on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a bar still gets the numbers
    try:
        chosen = parser().parse_args(arguments)
        return int(chosen.run(chosen) or 0)
    except UserError as error:
        print(f"assay: {terminal.clean(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `assay models | head`
        unheard()
        return 0


def unheard() -> None:
    """Nobody reads what is printed any more; what is left to do is done all the same."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # `2>&1 | head` leaves with both
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """As UserError rather than a usage and an exit."""
        raise UserError(f"{message[:1].upper()}{message[1:].rstrip('.')}; see `{self.prog} --help`.")


def parser() -> argparse.ArgumentParser:
    """What the command line accepts."""
    top = Parser(prog="assay", description="Shows why a trained model said what it said, and how far to trust that.")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    def command(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=help, description=help)
        found.set_defaults(run=run)
        return found

    def setting(found: argparse.ArgumentParser) -> None:
        found.add_argument("--device", choices=("auto", "cuda", "mps", "cpu"), help="where models compute")
        found.add_argument("--workspace", type=Path, help="the folder that keeps runs and their inputs")

    command("models", models, "List the models.")
    one = command("methods", methods, "List the methods that explain a model, and why the others do not.")
    one.add_argument("model", metavar="MODEL")

    one = command("explain", explain, "Explain a prediction by one or several methods.")
    one.add_argument("model", metavar="MODEL")
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
    setting(one)

    one = command("open", open_, "Show a .assay record.")
    one.add_argument("record", type=Path, metavar="RECORD")
    one = command("report", report, "Write the report of a .assay record.")
    one.add_argument("record", type=Path, metavar="RECORD")
    one.add_argument("-o", "--out", action="append", required=True, type=Path, metavar="FILE", help=".html or .pdf")

    one = command("serve", serve, "Open the dashboard in the browser; it listens on this machine only.")
    one.add_argument("--port", type=int, help=f"else the first free one from {FIRST_PORT}")
    one.add_argument("--no-browser", action="store_true", help="do not open a browser")
    setting(one)
    return top


# -- commands --------------------------------------------------------------------------------------------------------


def models(chosen: argparse.Namespace) -> None:
    """assay models."""
    from model_zoo import catalogue

    print(terminal.table((card.id, card.modality, f"{card.title}. {card.description}") for card in catalogue.cards()))
    for one in catalogue.broken():
        print(f"assay: the model {one.name} did not load: {terminal.clean(one.reason)}", file=sys.stderr)


def methods(chosen: argparse.Namespace) -> None:
    """assay methods MODEL."""
    from explainers import methods_for, registry
    from model_zoo import catalogue

    found = methods_for(catalogue.card(chosen.model))
    print(terminal.table((one.method.id, f"{one.method.title}. {one.method.summary}") for one in found if one))
    others = [(one.method.id, one.reason or "") for one in found if not one]
    if others:
        print("\nNot for this model:\n" + terminal.table(others))
    for one in registry.broken():
        print(f"assay: the plug-in {one.name} did not load: {terminal.clean(one.reason)}", file=sys.stderr)


def explain(chosen: argparse.Namespace) -> int:
    """assay explain MODEL INPUT."""
    from explainers import registry
    from explainers.runtime import Runtime
    from model_zoo import catalogue

    card = catalogue.card(chosen.model)
    wanted = chosen.method or [next(one.id for one in registry.methods() if one.why_not(card) is None)]
    settings = given.parameters(wanted, chosen.set)
    target = None if chosen.target is None else targets.index_of(card, chosen.target)
    for path in chosen.out:
        check_out(path, REPORTS)
    with Runtime(chosen.workspace, chosen.device, server=False) as runtime:
        digest = given.put(runtime, card, chosen.input)
        jobs: list[str] = []
        try:
            for method in wanted:
                request = Request(
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
                jobs.append(runtime.submit(request, COMMAND_LINE))
            found, failed = [], False
            for job in jobs:
                try:
                    found.append(watched(runtime, job))
                except UserError as error:
                    failed = True
                    print(f"assay: {runtime.job(job).title}: {terminal.clean(error)}", file=sys.stderr)
                    continue
                try:
                    print(("\n" if len(found) > 1 else "") + terminal.shown(found[-1]), flush=True)
                except BrokenPipeError:  # `assay explain ... -o report.html | head` still wants its report
                    unheard()
        except BaseException:
            for job in jobs:
                if runtime.job(job).status in ("queued", "running"):
                    runtime.cancel(job)
            raise
    write(chosen.out, tuple(found))
    return 2 if failed else 0


def open_(chosen: argparse.Namespace) -> None:
    """assay open RECORD."""
    from explainers.record import open_record

    print("\n\n".join(terminal.shown(one) for one in open_record(chosen.record).explanations))


def report(chosen: argparse.Namespace) -> None:
    """assay report RECORD -o FILE."""
    from explainers.record import open_record

    for path in chosen.out:
        check_out(path, REPORTS)
    write(chosen.out, open_record(chosen.record).explanations)


def serve(chosen: argparse.Namespace) -> NoReturn:
    """assay serve: this process becomes Streamlit's."""
    from app import config
    from explainers.runtime.store import default_workspace

    port = chosen.port or next((one for one in range(FIRST_PORT, LAST_PORT + 1) if free(one)), FIRST_PORT)
    if not 1 <= port <= 65535:
        raise UserError(f"A port lies between 1 and 65535; {port} came.")
    if not free(port):
        raise UserError(f"Port {port} is taken, perhaps by another Assay; choose another with --port.")
    workspace = (chosen.workspace or default_workspace()).expanduser().resolve()
    os.environ[config.WORKSPACE] = str(workspace)
    if chosen.device:
        os.environ[config.DEVICE] = chosen.device
    print(f"Assay is at http://127.0.0.1:{port} and keeps its runs in {workspace}. Ctrl-C stops it.", flush=True)
    flags = config.flags(server_port=port, server_headless=chosen.no_browser)
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(config.MAIN), *flags])


# -- what a person gets ----------------------------------------------------------------------------------------------


def watched(runtime: Any, job: str) -> Explanation:
    """The result of a job, with its progress on stderr until then."""
    line = terminal.Progress()
    try:
        version = -1
        while (now := runtime.job(job)).status in ("queued", "running"):
            if now.version != version:
                version = now.version
                line.show(now)
            time.sleep(0.02)
    finally:
        line.clear()
    return runtime.result(job)


def check_out(path: Path, endings: tuple[str, ...]) -> None:
    """Refuse a place that cannot be written to before the work rather than after it."""
    if path.suffix.lower() not in endings:
        raise UserError(f"A report ends in {', '.join(endings)}; {path.name!r} came.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"There is no folder {path.absolute().parent}; make it first.")
    if path.suffix.lower() == ".pdf" and printing.browser() is None:
        raise UserError(printing.NO_BROWSER)


def write(paths: list[Path], explanations: tuple[Explanation, ...]) -> None:
    """Write a record or a report to each path."""
    if not explanations:
        return
    for path in paths:
        if path.suffix.lower() == ".assay":
            from explainers import record

            record.save(path, explanations)
        else:
            from app.reports.report import write as write_report

            write_report(path, explanations)
        try:
            print(f"Written: {path}", file=sys.stderr, flush=True)
        except BrokenPipeError:
            unheard()


def free(port: int) -> bool:
    """Whether nobody listens on this port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
