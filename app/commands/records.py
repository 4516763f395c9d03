"""assay open, assay report: .assay records, which need no model; and how every command writes what it found."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from app import terminal
from app.reports import printing
from explainers.comparing import Comparison
from explainers.types import Explanation
from model_zoo.types import UserError

REPORTS = (".html", ".pdf", ".assay")


def add(command: Any) -> None:
    """The commands of this file."""
    one = command("open", open_, "Show a .assay record.")
    one.add_argument("record", type=Path, metavar="RECORD")
    one = command("report", report, "Write the report of a .assay record.")
    one.add_argument("record", type=Path, metavar="RECORD")
    one.add_argument("-o", "--out", action="append", required=True, type=Path, metavar="FILE", help=".html or .pdf")


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


def check_out(path: Path, endings: tuple[str, ...]) -> None:
    """Refuse a place that cannot be written to before the work rather than after it."""
    if path.suffix.lower() not in endings:
        raise UserError(f"A report ends in {', '.join(endings)}; {path.name!r} came.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"There is no folder {path.absolute().parent}; make it first.")
    if path.suffix.lower() == ".pdf" and printing.browser() is None:
        raise UserError(printing.NO_BROWSER)


def write(paths: list[Path], explanations: tuple[Explanation, ...], comparisons: tuple[Comparison, ...] = ()) -> None:
    """Write a record or a report to each path; a report holds what was compared as well."""
    if not explanations:
        return
    for path in paths:
        if path.suffix.lower() == ".assay":
            from explainers import record

            record.save(path, explanations)
        else:
            from app.reports.report import write as write_report

            write_report(path, explanations, comparisons)
        try:
            print(f"Written: {path}", file=sys.stderr, flush=True)
        except BrokenPipeError:
            unheard()


def unheard() -> None:
    """Nobody reads what is printed any more; what is left to do is done all the same."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # `2>&1 | head` leaves with both
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
