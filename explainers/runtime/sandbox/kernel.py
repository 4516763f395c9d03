"""System calls that Python has no function for, made through the C library's syscall(); Linux only."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping

SET_DUMPABLE, SET_NO_NEW_PRIVS, GET_NO_NEW_PRIVS, GET_DUMPABLE = 4, 38, 39, 3  # linux/prctl.h
_library: ctypes.CDLL | None = None


def machine() -> str:
    """The processor as the kernel names it, "x86_64" or "aarch64"; "" where a process is not a native 64-bit one."""
    return platform.machine() if ctypes.sizeof(ctypes.c_void_p) == 8 else ""


def here(numbers: Mapping[str, int]) -> int:
    """The number of a call on this machine, from those by machine; OSError where it is not known."""
    if os.uname().sysname != "Linux" or machine() not in numbers:
        raise OSError(f"it is written for Linux on {' and '.join(numbers)}")
    return numbers[machine()]


def _libc() -> ctypes.CDLL:
    global _library
    if _library is None:
        _library = ctypes.CDLL(None, use_errno=True)
    return _library


def call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> int:
    """What system call `number` returns; OSError with the kernel's reason if it fails."""
    given = [ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(bytes(one)) for one in arguments]
    found = _libc().syscall(ctypes.c_long(number), *given)
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(found)


def prctl(option: int, value: int = 0) -> int:
    """prctl(2) with one value; OSError if the kernel refuses."""
    found = _libc().prctl(ctypes.c_int(option), *(ctypes.c_ulong(one) for one in (value, 0, 0, 0)))
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(found)


def threads() -> int:
    """Threads of this process, those of native libraries too."""
    return len(os.listdir("/proc/self/task"))
