"""assay serve: the dashboard in the browser; this process becomes Streamlit's."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from model_zoo.types import UserError

FIRST_PORT, LAST_PORT = 8501, 8520
DANGER = (
    "pickle and joblib files that people upload will be opened, and such a file runs any code that it holds. It runs in"
    " the sandbox, which is then all that stands between that code and this machine."
)


def add(command: Any) -> None:
    """The command."""
    one = command("serve", serve, "Open the dashboard in the browser; it listens on this machine only.", setting=True)
    one.add_argument("--port", type=int, help=f"else the first free one from {FIRST_PORT}")
    one.add_argument("--no-browser", action="store_true", help="do not open a browser")
    one.add_argument("--shared", action="store_true", help="everybody sees everybody's models")
    one.add_argument(
        "--models", action="append", default=[], type=Path, metavar="DIR",
        help="a folder of models that may be opened where they lie; repeatable",
    )  # fmt: skip
    one.add_argument(
        "--allow-pickles-that-run-code", action="store_true",
        help="open pickles and joblib files too, which run any code that they hold, in the sandbox",
    )  # fmt: skip
    one.add_argument("--memory", type=float, metavar="GIB", help="that one model may take")
    one.add_argument("--quota", type=float, metavar="GIB", help="that one person may keep")


def serve(chosen: argparse.Namespace) -> NoReturn:
    """assay serve."""
    from app import config
    from explainers.runtime.store import default_workspace

    port = chosen.port or next((one for one in range(FIRST_PORT, LAST_PORT + 1) if free(one)), FIRST_PORT)
    if not 1 <= port <= 65535:
        raise UserError(f"A port lies between 1 and 65535; {port} came.")
    if not free(port):
        raise UserError(f"Port {port} is taken, perhaps by another Assay; choose another with --port.")
    workspace = (chosen.workspace or default_workspace()).expanduser().resolve()
    os.environ.update(environment(chosen) | {config.WORKSPACE: str(workspace)})
    if chosen.allow_pickles_that_run_code:
        print(f"assay: warning: {DANGER}", file=sys.stderr, flush=True)
    print(f"Assay is at http://127.0.0.1:{port} and keeps its runs in {workspace}. Ctrl-C stops it.", flush=True)
    flags = config.flags(server_port=port, server_headless=chosen.no_browser)
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(config.MAIN), *flags])


def environment(chosen: argparse.Namespace) -> dict[str, str]:
    """The options as the variables that the server reads; UserError names one that cannot be."""
    from app import config

    found: dict[str, str] = {}
    if chosen.device:
        found[config.DEVICE] = chosen.device
    if chosen.shared:
        found[config.SHARED] = "1"
    if chosen.allow_pickles_that_run_code:
        found[config.ALLOW_CODE] = "1"
    for folder in chosen.models:
        if not folder.expanduser().is_dir():
            raise UserError(f"--models names a folder; there is no folder {folder}.")
    if chosen.models:
        found[config.MODELS] = os.pathsep.join(str(one.expanduser().resolve()) for one in chosen.models)
    for name, variable in (("memory", config.MEMORY), ("quota", config.QUOTA)):
        value = getattr(chosen, name)
        if value is not None:
            if not 0 < value < float("inf"):
                raise UserError(f"--{name} is a number of GiB above 0; {value:g} came.")
            found[variable] = f"{value:g}"
    return found


def free(port: int) -> bool:
    """Whether nobody listens on this port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True
