"""Landlock: the kernel refuses every file that is not named here, and TCP, foreign signals and abstract sockets.

A ruleset names the rights that it handles; what it handles and no rule grants is refused, for this thread and all
that it starts, for good. Newer kernels (a higher ABI) know more rights, and each is refused where it is known.
Execution is granted nowhere. Specification: the kernel's Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable

from explainers.runtime.sandbox import kernel

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
VERSION = 1  # flag of CREATE_RULESET that asks for the ABI
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = (1 << bit for bit in range(13, 16))
BIND_TCP, CONNECT_TCP = 1, 2
ABSTRACT_UNIX_SOCKET, SIGNAL = 1, 2

READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE
DEVICE = READ_FILE | WRITE_FILE
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # the others are of folders only
_FIRST, _WITH_REFER, _WITH_TRUNCATE, _WITH_IOCTL = ((1 << bits) - 1 for bits in (13, 14, 15, 16))


def abi() -> int:
    """The version of Landlock that this kernel has and lets us use; OSError says why there is none."""
    return kernel.call(CREATE_RULESET, 0, 0, VERSION)


def handled(version: int) -> tuple[int, int, int]:
    """Rights on files, rights on the network and scopes that an ABI can refuse: all of them."""
    files = {1: _FIRST, 2: _WITH_REFER, 3: _WITH_TRUNCATE, 4: _WITH_TRUNCATE}.get(version, _WITH_IOCTL)
    network = BIND_TCP | CONNECT_TCP if version >= 4 else 0
    scopes = ABSTRACT_UNIX_SOCKET | SIGNAL if version >= 6 else 0
    return files, network, scopes


def restrict(
    read: Iterable[str] = (),
    write: Iterable[str] = (),
    list_only: Iterable[str] = (),
    devices: Iterable[str] = (),
    control: Iterable[str] = (),
) -> int:
    """Refuse this thread every file but these, and what is beneath them; OSError if Landlock cannot.

    list_only: folders whose names may be seen; devices: to read and write; control: to use ioctl on as well.
    What does not exist is left out. Returns the ABI. Needs no_new_privs.
    """
    version = abi()
    rights = handled(version)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = kernel.call(CREATE_RULESET, struct.pack("=QQQ", *rights)[:size], size, 0)
    granted = ((read, READ), (write, WRITE), (list_only, READ_DIR), (devices, DEVICE), (control, DEVICE | IOCTL_DEV))
    try:
        for paths, access in granted:
            for path in paths:
                _grant(ruleset, path, access & rights[0])
        kernel.call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _grant(ruleset: int, path: str, access: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not there, or not even to be looked up: then there is nothing to grant
        return
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            access &= OF_A_FILE
        if access:
            kernel.call(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", access, beneath), 0)
    finally:
        os.close(beneath)
