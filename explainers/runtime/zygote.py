"""The warm process: imports once what every model needs, and forks a worker for each order, which inherits it all.

    python -m explainers.runtime.zygote <control socket> <grow: 1 or 0>

On the control socket go packets. From the app: an order, its number and the worker's settings as JSON, with two
descriptors, the worker's socket and its log. The settings name somebody's file, so only the fork reads them, and
nothing of them stays here for the next one to find. To the app, as JSON: {"order": number, "pid": pid} with the
worker's pidfd, or {"order": number, "problem": sentence}; {"exit": pid, "code": code}; {"grown": false} before each
heavy part, which waits for a byte on the standard input so that nobody waits for it, and {"grown": true} once all are
there.

A fork copies one thread alone, so this process never has a second one: whatever would start threads is told not to in
its environment, and a fork is refused where one is there all the same. CUDA is never asked for here, since a process
that has used it cannot fork. While it grows, which is to import the heavy parts and takes many seconds, a twin that
was forked before answers on the same socket. The socket's end, when the app closes it or dies, ends it all, workers
too.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path
from typing import Any

LARGEST_ORDER = 1 << 17  # bytes, as a packet may have
NUMBER = struct.Struct("<Q")
PR_SET_PDEATHSIG = 1
UNBORN = 71  # exit code of a fork that did not become a worker


def main(descriptor: int, grow: bool) -> None:
    """Serve until the app is gone."""
    os.umask(0o077)
    control = socket.socket(fileno=descriptor)
    import torch  # noqa: F401

    from explainers.runtime import worker  # noqa: F401

    warm = Warm(control)
    if not grow:
        warm.serve()
    baton, held = os.pipe()
    twin = os.fork()
    if twin == 0:
        os.close(held)
        warm.serve(baton)
    os.close(baton)
    if grown(warm):
        os.close(held)
        warm.tell({"grown": True})
        warm.serve()
    warm.serve(idle=True)  # the twin goes on alone: it has one thread


def grown(warm: Warm) -> bool:
    """Import the heavy parts one by one; False where one of them started a thread, so that no fork is safe any more."""
    from explainers.runtime.warmth import PARTS

    for part in PARTS:
        warm.tell({"grown": False})
        if not os.read(sys.stdin.fileno(), 1):
            return False  # the app is gone
        try:
            part()
        except Exception:
            traceback.print_exc()  # whoever needs it will be told
        if threads() > 1:
            print(f"{part} started a thread: workers are forked without the heavy parts", file=sys.stderr, flush=True)
            return False
    gc.collect()
    gc.freeze()  # what is there stays: a collection in a worker would copy the pages that it marks
    return True


class Warm:
    """The control socket and the workers that were forked."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()
        self._order = bytearray(LARGEST_ORDER)  # the one place where orders are, wiped after each

    def serve(self, baton: int | None = None, idle: bool = False) -> None:
        """Fork for each order, and tell of each end; never returns.

        baton: a descriptor at whose end the other process takes the orders; this one goes with its last worker.
        idle: take no orders at all.
        """
        bell = _bell()
        poll = select.poll()
        poll.register(bell, select.POLLIN)
        poll.register(self._control, 0 if idle else select.POLLIN)  # a hang-up is always told
        if baton is not None:
            poll.register(baton, select.POLLIN)
        retired = False
        while True:
            for ready, event in poll.poll():
                if ready == bell:
                    self._reap(bell)
                elif ready == baton:
                    retired = True
                    poll.unregister(baton)
                    poll.modify(self._control, 0)
                elif event & select.POLLIN:
                    self._read()
                else:
                    self._end()
            if retired and not self._children:
                os._exit(0)

    def tell(self, message: dict[str, Any], *descriptors: int) -> None:
        """Say something to the app."""
        with contextlib.suppress(OSError):  # it is gone; the socket's end says so too
            socket.send_fds(self._control, [json.dumps(message).encode()], descriptors)

    def _read(self) -> None:
        try:
            length, found = self._receive()
        except BlockingIOError:
            return  # the twin was faster
        except OSError:
            self._end()
        if not length:
            self._end()
        (number,) = NUMBER.unpack_from(self._order)
        try:
            self._fork(number, length, *found)
        except (OSError, RuntimeError) as error:
            self.tell({"order": number, "problem": str(error)})
        finally:
            self._order[:] = bytes(len(self._order))
            for one in found:
                os.close(one)

    def _receive(self) -> tuple[int, array.array[int]]:
        """How long the next order is, which is then there, and its descriptors."""
        room = socket.CMSG_SPACE(2 * array.array("i").itemsize)
        length, sent, _, _ = self._control.recvmsg_into([self._order], room, socket.MSG_DONTWAIT)
        found = array.array("i")
        for level, kind, data in sent:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(data[: len(data) // found.itemsize * found.itemsize])
        return length, found

    def _fork(self, number: int, length: int, sock: int, log: int) -> None:
        count = threads()
        if count != 1:
            raise RuntimeError(f"the warm process has {count} threads")
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            become(parent, self._order[NUMBER.size : length], sock, log)
        self._children.add(pid)
        handle = os.pidfd_open(pid)
        self.tell({"order": number, "pid": pid}, handle)
        os.close(handle)

    def _reap(self, bell: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(bell, 4096)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if pid in self._children:
                    self._children.discard(pid)
                    self.tell({"exit": pid, "code": os.waitstatus_to_exitcode(status)})

    def _end(self) -> None:
        """The app is gone: nobody needs the workers, one that no longer listens to its own socket either."""
        for pid in self._children:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(OSError):
                    kill(pid, signal.SIGKILL)
        os._exit(0)


def _bell() -> int:
    """A descriptor that can be read whenever a child of this process, not of its twin, has ended."""
    bell, ring = os.pipe()
    for one in (bell, ring):
        os.set_blocking(one, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return bell


def become(parent: int, order: bytes | bytearray, sock: int, log: int) -> None:
    """In the fork: keep the worker's socket, log and nothing else of the warm process, and be the worker."""
    try:
        settings = json.loads(order)
        if settings["readable"]:  # a stranger's model, which may not heed its socket's end, goes with its parent
            from explainers.runtime.sandbox import kernel

            kernel.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if os.getppid() != parent:
                os._exit(UNBORN)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()  # a group of its own to kill
        with contextlib.suppress(OSError):
            Path("/proc/self/comm").write_text(f"assay-{settings['lane']}")  # what `ps` and `top` call it
        sock, log = (fcntl.fcntl(one, fcntl.F_DUPFD, 16) for one in (sock, log))
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, one in enumerate((nothing, log, log, sock)):
            os.dup2(one, number)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        from explainers.runtime import worker

        worker.main(3, worker.Settings(**settings))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(UNBORN)


def threads() -> int:
    """How many threads this process has."""
    return len(os.listdir("/proc/self/task"))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "1")
