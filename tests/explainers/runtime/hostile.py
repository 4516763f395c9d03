"""What a model may do to the worker that loads it, and to the app behind that: each function one attack.

They run in the worker, before the model that they came with is there; descriptor 3 is the worker's socket.
"""

import contextlib
import ctypes
import dataclasses
import json
import mmap
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from explainers.runtime import wire
from explainers.runtime.worker import Worker

STEP = 64 << 20
SOCKET = 3


def abort():
    os.abort()


def panic():
    """What a Rust extension raises when it panics derives from BaseException."""

    class PanicException(BaseException):
        pass

    raise PanicException("called `Option::unwrap()` on a `None` value")


def leave():
    raise SystemExit(4)


def hoard():
    """Private memory, which the kernel's limit stops."""
    kept = []
    while True:
        kept.append(np.ones(STEP, np.uint8))


def share():
    """Shared memory, which only the watch sees."""
    kept = []
    while True:
        kept.append(mmap.mmap(-1, STEP))
        kept[-1].write(b"x" * STEP)


def headless():
    """The same once the first thread is gone, and /proc no longer says of the process what it holds."""

    def later():
        time.sleep(0.5)
        share()

    threading.Thread(target=later, daemon=True).start()
    ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)  # exit, of this thread alone


def litter():
    for number in range(20_000):
        Path(f"{number:x}").touch()
    time.sleep(60)


def crowd():
    """Threads until somebody looks."""
    threading.stack_size(1 << 16)
    with contextlib.suppress(RuntimeError):  # no room for the next one's stack
        while True:
            threading.Thread(target=time.sleep, args=[60], daemon=True).start()
    time.sleep(60)


def asleep():
    time.sleep(600)


def deaf():
    """Holds the interpreter for good, so that no other thread of it runs; and ignores what can be ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.PyDLL(None).sleep(600)


def nosy():
    """The app's own settings, of the checkout or the package."""
    Path(wire.__file__).resolve().parents[2].joinpath("pyproject.toml").read_text()


def bare():
    """Tells what it finds around itself."""
    found = {
        "variables": sorted(os.environ),
        "files": sorted(map(int, os.listdir("/proc/self/fd"))),
        "cwd": os.getcwd(),
    }
    from model_zoo.types import UserError

    raise UserError(json.dumps(found))


def inherited():
    """Tells what numba had compiled before and after partition SHAP explained a photograph and a text."""
    import shap
    from numba.core.dispatcher import Dispatcher
    from shap.explainers import _partition
    from shap.maskers import _image
    from shap.utils import _clustering, _masked_model

    import explainers
    from model_zoo import catalogue
    from model_zoo.types import UserError

    def compiled():
        modules = (_partition, _image, _clustering, _masked_model, shap.links)
        known = [(name, one) for module in modules for name, one in vars(module).items() if isinstance(one, Dispatcher)]
        return {name: sorted(map(str, one.signatures)) for name, one in known}

    before = compiled()
    photo = catalogue.read_example("coffee")[0]
    explainers.explain(catalogue.load("squeezenet"), photo, "partition_shap", max_evals=12, batch_size=4)
    text = "A lovely dress, but far too small."
    explainers.explain(catalogue.load("bilstm_reviews"), text, "partition_shap", max_evals=12)
    raise UserError(json.dumps([before, compiled()]))


# -- lies --------------------------------------------------------------------------------------------------------


def say(data):
    while data:
        data = data[os.write(SOCKET, data) :]


def garbage():
    say(np.random.default_rng(0).bytes(1 << 16))


def endless():
    say(wire.PREFIX.pack(2**31, 2**62))


def deep():
    text = b"[" * 500_000
    say(wire.PREFIX.pack(len(text), 0) + text)


def crowded():
    text = b"[" + b"{}," * 6_000_000 + b"{}]"
    say(wire.PREFIX.pack(len(text), 0) + text)


def untyped():
    """A frame that is no message."""
    text = json.dumps({"value": {"tuple": ["result", "one", None]}, "arrays": []}).encode()
    say(wire.PREFIX.pack(len(text), 0) + text)


def answered(change):
    """What the worker answers from now on, changed."""
    true = Worker._say

    def lie(self, kind, number, body):
        true(self, kind, number, change(body) if kind == "result" else body)

    Worker._say = lie


def foreign():
    answered(lambda found: found.card)


def misshapen():
    answered(lambda found: dataclasses.replace(found, values=found.values[:-1]))


def integers():
    answered(lambda found: dataclasses.replace(found, values=np.arange(len(found.values))))


def wordy():
    answered(lambda found: dataclasses.replace(found, card=dataclasses.replace(found.card, notes=("x" * 999,) * 9999)))


def chatter():
    """Thousands of words that mean nothing, then the truth."""
    for number in range(3000):
        for message in (["progress", number, {"tuple": [7, -1]}], ["partial", number, "?"], ["gossip", -1, [[[]]]]):
            text = json.dumps({"value": {"tuple": message}, "arrays": []}).encode()
            say(wire.PREFIX.pack(len(text), 0) + text)
