"""What a pickle would build, found out without building it.

`read` is the pickle machine (PEP 307, PEP 3154, the opcodes of pickletools) with nothing behind it: a global stays its
name, a call stays a record of what would be called with what, and no module is imported. So a file can be told by what
it needs, and what it claims can be weighed, before anything else is allowed to look at it. It is no sandbox and need
not be one: what is opened afterwards is opened by torch's own restricted unpickler.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

MOST_STEPS = 4_000_000  # opcodes; 50,000 tensors need about 2 million


class NotAPickle(ValueError):
    """The bytes are no pickle, or one that is damaged or larger than any model's."""


@dataclass(frozen=True)
class Global:
    """A class or function that the pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Made:
    """What a call would have returned: `of` was called with `args`; state and items were given to it afterwards."""

    of: Any
    args: Any
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    values: list[Any] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Persistent:
    """A reference to something beside the pickle; torch's storages are such."""

    id: Any


@dataclass(frozen=True, eq=False)
class Pickle:
    """What one pickle holds."""

    root: Any
    globals: frozenset[str]


def read(stream: IO[bytes], most: int = MOST_STEPS) -> Pickle:
    """The tree of one pickle, and the stream left behind it; NotAPickle where it is none."""
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > most:
                raise NotAPickle(f"more than {most:,} steps")
            machine.step(opcode.name, argument)
        return Pickle(machine.pop(), frozenset(machine.globals))
    except NotAPickle:
        raise
    except (ValueError, TypeError, IndexError, KeyError, UnicodeError, AttributeError, OverflowError) as error:
        raise NotAPickle(str(error)) from error


def globals_of(stream: IO[bytes], most: int = MOST_STEPS) -> set[str]:
    """Dotted names of every class and function that a pickle names, until it ends or is none; raises nothing.

    A name that is put together while the pickle runs is found as well; one that cannot be told is "?".
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > most:
                machine.globals.add("?")
                break
            machine.step(opcode.name, argument)
    except (ValueError, TypeError, IndexError, KeyError, UnicodeError, AttributeError, OverflowError, OSError):
        pass  # what was named before is still true
    return machine.globals


def walk(root: Any) -> Iterator[Any]:
    """Every value in a tree, each shared one once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (dict, list, tuple, set, Made, Persistent)):
            if id(one) in seen:
                continue
            seen.add(id(one))
        yield one
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set)):
            waiting += one
        elif isinstance(one, Made):
            waiting += [one.of, one.args, one.state, one.items, one.values]
        elif isinstance(one, Persistent):
            waiting.append(one.id)


_MARK = object()
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_GIVEN = {  # opcodes that push their own argument
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


class _Machine:
    """The stack and memo of a pickle in progress."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.globals: set[str] = set()

    def pop(self) -> Any:
        found = self.stack.pop()
        if found is _MARK:
            raise NotAPickle("a mark where a value was expected")
        return found

    def marked(self) -> list[Any]:
        """What lies above the last mark, which goes too."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise NotAPickle("no mark")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def named(self, module: Any, name: Any) -> Global:
        told = isinstance(module, str) and isinstance(name, str)
        found = Global(module, name) if told else Global("", "?")
        self.globals.add(str(found) if told else "?")
        return found

    def step(self, name: str, argument: Any) -> None:
        """One opcode."""
        stack = self.stack
        if name in _GIVEN:
            stack.append(argument)
        elif name in _IGNORED:
            pass
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[int(argument)])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _CONSTANT:
            stack.append(_CONSTANT[name])
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(self.marked()))
        elif name == "LIST":
            stack.append(self.marked())
        elif name == "FROZENSET":
            stack.append(tuple(self.marked()))
        elif name in ("DICT", "SETITEMS"):
            given = self.marked()
            if name == "DICT":
                stack.append({})
            _put(stack[-1], given)
        elif name == "SETITEM":
            value, key = self.pop(), self.pop()
            _put(stack[-1], [key, value])
        elif name in ("APPENDS", "ADDITEMS"):
            given = self.marked()
            _add(stack[-1], given)
        elif name == "APPEND":
            _add(stack[-2], [self.pop()])
        elif name == "GLOBAL":
            stack.append(self.named(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            last, first = self.pop(), self.pop()
            stack.append(self.named(first, last))
        elif name in ("REDUCE", "NEWOBJ"):
            args, of = self.pop(), self.pop()
            stack.append(Made(of, args))
        elif name == "NEWOBJ_EX":
            named, args, of = self.pop(), self.pop(), self.pop()
            stack.append(Made(of, args, values=[named]))
        elif name == "INST":
            stack.append(Made(self.named(*argument.split(" ", 1)), tuple(self.marked())))
        elif name == "OBJ":
            of, *args = self.marked()
            stack.append(Made(of, tuple(args)))
        elif name == "BUILD":
            state = self.pop()
            if isinstance(stack[-1], Made):
                stack[-1].state = state
        elif name == "BINPERSID":
            stack.append(Persistent(self.pop()))
        elif name == "PERSID":
            stack.append(Persistent(argument))
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self.marked()
        elif name == "DUP":
            stack.append(stack[-1])
        else:  # the extension registry and out-of-band buffers, which no model file uses
            self.globals.add("?")
            raise NotAPickle(f"the opcode {name}")


def _put(into: Any, given: list[Any]) -> None:
    """Keys and values by turns; a key that is no plain value is kept by its identity."""
    if isinstance(into, Made):
        into = into.items
    if len(given) % 2 or not isinstance(into, dict):
        raise NotAPickle("items without a dictionary")
    for key, value in zip(given[::2], given[1::2], strict=True):
        plain = key is None or isinstance(key, (str, int, float, bytes, Global))
        into[key if plain else id(key)] = value  # a tuple in a tuple in a tuple ... hashes until the stack is gone


def _add(into: Any, given: list[Any]) -> None:
    if isinstance(into, Made):
        into.values += given
    elif isinstance(into, list):
        into += given
    elif isinstance(into, set):
        into.update(one for one in given if isinstance(one, (str, int, float, bytes, Global)))
    else:
        raise NotAPickle("values without a list")
