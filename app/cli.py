"""The command `assay`: everything that the browser does, on a terminal. Each command is a file in commands/.

Exit codes: 0; 2 for what a person can mend, said in one sentence on stderr; 130 after Ctrl-C.

torch is never loaded here: models run in a worker of `explainers.runtime`, as they do for the browser.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from app import terminal
from app.commands import compare, doctor, explain, models, records, serve
from model_zoo.types import UserError

COMMANDS = (models, explain, compare, doctor, records, serve)


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
        records.unheard()
        return 0


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """As UserError rather than a usage and an exit."""
        raise UserError(f"{message[:1].upper()}{message[1:].rstrip('.')}; see `{self.prog} --help`.")


def parser() -> argparse.ArgumentParser:
    """What the command line accepts."""
    top = Parser(prog="assay", description="Shows why a trained model said what it said, and how far to trust that.")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    def command(name: str, run: Any, help: str, setting: bool = False) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=help, description=help)
        found.set_defaults(run=run)
        if setting:
            found.add_argument("--device", choices=("auto", "cuda", "mps", "cpu"), help="where models compute")
            found.add_argument("--workspace", type=Path, help="the folder that keeps runs, inputs and models")
        return found

    for one in COMMANDS:
        one.add(command)
    return top


if __name__ == "__main__":
    sys.exit(main())
