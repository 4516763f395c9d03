"""Questions that somebody waits for: asked of a lane, shared among those who ask the same, failed in a sentence."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import Any

from explainers.runtime.jobs import AGAIN
from explainers.runtime.lane import Lane, Task
from explainers.runtime.process import Died
from explainers.runtime.types import Source
from explainers.types import Cancelled
from model_zoo.files import ModelFile, Trust
from model_zoo.types import UserError

WAITING = 20  # questions of one owner in a lane
WORDS = {
    "look": "reading the input",
    "rows": "reading the input",
    "sample": "reading the input",
    "read": "reading the file",
    "card": "opening the file",
    "doctor": "examining the model",
}


def needs_sandbox(source: Source) -> str:
    """The title of a file's format if it is opened in a whole sandbox only and this machine has none; else empty."""
    from explainers.runtime import sandbox
    from model_zoo import opening

    if source.path:
        with contextlib.suppress(UserError, OSError):
            form = opening.format_of(ModelFile(Path(source.path), source.name))
            if form.trust is Trust.SANDBOX and not sandbox.host().contained:
                return form.title
    return ""


class Asking:
    """The questions of one lane; safe to use from several threads."""

    def __init__(self, lane: Lane, limit: float) -> None:
        """limit: seconds that somebody waits."""
        self._lane = lane
        self._limit = limit
        self._lock = threading.RLock()  # a callback may come at once
        self._asked: dict[Any, Task] = {}
        self._waiting: Counter[str] = Counter()  # questions of each owner

    def ask(self, kind: str, body: Any, source: Source, key: Any = None, owner: str | None = None) -> Any:
        """The answer; UserError says why there is none.

        key: what tells this question of its kind from others. owner: who asks, since turns are among owners.
        """
        owner = owner or ""
        shared = (kind, source, key)
        with self._lock:
            task = None if key is None else self._asked.get(shared)
            if task is None:
                if owner and self._waiting[owner] >= WAITING:
                    raise UserError(
                        f"{WAITING} of your questions are waiting already; try again when some are answered."
                    )
                task = self._lane.submit(Task(kind, body, source, owner=owner))
                self._waiting[owner] += 1
                task.future.add_done_callback(lambda _: self._answered(owner))
                if key is not None:
                    self._asked[shared] = task
                    task.future.add_done_callback(lambda _: self._asked.pop(shared, None))
        doing = WORDS.get(kind, "computing")
        try:
            return task.future.result(self._limit)
        except Late as error:
            self._lane.cancel(task)
            raise UserError(
                f"The model took longer than {self._limit:.0f} s while {doing}; give a smaller one, or try again later."
            ) from error
        except Died as error:
            raise UserError(f"The worker stopped while {doing} ({error}). {AGAIN}") from error
        except UserError as error:
            title = needs_sandbox(source) if kind in ("read", "card") else ""
            if not title:
                raise
            raise UserError(
                f"{source.name} is a {title}, which can run code or crash its reader, and this machine lacks a part of"
                " the sandbox for such files; ask who runs this server, or give a format that holds data alone, such as"
                " safetensors."
            ) from error
        except Cancelled as error:
            raise UserError(f"The worker was stopped while {doing}; try it again.") from error

    def _answered(self, owner: str) -> None:
        """On any thread, also within ask(): one of an owner's questions waits no more."""
        with self._lock:
            self._waiting[owner] -= 1
            if not self._waiting[owner]:
                del self._waiting[owner]
