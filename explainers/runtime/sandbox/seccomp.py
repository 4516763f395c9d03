"""seccomp: the kernel refuses every system call that computing does not need.

What is not in the tables of syscalls.py fails with EPERM, what is newer than they are with ENOSYS, so that libraries
fall back. Some calls depend on their arguments:

    open, openat        no truncation hidden in a read-only open, which Landlock before ABI 3 does not see
    clone               threads of this process only; clone3 keeps its flags in memory, so it does not exist
    kill, tgkill        itself
    prlimit64           to read
    sched_setaffinity   itself
    prctl               names and questions; not to become dumpable again, nor anything of the sandbox
    ioctl               what terminals, pipes and sockets are asked; nothing that types into a terminal
    fcntl               no signals to others by way of a descriptor's owner
    sendto              the socket that is connected already; no address

Every system call of another architecture (32-bit x86) kills the process. Specification: linux/seccomp.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

from explainers.runtime.sandbox import kernel
from explainers.runtime.sandbox.bpf import ALLOW, ARCHITECTURE, ERROR, KILL, NUMBER, Assembler, high, low
from explainers.runtime.sandbox.syscalls import ALLOWED, LIMITED, MACHINES, NEWEST, OF_A_GPU, X32

SECCOMP = {"x86_64": 317, "aarch64": 277}
SET_MODE_FILTER, TSYNC = 1, 1

ACCESS_MODE, WRITE_ONLY, READ_AND_WRITE, TRUNCATE = 0o3, 0o1, 0o2, 0o1000  # O_ACCMODE, O_WRONLY, O_RDWR, O_TRUNC
A_THREAD = 0x00010000 | 0x00000800 | 0x00000100  # CLONE_THREAD | CLONE_SIGHAND | CLONE_VM
A_NAMESPACE = 0x7E020000  # CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET
PRCTL = (
    *(3, 15, 16, 21, 23, 27),  # GET_DUMPABLE, SET_NAME, GET_NAME, GET_SECCOMP, CAPBSET_READ, GET_SECUREBITS
    *(30, 39, 42, 51, 56),  # GET_TIMERSLACK, GET_NO_NEW_PRIVS, GET_THP_DISABLE, SVE_GET_VL, GET_TAGGED_ADDR_CTRL
    0x53564D41,  # SET_VMA: glibc and allocators name their memory
)
IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
FCNTL = (
    *(0, 1, 2, 3, 4),  # DUPFD, GETFD, SETFD, GETFL, SETFL
    *(5, 6, 7, 36, 37, 38),  # locks of a file
    *(1030, 1032, 1034),  # DUPFD_CLOEXEC, GETPIPE_SZ, GET_SEALS
)


@dataclass(frozen=True)
class OneOf:
    """The argument, an int to the kernel, is one of these."""

    argument: int
    values: tuple[int, ...]

    def write(self, program: Assembler, yes: str, no: str) -> None:
        """Go to one of these labels."""
        program.load(low(self.argument))
        for value in self.values[:-1]:
            program.equal(value, yes=yes)
        program.equal(self.values[-1], yes=yes, no=no)


@dataclass(frozen=True)
class Null:
    """The argument, a pointer, is null."""

    argument: int

    def write(self, program: Assembler, yes: str, no: str) -> None:
        """Go to one of these labels."""
        program.load(low(self.argument))
        program.equal(0, no=no)
        program.load(high(self.argument))
        program.equal(0, yes=yes, no=no)


@dataclass(frozen=True)
class Flags:
    """The argument has every bit of one mask and none of another."""

    argument: int
    every: int
    none: int

    def write(self, program: Assembler, yes: str, no: str) -> None:
        """Go to one of these labels."""
        program.load(low(self.argument))
        program.any_bit(self.none, yes=no)
        program.keep(self.every)
        program.equal(self.every, yes=yes, no=no)


@dataclass(frozen=True)
class HonestOpen:
    """The argument, flags of open(2), truncates a file only where it is opened to be written."""

    argument: int

    def write(self, program: Assembler, yes: str, no: str) -> None:
        """Go to one of these labels."""
        program.load(low(self.argument))
        program.any_bit(TRUNCATE, no=yes)
        program.keep(ACCESS_MODE)
        program.equal(WRITE_ONLY, yes=yes)
        program.equal(READ_AND_WRITE, yes=yes, no=no)


Test = OneOf | Null | Flags | HonestOpen


def conditions(process: int, gpu: bool) -> dict[str, Test | int]:
    """For each call of LIMITED the test that its arguments must pass, or its verdict; `process` is its own number."""
    limited: dict[str, Test | int] = {
        "open": HonestOpen(1),
        "openat": HonestOpen(2),
        "clone": Flags(0, A_THREAD, A_NAMESPACE),
        "clone3": ERROR | errno.ENOSYS,
        "kill": OneOf(0, (process,)),
        "tgkill": OneOf(0, (process,)),
        "prlimit64": Null(2),
        "prctl": OneOf(0, PRCTL),
        "ioctl": ALLOW if gpu else OneOf(1, IOCTL),
        "fcntl": OneOf(1, FCNTL),
        "sendto": Null(4),
        "sched_setaffinity": OneOf(0, (0, process)),
    }
    return limited


def program(machine: str, process: int, gpu: bool = False) -> bytes:
    """The filter for a machine ("x86_64", "aarch64") and a process; KeyError for a machine that is not known."""
    column, architecture = MACHINES[machine]
    made = Assembler()
    made.load(ARCHITECTURE)
    made.equal(architecture, yes="native")
    made.verdict(KILL)
    made.label("native")
    made.load(NUMBER)
    made.at_least(NEWEST, no="known")
    if machine == "x86_64":
        made.at_least(X32, no="newer")
        made.verdict(KILL)
        made.label("newer")
    made.verdict(ERROR | errno.ENOSYS)
    made.label("known")
    for name, test in conditions(process, gpu).items():
        number = LIMITED[name][column]
        if number is not None:
            _limit(made, name, number, test)
    allowed = {**ALLOWED, **OF_A_GPU} if gpu else ALLOWED
    for first, last in _runs(sorted(one for one in (both[column] for both in allowed.values()) if one is not None)):
        made.at_least(first, no="refused")
        made.at_least(last + 1, no="allowed")
    made.label("refused")
    made.verdict(ERROR | errno.EPERM)
    made.label("allowed")
    made.verdict(ALLOW)
    return made.assemble()


def _limit(made: Assembler, name: str, number: int, test: Test | int) -> None:
    made.equal(number, no=f"not {name}")
    if isinstance(test, int):
        made.verdict(test)
    else:
        test.write(made, f"{name} may", f"{name} may not")
        made.label(f"{name} may")
        made.verdict(ALLOW)
        made.label(f"{name} may not")
        made.verdict(ERROR | errno.EPERM)
    made.label(f"not {name}")


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Numbers that follow one another, as (first, last)."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def filter_calls(gpu: bool = False) -> None:
    """Refuse this process all other calls from now on; OSError if the kernel cannot. Needs no_new_privs."""
    number = kernel.here(SECCOMP)
    code = program(kernel.machine(), os.getpid(), gpu)
    held = ctypes.create_string_buffer(code, len(code))
    instructions = len(code) // 8
    kernel.call(number, SET_MODE_FILTER, TSYNC, struct.pack("HxxxxxxQ", instructions, ctypes.addressof(held)))
