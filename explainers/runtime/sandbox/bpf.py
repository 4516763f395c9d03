"""A small assembler for seccomp's filter programs, classic BPF with jumps to labels instead of counted ones.

A program reads one word at a time of what the kernel tells of a system call, compares it, and gives a verdict:

    struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }

Jumps go forward only, by at most 255 instructions. Specification: linux/filter.h, linux/seccomp.h and the kernel's
Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

NUMBER, ARCHITECTURE = 0, 4  # offsets in seccomp_data
ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000  # SECCOMP_RET_ALLOW, _ERRNO (or-ed with it), _KILL_PROCESS
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AND = 0x54
_INSTRUCTION = struct.Struct("<HBBI")


def low(argument: int) -> int:
    """Offset of the low word of an argument (little endian)."""
    return 16 + 8 * argument


def high(argument: int) -> int:
    """Offset of its high word."""
    return low(argument) + 4


@dataclass(frozen=True)
class _Line:
    code: int
    value: int
    yes: str = ""  # label to go to; empty: the next line
    no: str = ""


class Assembler:
    """Lines and labels, in the order in which they are given."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._labels: dict[str, int] = {}

    def label(self, name: str) -> None:
        """Name the next line; ValueError if the name is taken."""
        if name in self._labels:
            raise ValueError(f"two lines are called {name!r}")
        self._labels[name] = len(self._lines)

    def load(self, offset: int) -> None:
        """Take the word at this offset of seccomp_data."""
        self._lines.append(_Line(_LOAD, offset))

    def keep(self, bits: int) -> None:
        """Clear all bits of the word but these."""
        self._lines.append(_Line(_AND, bits))

    def equal(self, value: int, yes: str = "", no: str = "") -> None:
        """Go on at `yes` if the word is this, else at `no`; an empty label is the next line."""
        self._lines.append(_Line(_EQUAL, value, yes, no))

    def at_least(self, value: int, yes: str = "", no: str = "") -> None:
        """The same, if the word is at least this (unsigned)."""
        self._lines.append(_Line(_AT_LEAST, value, yes, no))

    def any_bit(self, bits: int, yes: str = "", no: str = "") -> None:
        """The same, if the word has any of these bits."""
        self._lines.append(_Line(_ANY_BIT, bits, yes, no))

    def verdict(self, action: int) -> None:
        """End with this verdict."""
        self._lines.append(_Line(_RETURN, action))

    def assemble(self) -> bytes:
        """The program; ValueError for a label that is missing, behind, or too far ahead."""
        return b"".join(
            _INSTRUCTION.pack(line.code, self._jump(here, line.yes), self._jump(here, line.no), line.value)
            for here, line in enumerate(self._lines)
        )

    def _jump(self, here: int, label: str) -> int:
        if not label:
            return 0
        distance = self._labels.get(label, -1) - here - 1
        if not 0 <= distance <= 255:
            raise ValueError(f"line {here} cannot jump to {label!r}")
        return distance
