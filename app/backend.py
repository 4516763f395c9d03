"""What all browsers of one server share: the runtime, and what it was asked about inputs.

A look (sample, prediction, previewed players) may wait for a model to load, so it is a future; screens draw a calm
placeholder and come back. Everything is keyed by who asks and by digests, so that sharing among people is harmless.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import streamlit as st

from explainers.diagnosis import Diagnosis
from explainers.runtime import Runtime
from explainers.runtime.types import Host, Look
from model_zoo.facts import Facts
from model_zoo.files import Reading
from model_zoo.types import ModelCard

KEPT = 64  # answers in memory


class Backend:
    """The runtime, and futures of what it says of inputs, for one server process."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="look")
        self._lock = threading.Lock()
        self._asked: OrderedDict[tuple[Any, ...], Future[Any]] = OrderedDict()  # (what, model, owner, ...)
        self._host: Host | None = None
        self._drafts: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()  # (owner, upload)

    def look(self, owner: str, model: str, digest: str, players: str | None = None, **options: Any) -> Future[Look]:
        """What this model sees in this input; the same future for the same question."""
        key = ("look", model, owner, digest, players, tuple(sorted(options.items())))
        return self._ask(key, lambda: self.runtime.look(model, digest, players, owner=owner, **options))

    def rows(self, owner: str, model: str, digest: str) -> Future[tuple[dict[str, Any], ...]]:
        """The rows of an uploaded CSV."""
        return self._ask(("rows", model, owner, digest), lambda: self.runtime.rows(model, digest, owner=owner))

    def inspect(self, owner: str, upload: str, said: Facts) -> Future[Reading]:
        """What is found in an upload, with what its owner has said so far."""
        return self._ask(("inspect", upload, owner, said), lambda: self.runtime.inspect(upload, owner, said))

    def describe(self, owner: str, upload: str, facts: Facts) -> Future[ModelCard]:
        """Open an upload with these facts; what was known of it before is asked again."""

        def work() -> ModelCard:
            card: ModelCard = self.runtime.describe(upload, owner, facts)
            self.forget(upload)
            return card

        return self._pool.submit(work)

    def keep_draft(self, owner: str, upload: str, values: dict[str, Any]) -> None:
        """Hold on to a half-filled form, so that a refresh loses nothing."""
        with self._lock:
            self._drafts[owner, upload] = values
            self._drafts.move_to_end((owner, upload))
            while len(self._drafts) > KEPT:
                self._drafts.popitem(last=False)

    def draft(self, owner: str, upload: str) -> dict[str, Any]:
        """The fields of a half-filled form; empty where there is none."""
        with self._lock:
            return dict(self._drafts.get((owner, upload), {}))

    def doctor(self, owner: str, model: str, digest: str | None) -> Future[Diagnosis]:
        """A check-up of a model on an input."""
        return self._ask(("doctor", model, owner, digest), lambda: self.runtime.doctor(model, digest, owner))

    def examined(self, owner: str, model: str) -> Diagnosis | None:
        """What a check-up found, if one was made; it is not asked for."""
        with self._lock:
            made = [one for key, one in self._asked.items() if key[:3] == ("doctor", model, owner) and one.done()]
        found = [one.result() for one in made if not one.cancelled() and one.exception() is None]
        return found[-1] if found else None

    def host(self) -> Host:
        """What this machine can hold a stranger's model with; it does not change while the server runs."""
        with self._lock:
            if self._host is None:
                self._host = self.runtime.host()
            return self._host

    def forget(self, model: str) -> None:
        """Ask again next time whatever concerns this model: it was opened otherwise, or is gone."""
        self._drop(lambda key, one: key[1] == model)
        with self._lock:
            for key in [key for key in self._drafts if key[1] == model]:
                del self._drafts[key]

    def forget_failures(self) -> None:
        """Ask again next time for what failed, since a worker that died may be back."""
        self._drop(lambda key, one: one.done() and one.exception() is not None)

    def close(self) -> None:
        """End the workers and the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.runtime.close()

    def _drop(self, unwanted: Callable[[tuple[Any, ...], Future[Any]], bool]) -> None:
        with self._lock:
            for key in [key for key, one in self._asked.items() if unwanted(key, one)]:
                del self._asked[key]

    def _ask(self, key: tuple[Any, ...], work: Callable[[], Any]) -> Future[Any]:
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
