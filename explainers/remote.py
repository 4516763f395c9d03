"""open_model(): a model file opened in a sandboxed worker of its own, and a stand-in that scripts use like a Model.

    with explainers.open_model("resnet.onnx", labels=["cat", "dog"]) as model:
        explanation = explainers.explain(model, "cat.png", "occlusion")

Whatever is asked goes through `ask(kind, body)`, so torch is not loaded here, and what a person gives is read here: the
worker sees the model's file and nothing else of this machine. Nothing is kept in a workspace.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import queue
import re
import tempfile
import threading
import weakref
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from explainers import handing
from explainers.runtime.asking import needs_sandbox
from explainers.runtime.front import available_cores
from explainers.runtime.lane import Lane, Task
from explainers.runtime.nursery import Nursery
from explainers.runtime.process import Died
from explainers.runtime.types import Look, Source
from explainers.types import Attribution, Cancelled, Explanation
from model_zoo import catalogue, opening
from model_zoo.types import Capability, ModelCard, Prediction, Sample, UserError

if TYPE_CHECKING:
    from explainers.diagnosis import Diagnosis

ASKED_TO_STOP = 0.1  # seconds between two looks at whether a Run was stopped


def open_model(
    path: str | os.PathLike[str],
    *,
    card: Any = None,
    device: str | None = None,
    workspace: str | os.PathLike[str] | None = None,
    **facts: Any,
) -> RemoteModel:
    """Open a model file or a Hugging Face folder, or a bundled model by its id, in a sandboxed worker.

    card: a card file (path), or Facts, with what the file does not say; facts: the same one by one (labels=...).
    device: "auto", "cuda", "mps" or "cpu"; None is ASSAY_DEVICE, else "cpu", as model_zoo.load has it.
    workspace: a folder for the worker's log and scratch space; None is a temporary one.

    UserError says in one sentence what is missing; close(), or `with`, ends the worker.
    """
    said = opening.said(card, facts)
    found = Path(path).expanduser()
    if found.exists():
        found = Path(os.path.abspath(found))
        id = re.sub(r"\W+", "_", (said.title or found.stem).lower()).strip("_") or "wrapped"
        source = Source(id, str(found), found.name, facts=said)
    elif card is None and not facts and str(path) in {one.id for one in catalogue.cards()}:
        source = Source(str(path))
    else:
        raise UserError(f"There is no file {str(path)!r} to open; check the path.")
    return RemoteModel(source, device or os.environ.get("ASSAY_DEVICE") or "cpu", workspace)


@final
class RemoteModel:
    """A model in another process; a worker that died is replaced by a new one at the next call."""

    def __init__(self, source: Source, device: str, workspace: str | os.PathLike[str] | None = None) -> None:
        self._source = source
        self._lane = _begun(device, None if workspace is None else str(Path(workspace).expanduser().absolute()))
        weakref.finalize(self, _forgotten.put, self._lane).atexit = False
        try:
            self.card: ModelCard = self.ask("card", ())
        except BaseException:
            self.close()
            raise

    @property
    def can(self) -> Capability:
        """What can be asked of this model."""
        return self.card.can

    def sample(self, raw: Any, name: str = "") -> Sample:
        """Read what a person gives: a path, bytes, a PIL image, a text, a dict or an array."""
        return raw if isinstance(raw, Sample) else self._look(raw, name).sample

    def predict(self, sample: Any) -> Prediction:
        """Scores and class probabilities of one sample."""
        return self._look(sample, "").prediction

    def diagnose(self, sample: Any = None) -> Diagnosis:
        """A check-up on an input, or on one that is made up."""
        found: Diagnosis = self.ask("doctor", (sample, ""))
        return found

    def ask(self, kind: str, body: tuple[Any, ...]) -> Any:
        """The worker's answer to a request of this kind (runtime/serving.py); UserError or Cancelled if there is none.

        body: nothing; or an input as a person gives it, its name, and whatever else this kind takes.
        """
        run = None
        if body:
            raw, name, *rest = body
            raw, name = handing.given(raw, name, getattr(self, "card", None))
            rest = [dict(one) if isinstance(one, dict) else one for one in rest]
            for one in rest:
                if isinstance(one, dict):
                    run = one.pop("run", None) or run
            body = (raw, name, *map(handing.carried, rest))
        answer = self._answer(Task(kind, body, self._source, on_news=functools.partial(_tell, run)), run)
        found = getattr(answer, "card", answer)
        if isinstance(found, ModelCard):
            self.card = found  # it may say more than before the first input
        return answer

    def close(self) -> None:
        """End the worker; once more does no harm."""
        _ended(self._lane)

    def __enter__(self) -> RemoteModel:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _look(self, raw: Any, name: str) -> Look:
        found: Look = self.ask("sample", (raw, name))
        return found

    def _answer(self, task: Task, run: Any) -> Any:
        if self._lane not in _lanes:
            raise UserError(f"{self._called} was closed; open it again with explainers.open_model.")
        self._lane.submit(task)
        try:
            while True:
                with contextlib.suppress(Late):
                    return task.future.result(None if run is None else ASKED_TO_STOP)
                try:
                    run.check()
                except Cancelled:
                    self._lane.cancel(task)
                    run = None
        except Died as error:
            raise UserError(
                f"The worker with {self._called} stopped ({error}); the next call starts a new one."
            ) from error
        except TypeError as error:
            raise UserError(
                f"What was given cannot be sent to {self._called} in its worker: {error}. Give numbers, texts, arrays"
                " or dicts of them."
            ) from error
        except UserError as error:
            if hasattr(self, "card") or not (title := needs_sandbox(self._source)):
                raise
            raise UserError(
                f"{self._called} is a {title}, which can run code or crash its reader, and this machine lacks a part"
                " of the sandbox for such files (see `assay doctor --host`); open it on Linux, or with"
                " model_zoo.load(path, trust=True) if you trust who made it."
            ) from error
        except KeyboardInterrupt:
            self._lane.cancel(task)
            raise

    @property
    def _called(self) -> str:
        return self._source.name or self._source.id


def _tell(run: Any, kind: str, body: Any) -> None:
    """News from the worker, to whoever watches the run here."""
    if run is None:
        return
    match kind, body:
        case "progress", (int(done), int(total)):
            run.total = total
            run.advance(done - run.done)
        case "partial", Explanation():
            run.publish(Attribution(body.values, body.base_value, body.std_error, extras=body.extras, notes=body.notes))


# -- the warm process, shared by the models of a script ----------------------------------------------------------------


class _Home:
    """A warm process with its folder, for as long as some model uses it."""

    def __init__(self, device: str, workspace: str | None) -> None:
        self.key = (device, workspace)
        with contextlib.ExitStack() as made:
            folder = Path(workspace or made.enter_context(tempfile.TemporaryDirectory(prefix="assay-")))
            (folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
            self.nursery = Nursery(folder, device, "model_zoo.catalogue")
            made.callback(self.nursery.close)
            self.close = made.pop_all().close  # ends it, and removes the folder if it is a temporary one


_turn = threading.Lock()
_homes: dict[tuple[str, str | None], _Home] = {}
_lanes: dict[Lane, _Home] = {}  # of the models that are open
_forgotten: queue.SimpleQueue[Lane | None] = queue.SimpleQueue()  # of those that nobody holds any more


def _begun(device: str, workspace: str | None) -> Lane:
    """The lane of a new model."""
    with _turn:
        home = _homes.get((device, workspace)) or _Home(device, workspace)
        start = functools.partial(home.nursery.start, "run", available_cores())
        _homes[home.key] = home
        lane = Lane("script", start, home.nursery.stale)
        _lanes[lane] = home
    _reaper()
    return lane


def _ended(lane: Lane) -> None:
    """A model is closed: its worker goes, and the last one takes the warm process with it; once more does no harm."""
    lane.close()
    with _turn:
        home = _lanes.pop(lane, None)
        if home is not None and home not in _lanes.values():
            del _homes[home.key]
            home.close()


@functools.cache
def _reaper() -> threading.Thread:
    """Ends what is forgotten, on a thread of its own: a collection of garbage may come while others hold any lock."""

    def reap() -> None:
        while (lane := _forgotten.get()) is not None:
            _ended(lane)

    thread = threading.Thread(target=reap, name="assay-reaper", daemon=True)
    thread.start()
    atexit.register(_leave)
    return thread


def _leave() -> None:
    """The script ends, and with it all that is still open."""
    _forgotten.put(None)
    _reaper().join()
    for lane in list(_lanes):
        _ended(lane)
