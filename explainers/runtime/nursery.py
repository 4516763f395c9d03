"""Where workers come from: forked by the warm process (zygote.py), or started by exec where that cannot be.

One for each Runtime. The warm process is started with a clean small environment when the first worker is needed, or
before; one that died is replaced then, and the workers that it left behind go on. By exec start those of systems that
do not fork safely, of Apple's GPU, and of a machine on which the warm process does not come up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import Any

from explainers.runtime import attached, sandbox
from explainers.runtime.process import Forked, Life, Process, Spawned
from explainers.runtime.scratch import Scratch, remove
from explainers.runtime.types import Source
from explainers.runtime.watch import Watch, allowed_memory
from explainers.runtime.worker import Settings
from model_zoo.types import UserError

ROOT = Path(__file__).resolve().parents[2]
LARGEST_LOG = 1 << 20  # bytes; an older log is kept beside it
LARGEST_FILE = 512 << 20  # bytes of one file in a scratch folder
FORK_LIMIT = 120.0  # seconds for the warm process to import torch and fork
EXIT_LIMIT = 2.0  # seconds between a worker's end and the warm process's word on it
PASSED = ("CUDA_VISIBLE_DEVICES", "DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", sandbox.WITHOUT)


class Nursery:
    """Starts the workers of one Runtime, and ends with all of them; thread-safe."""

    def __init__(
        self, workspace: Path, device: str, catalogue: str, *, grow: bool = True, fork: bool | None = None
    ) -> None:
        """grow: whether the warm process imports the heavy parts as well, which pays where it forks many workers.

        fork: whether to fork workers rather than to start each anew; None is wherever it is safe.
        """
        self._logs = workspace / "logs"
        self._device = device
        self._catalogue = catalogue
        self._grow = grow
        self._forks = can_fork(device) if fork is None else fork
        self._allow_code = os.environ.get("ASSAY_ALLOW_CODE") == "1"  # as it was when the server was started
        self._watch = Watch(allowed_memory())
        self._scratch = Scratch(workspace)
        self._turn = threading.Lock()
        self._zygote: Zygote | None = None
        self._closing = False

    def warm(self) -> None:
        """Have the warm process come up in the background."""
        if self._forks:
            with contextlib.suppress(OSError):
                self._warm()

    def start(self, lane: str, threads: int, source: Source) -> Process:
        """A worker for a source, which has still to be greeted; UserError where none can be started."""
        try:
            return self._start(lane, threads, source)
        except OSError as error:
            raise UserError(
                f"No worker could be started: {error.strerror or error}. Free some memory and space on the disk, then"
                " try again."
            ) from error

    def stale(self, process: Process) -> bool:
        """Whether a worker lacks heavy parts that a new one would inherit."""
        zygote = self._zygote
        return not process.mature and zygote is not None and zygote.mature

    def close(self) -> None:
        """End the warm process, once the workers have ended; once more does no harm."""
        with self._turn:
            if self._closing:
                return
            self._closing = True
            zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()
        self._watch.close()
        self._scratch.close()

    # -- two ways to start one ---------------------------------------------------------------------------------------

    def _start(self, lane: str, threads: int, source: Source) -> Process:
        folder = self._scratch.make()
        settings = Settings(
            lane=lane,
            device=self._device,
            threads=threads,
            catalogue=self._catalogue,
            scratch=str(folder),
            readable=(source.path, *map(str, attached.linked(Path(source.path)))) if source.path else (),
            memory=self._watch.memory,
            file_size=LARGEST_FILE,
            gpu=self._device != "cpu" and os.path.exists("/dev/nvidiactl"),
            allow_code=self._allow_code,
        )
        ours, theirs = socket.socketpair()
        try:
            with theirs, _log(self._logs / f"worker-{lane}.log") as log:
                life, mature = self._life(settings, theirs, log.fileno())
        except BaseException:
            ours.close()
            folder.rmdir()
            raise
        process = Process(life, ours, source, folder, self._watch)
        process.mature = mature
        return process

    def _life(self, settings: Settings, sock: socket.socket, log: int) -> tuple[Life, bool]:
        """The new process, and whether it has all that it could inherit."""
        for _ in range(2 if self._forks else 0):  # once more where the warm process died meanwhile
            try:
                zygote = self._warm()
                mature = zygote.mature
                return zygote.fork(settings, sock.fileno(), log), mature
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.write(log, f"no fork, started anew: {error}\n".encode())
        child = subprocess.Popen(
            [*_python("worker"), str(sock.fileno()), json.dumps(dataclasses.asdict(settings))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(settings.scratch, settings.threads),
            pass_fds=[sock.fileno()],
            start_new_session=True,  # a group of its own to kill, and Ctrl-C in a terminal is not for it
        )
        return Spawned(child), True

    def _warm(self) -> Zygote:
        """The warm process; a new one if there is none or it died."""
        with self._turn:
            if self._closing:
                raise OSError("Assay is closing")
            if self._zygote is None or self._zygote.dead:
                if self._zygote is not None:
                    self._zygote.close()
                self._zygote = Zygote(self._logs / "zygote.log", self._scratch.make(), self._grow)
            return self._zygote


class Zygote:
    """The parent's hold of a warm process; OSError where it does not do as it should."""

    def __init__(self, log: Path, folder: Path, grow: bool) -> None:
        """folder: where its libraries may keep what they like."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        self._folder = folder
        self._numbers = itertools.count(1)
        self._change = threading.Condition()
        self._orders: dict[int, Future[tuple[int, int]]] = {}
        self._codes: dict[int, int | None] = {}  # of its workers: None while they live
        self._dead = False
        self.mature = False  # whether the heavy parts are there
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with theirs, _log(log) as output:
            self._child = subprocess.Popen(
                [*_python("zygote"), str(theirs.fileno()), str(int(grow))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(str(folder), cores) | SINGLE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._listener = threading.Thread(target=self._listen, name="assay-zygote", daemon=True)
        self._listener.start()

    @property
    def dead(self) -> bool:
        """Whether it is gone; its workers may live on."""
        return self._dead

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._child.pid

    def fork(self, settings: Settings, sock: int, log: int) -> Forked:
        """A worker with these two descriptors."""
        number = next(self._numbers)
        order = {"order": number, "settings": dataclasses.asdict(settings)}
        answer: Future[tuple[int, int]] = Future()
        with self._change:
            if self._dead:
                raise OSError("the warm process is gone")
            self._orders[number] = answer
            socket.send_fds(self._control, [json.dumps(order).encode()], [sock, log])
        try:
            pid, handle = answer.result(FORK_LIMIT)
        except Late as error:
            self._kill()  # or it might fork later, for a socket that is another worker's by then
            raise OSError("the warm process does not answer") from error
        finally:
            with self._change:
                self._orders.pop(number, None)
        return Forked(pid, handle, functools.partial(self._code, pid))

    def close(self) -> None:
        """End it, its twin too; workers go by their own sockets."""
        self._kill()
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._listener.join()
        self._control.close()
        remove(self._folder)

    def _kill(self) -> None:
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _code(self, pid: int) -> int | None:
        """How a worker ended, once it has; None if nobody was there to see."""
        with self._change:
            self._change.wait_for(lambda: self._codes.get(pid) is not None or self._dead, EXIT_LIMIT)
            return self._codes.pop(pid, None)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # reset
            while True:
                text, handles, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
                if not text:
                    break
                self._hear(json.loads(text), handles)
        self._child.wait()  # the socket's end is that of the process
        with self._change:
            self._dead = True
            orders = list(self._orders.values())
            self._change.notify_all()
        for answer in orders:
            if not answer.done():
                answer.set_exception(OSError("the warm process is gone"))

    def _hear(self, message: dict[str, Any], handles: list[int]) -> None:
        match message:
            case {"grown": True}:
                self.mature = True
            case {"order": number, "pid": pid} if handles:
                with self._change:
                    answer = self._orders.pop(number, None)
                    self._codes[pid] = None
                if answer is None:  # nobody waits any more; its socket is closed, and so it ends
                    os.close(handles[0])
                else:
                    answer.set_result((pid, handles[0]))
            case {"order": number, "problem": problem}:
                with self._change:
                    answer = self._orders.pop(number, None)
                if answer is not None:
                    answer.set_exception(OSError(problem))
            case {"exit": pid, "code": code}:
                with self._change:
                    if pid in self._codes:
                        self._codes[pid] = code
                    self._change.notify_all()


# What libraries read when they are loaded: no pool of threads in a process that forks. Workers set torch's own.
SINGLE = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


def can_fork(device: str) -> bool:
    """Whether workers are forked: Linux, whose libraries bear it; Apple's GPU does not."""
    return sys.platform == "linux" and device != "mps"


def environment(folder: str, threads: int) -> dict[str, str]:
    """All that a child's environment has: what the machine needs, how many threads, and a folder for every cache."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    return {
        **sandbox.environment(folder),
        **passed,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),  # installed or not
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "",  # a worker cannot; whoever is not confined may keep what it compiled
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "KERAS_BACKEND": "torch",
        "TRANSFORMERS_OFFLINE": "1",
    }


def _python(module: str) -> list[str]:
    """A Python that runs a module of this package, and does not search its current folder."""
    return [sys.executable, "-P", "-X", "faulthandler", "-m", f"explainers.runtime.{module}"]


def _log(path: Path) -> Any:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_suffix(".old"))
    return open(path, "ab")
