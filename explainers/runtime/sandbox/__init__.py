"""What a worker gives up before it loads a stranger's model, and what this machine can hold one with.

    confine(Confinement(scratch, readable, memory, file_size)) -> the barriers that now hold, by id
    host() -> Host: every barrier tried in a throw-away process, with a sentence for each and one for the banner

The layers, in the order in which they are applied by a process that has one thread and no descriptor that it does not
need: its environment (here), resource limits (limits.py), privileges (privileges.py), files (landlock.py, reach.py),
system calls (seccomp.py, syscalls.py, bpf.py). A layer that this machine lacks is left out of the answer, and whoever
asked then opens data only. docs/safety.md says what each keeps away and what none of them does.

The environment variable ASSAY_SANDBOX_WITHOUT switches layers off ("landlock,seccomp"), to see what is then refused:
it can only lessen what may be opened, since a layer that is off counts as missing.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explainers.runtime.sandbox import kernel, landlock, limits, privileges, reach, seccomp

if TYPE_CHECKING:
    from explainers.runtime.types import Host

REQUIRED: tuple[str, ...] = ("limits", "no_new_privs", "landlock", "seccomp")
WITHOUT = "ASSAY_SANDBOX_WITHOUT"
KEPT = (WITHOUT, "LANG", "LC_ALL", "PYTHONUNBUFFERED", "PYTHONHASHSEED", "KERAS_BACKEND", "CUDA_VISIBLE_DEVICES")
KEPT_PREFIXES = ("OMP_", "MKL_", "OPENBLAS_", "KMP_", "TORCH_NUM_")  # how many threads, and such

OWN = (  # homes and caches, all in its scratch
    *("HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME", "KERAS_HOME", "TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR"),
    *("TRITON_CACHE_DIR", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "CUDA_CACHE_PATH"),
)


@dataclass(frozen=True)
class Confinement:
    """What one worker keeps."""

    scratch: str  # a folder of its own: the one place to write
    readable: tuple[str, ...]  # files or folders of the model
    memory: int  # bytes that it may take beyond what it has when it is confined
    file_size: int  # bytes of one file that it writes
    gpu: bool = False
    open_files: int = 256


def confine(plan: Confinement) -> tuple[str, ...]:
    """Give up everything but the plan, for good, and return the ids of the barriers that now hold.

    RuntimeError if this process has other threads already: they would stay free. FileNotFoundError without a scratch.
    """
    with contextlib.suppress(FileNotFoundError):  # /proc: not Linux, and then no barrier that threads could evade
        if kernel.threads() != 1:
            raise RuntimeError("A process that has started threads cannot be confined.")
    layers: dict[str, Callable[[], object]] = {
        "limits": lambda: limits.limit(plan.memory, plan.file_size, plan.open_files, plan.gpu),
        "no_new_privs": lambda: privileges.drop(plan.gpu),
        "landlock": lambda: _files(plan),
        "seccomp": lambda: seccomp.filter_calls(plan.gpu),
    }
    off = switched_off()
    _settle(plan.scratch)
    held = []
    for id, apply in layers.items():
        if id not in off:
            with contextlib.suppress(OSError, ValueError, ImportError, AttributeError):
                apply()
                held.append(id)
    return tuple(held)


def contained(held: tuple[str, ...]) -> bool:
    """Whether these barriers are all that a stranger's model needs around it."""
    return set(REQUIRED) <= set(held)


def switched_off() -> tuple[str, ...]:
    """The layers that an operator or a test has switched off."""
    return tuple(one.strip() for one in os.environ.get(WITHOUT, "").split(",") if one.strip())


def environment(scratch: str) -> dict[str, str]:
    """The environment of a worker: nothing of the operator's but threads and languages; every cache in its scratch."""
    kept = {name: text for name, text in os.environ.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
    fixed = {"PATH": "", "USER": "worker", "LOGNAME": "worker", "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    fixed["JOBLIB_MULTIPROCESSING"] = "0"  # it would ask for semaphores in /dev/shm, and warn that it gets none
    return {**kept, **fixed, **dict.fromkeys(OWN, scratch)}


def host() -> Host:
    """What this machine can hold a stranger's model with: every barrier is tried once, in a process of its own."""
    from explainers.runtime.sandbox.report import tried  # late: a worker does not need it

    return tried(switched_off())


def _settle(scratch: str) -> None:
    """Move into the scratch, with an environment that tells nothing."""
    os.chdir(scratch)
    os.umask(0o077)
    own = environment(scratch)
    os.environ.clear()
    os.environ.update(own)
    tempfile.tempdir = scratch


def _files(plan: Confinement) -> int:
    return landlock.restrict(
        read=(*reach.code(), *reach.MACHINE, *plan.readable, *(reach.GPU_MACHINE if plan.gpu else ())),
        write=(plan.scratch, *(("/proc/self",) if plan.gpu else ())),  # CUDA names its threads there
        list_only=reach.around(),
        devices=reach.DEVICES,
        control=reach.gpu_devices() if plan.gpu else (),
    )
