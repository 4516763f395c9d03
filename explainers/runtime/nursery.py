"""Where workers come from: forked by the warm process (zygote.py), or started by exec where that cannot be.

One for each Runtime. The warm process is started with a clean small environment when the first worker is needed, or
before; one that died is replaced then, and the workers that it left behind go on. By exec start those of systems that
do not fork safely, of Apple's GPU, and of a machine on which the warm process does not come up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from explainers.runtime import attached, warm
from explainers.runtime.process import Life, Process, Spawned
from explainers.runtime.scratch import Scratch
from explainers.runtime.types import Source
from explainers.runtime.warm import Zygote
from explainers.runtime.watch import Watch, allowed_memory, run_minutes
from explainers.runtime.worker import Settings
from model_zoo.types import UserError

LARGEST_FILE = 512 << 20  # bytes of one file in a scratch folder


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
        self._forks = can_fork(device) if fork is None else fork
        self._allow_code = os.environ.get("ASSAY_ALLOW_CODE") == "1"  # as it was when the server was started
        self._watch = Watch(allowed_memory())
        run_minutes()  # says at once what is wrong with it
        self._quiet = self._watch.quiet if grow else None
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
            with theirs, warm.log(self._logs / f"worker-{lane}.log") as log:
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
            [*warm.python("worker"), str(sock.fileno()), json.dumps(dataclasses.asdict(settings))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=warm.environment(settings.scratch, settings.threads) | warm.SINGLE,  # it confines itself alone
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
                self._zygote = Zygote(self._logs / "zygote.log", self._scratch.make(), self._quiet)
            return self._zygote


def can_fork(device: str) -> bool:
    """Whether workers are forked: Linux, whose libraries bear it; Apple's GPU does not."""
    return sys.platform == "linux" and device != "mps"
