"""The host's report: which barriers hold on this machine, tried by trial.py in a process of its own."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from explainers.runtime.sandbox import REQUIRED, WITHOUT
from explainers.runtime.types import Barrier, Host

PATIENCE = 60  # seconds for all trials; they take a quarter of one on a quiet machine
ROOT = Path(__file__).resolve().parents[3]
BARRIERS = {  # id: label, what it keeps away
    "fork": ("Warm start", "A process of its own serves each model, and ends with it."),
    "limits": ("Limits", "A model cannot take more memory, open files or file size than it is given."),
    "no_new_privs": ("Privileges", "A model's process has no privileges and can gain none, not even as root."),
    "landlock": (
        "Landlock",
        "A model reads its own file and installed code alone, and writes into its scratch folder.",
    ),
    "seccomp": ("seccomp", "A model opens no socket, starts no program and reaches no other process."),
}
HOLDS = "Every model runs in a sandbox here: it reads no file but its own, and reaches no network and no other process."
FAILS = (
    "This machine cannot contain a stranger's model, since {missing} {is_are} missing: only files that hold numbers"
    " alone (safetensors, state dicts) are opened; `assay doctor --host` says why."
)


@functools.cache
def tried(off: tuple[str, ...]) -> Host:
    """The report, with the layers in `off` switched off by an operator; tried once."""
    outcomes = _outcomes()
    barriers = tuple(_barrier(id, outcomes, off) for id in BARRIERS)
    missing = [one.label for one in barriers if not one.holds]
    together = outcomes.get("all", "")
    known = {one.id for one in barriers if one.holds}
    holds = not missing and not together and set(REQUIRED) <= known
    words = " and ".join(missing) if missing else f"their working together ({together})"
    return Host(
        system=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}, {platform.machine()}",
        barriers=barriers,
        contained=holds,
        sentence=HOLDS if holds else FAILS.format(missing=words, is_are="is" if len(missing) < 2 else "are"),
    )


def _barrier(id: str, outcomes: dict[str, str], off: tuple[str, ...]) -> Barrier:
    label, keeps_away = BARRIERS[id]
    reason = f"it was switched off by {WITHOUT}" if id in off else outcomes.get(id, "it could not be tried")
    return Barrier(id, label, not reason, f"Missing: {reason}." if reason else keeps_away)


def _outcomes() -> dict[str, str]:
    """For each barrier "" where it holds, else why not."""
    if not hasattr(os, "fork"):
        return dict.fromkeys(BARRIERS, f"{platform.system()} has none of it")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {name: text for name, text in os.environ.items() if name != WITHOUT} | {"PYTHONPATH": path}
    try:
        found = subprocess.run(
            [sys.executable, "-P", "-m", "explainers.runtime.sandbox.trial"],
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=True,
        )
        return {str(id): str(reason) for id, reason in json.loads(found.stdout).items()}
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return dict.fromkeys(BARRIERS, f"trying it failed with {type(error).__name__}")
