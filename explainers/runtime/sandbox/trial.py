"""Tries one barrier after the other, each in a child of its own, by doing what it must refuse.

    python -m explainers.runtime.sandbox.trial      prints {id: "" where it holds, else why not} as JSON

Nothing is concluded from a version: an old kernel, another system and a container's profile all show here alike.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from explainers.runtime.sandbox import Confinement, confine, kernel, landlock, limits, privileges, reach, seccomp

ROOM = 64 << 20  # bytes that the trial of the limits allows


class Leaks(Exception):
    """A barrier was put up and does not hold; the message says how."""


def refused(what: str, act: Callable[[], object], error: type[BaseException] = PermissionError) -> None:
    """Do what must fail; Leaks if it does not."""
    try:
        act()
    except error:
        return
    raise Leaks(f"it was put up, and did not refuse {what}")


def try_limits(scratch: str) -> None:
    """A limit of memory ends in an error."""
    limits.limit(ROOM, ROOM, 64)
    refused(f"{2 * ROOM >> 20} MiB of memory", lambda: bytearray(2 * ROOM), MemoryError)
    bytearray(ROOM // 4)


def try_privileges(scratch: str) -> None:
    """Nothing can be gained again."""
    privileges.drop()
    if kernel.prctl(kernel.GET_NO_NEW_PRIVS) != 1 or kernel.prctl(kernel.GET_DUMPABLE) or privileges.capabilities():
        raise Leaks("privileges were given up, and are still there")


def try_landlock(scratch: str) -> None:
    """The scratch is open, a file beside it is not."""
    beside = Path(scratch).parent / "beside"
    privileges.drop()
    landlock.restrict(read=reach.code(), write=(scratch,))
    (Path(scratch) / "own").write_text("own")
    refused("a file that it was not given", beside.read_text)
    refused("writing where it may not", lambda: beside.write_text(""))


def try_seccomp(scratch: str) -> None:
    """No socket, no other process; files still open."""
    privileges.drop()
    seccomp.filter_calls()
    refused("a socket", lambda: socket.socket(socket.AF_UNIX))
    refused("another process", _fork)
    refused("a signal to another process", lambda: os.kill(os.getppid(), 0))
    Path(os.devnull).read_bytes()


def try_all(scratch: str) -> None:
    """All of them together leave a process that still computes."""
    import threading

    confine(Confinement(scratch, (), 4 * ROOM, ROOM))
    done: list[int] = []
    one = threading.Thread(target=done.append, args=(1,))
    one.start()
    one.join()
    Path("own").write_text("own")
    if not done or Path("own").read_text() != "own":
        raise Leaks("within all barriers a thread or a file of its own does not work")


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


TRIALS: dict[str, Callable[[str], None]] = {
    "fork": lambda scratch: None,  # the child that tries it is one
    "limits": try_limits,
    "no_new_privs": try_privileges,
    "landlock": try_landlock,
    "seccomp": try_seccomp,
    "all": try_all,
}

REASONS = {
    errno.ENOSYS: "this kernel is too old for it, or was built without it",
    errno.EOPNOTSUPP: "this kernel has it switched off",
    errno.EPERM: "it is refused here, as by a container's profile",
    errno.EACCES: "it is refused here, as by a container's profile",
}


def outcome(trial: Callable[[str], None]) -> str:
    """Why a trial failed in a child of its own, in words that fit into brackets; empty if it did not."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        (Path(folder) / "beside").write_text("beside")
        answer, said = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(answer)
            os.write(said, _within(trial, str(scratch)).encode()[:400])
            os._exit(0)
        os.close(said)
        with open(answer, "rb") as pipe:
            words = pipe.read().decode(errors="replace")
        _, status = os.waitpid(child, 0)
        return words.removeprefix("ok") if words else f"the child that tried it ended with status {status}"


def _within(trial: Callable[[str], None], scratch: str) -> str:
    try:
        trial(scratch)
    except OSError as error:
        return REASONS.get(error.errno or 0) or error.strerror or str(error)
    except BaseException as error:
        return str(error) or type(error).__name__
    return "ok"


if __name__ == "__main__":
    json.dump({id: outcome(trial) for id, trial in TRIALS.items()}, sys.stdout)
