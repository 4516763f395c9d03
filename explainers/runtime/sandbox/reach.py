"""What every worker may read besides its own model: installed code, and what libraries ask the machine at start.

Folders of code are read, the checkout's own two packages among them; of the folder around those only the names, since
it may hold anything else. Nothing of /etc but the linker's cache, nothing of /home but code that is imported from it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import sys
from pathlib import Path

PACKAGES = ("model_zoo", "explainers")
LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
MACHINE = (
    "/proc/cpuinfo",  # oneDNN, XNNPACK, cpuinfo: which instructions there are
    "/proc/meminfo",  # how much may be planned with
    "/proc/self",  # its own maps, status and threads
    "/proc/stat",  # catboost counts the processors in it
    "/proc/sys/vm/overcommit_memory",  # jemalloc within pyarrow chooses by it
    "/sys/devices/system",  # libgomp, OpenBLAS, onnxruntime: cores, caches, nodes
    "/sys/fs/cgroup/cpu.max",  # how many of the cores a container may use
    "/sys/fs/cgroup/memory.max",
    "/sys/kernel/mm/transparent_hugepage",  # allocators choose by it
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
GPU_MACHINE = (
    "/sys",  # the driver walks the bus
    "/proc/driver/nvidia",
    "/proc/devices",
    "/proc/modules",
    "/proc/version",
    "/dev/nvidia-caps",
)


def code() -> tuple[str, ...]:
    """Folders and archives from which this Python imports, its standard library first."""
    found = [os.path.dirname(os.__file__), *LIBRARIES]
    for prefix in {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}:
        found += [os.path.join(prefix, name) for name in ("lib", "lib64", "DLLs")]
    ours = around()
    for entry in sys.path:
        if entry and os.path.exists(entry) and os.path.realpath(entry) not in ours and not _too_wide(entry):
            found.append(entry)
    for package in PACKAGES:
        found += importlib.util.find_spec(package).submodule_search_locations or ()  # type: ignore[union-attr]
    return tuple(dict.fromkeys(os.path.realpath(one) for one in found))


def around() -> tuple[str, ...]:
    """The folders that our own packages lie in, unless other installed ones do too: their names may be seen."""
    found = []
    for package in PACKAGES:
        for place in importlib.util.find_spec(package).submodule_search_locations or ():  # type: ignore[union-attr]
            folder = os.path.dirname(os.path.realpath(place))
            if os.path.basename(folder) not in ("site-packages", "dist-packages"):
                found.append(folder)
    return tuple(dict.fromkeys(found))


def gpu_devices() -> tuple[str, ...]:
    """The devices of NVIDIA's driver that are here."""
    return tuple(
        str(one) for one in sorted(Path("/dev").glob("nvidia*")) if not one.is_dir() and "modeset" not in one.name
    )


def _too_wide(entry: str) -> bool:
    """Whether a folder that is searched for code holds a person's home, or everything."""
    folder = os.path.realpath(entry)
    homes = [os.path.expanduser("~")]  # in a child that is its scratch
    with contextlib.suppress(KeyError):  # a container's user that nobody named
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    return any((os.path.realpath(home) + "/").startswith(folder.rstrip("/") + "/") for home in homes)
