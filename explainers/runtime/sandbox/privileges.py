"""No privileges, now or later: no_new_privs, no capability, and a process that others of its user cannot look into.

As root a process without capabilities is still the owner of root's files: Landlock keeps those away.
"""

from __future__ import annotations

import contextlib
import struct

from explainers.runtime.sandbox import kernel

CAPSET = {"x86_64": 126, "aarch64": 91}
VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
CAP_AMBIENT, CLEAR_ALL = 47, 4  # prctl


def drop(gpu: bool = False) -> None:
    """Give up every privilege for good; OSError if the system cannot.

    gpu: stay dumpable, without which /proc/self, where CUDA writes, is closed to all but root.
    """
    kernel.prctl(kernel.SET_NO_NEW_PRIVS, 1)
    with contextlib.suppress(OSError):  # before Linux 4.3 there were none
        kernel.prctl(CAP_AMBIENT, CLEAR_ALL)
    header = struct.pack("=Ii", VERSION_3, 0)
    kernel.call(kernel.here(CAPSET), header, bytes(24))
    if not gpu:
        kernel.prctl(kernel.SET_DUMPABLE, 0)


def capabilities() -> int:
    """The capabilities that are in effect, as a mask."""
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("CapEff:")).split()[1], 16)
