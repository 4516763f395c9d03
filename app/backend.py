"""What all browsers of one server share: the runtime, and what it was asked about inputs.

A look (sample, prediction, previewed players) may wait for a model to load, so it is a future; screens draw a calm
placeholder and come back. Everything is keyed by digests, so that sharing among people is harmless.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import streamlit as st

from explainers.runtime import Runtime
from explainers.runtime.types import Look

KEPT = 64  # answers in memory


class Backend:
    """The runtime, and futures of what it says of inputs, for one server process."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="look")
        self._lock = threading.Lock()
        self._asked: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    def look(self, model: str, digest: str, players: str | None = None, **options: Any) -> Future[Look]:
        """What this model sees in this input; the same future for the same question."""
        key = ("look", model, digest, players, tuple(sorted(options.items())))
        return self._ask(key, lambda: self.runtime.look(model, digest, players, **options))

    def rows(self, model: str, digest: str) -> Future[tuple[dict[str, Any], ...]]:
        """The rows of an uploaded CSV."""
        return self._ask(("rows", model, digest), lambda: self.runtime.rows(model, digest))

    def forget_failures(self) -> None:
        """Ask again next time for what failed, since a worker that died may be back."""
        with self._lock:
            for key in [key for key, one in self._asked.items() if one.done() and one.exception() is not None]:
                del self._asked[key]

    def close(self) -> None:
        """End the workers and the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.runtime.close()

    def _ask(self, key: Hashable, work: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            if key not in self._asked:
                self._asked[key] = self._pool.submit(work)
                while len(self._asked) > KEPT:
                    self._asked.popitem(last=False)
            self._asked.move_to_end(key)
            return self._asked[key]


def _start() -> Backend:
    return Backend(Runtime())  # workspace and device are in the environment that `assay serve` made


@st.cache_resource(show_spinner=False, on_release=lambda backend: backend.close())
def shared() -> Backend:
    """The one backend of this server; the first visitor starts its workers."""
    return _start()
