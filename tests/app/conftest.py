"""A runtime without a worker, for screens under AppTest: it answers at once, from made-up numbers."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app import backend
from explainers import registry
from explainers.runtime.types import COMMAND_LINE, Device, Job, Look, Request
from explainers.types import Check, Cost, Explanation, Provenance, Verdict
from model_zoo import catalogue
from model_zoo.modalities.image import ImageView
from model_zoo.modalities.tabular import Cell, TableView
from model_zoo.modalities.text import TextView
from model_zoo.types import ModelCard, Players, Prediction, Sample, Target, UserError, digest


class FakeRuntime:
    """The contract of Runtime, with jobs that stay queued until `finish` is called."""

    def __init__(self) -> None:
        self.blobs: dict[str, tuple[bytes, str]] = {}
        self.known: dict[str, Job] = {}
        self.refuse = ""  # a sentence: every look fails with it
        self.cause: Exception | None = None  # what the refusal came from
        self.ready = threading.Event()  # looks wait for it
        self.ready.set()
        self.closed = False

    def cards(self) -> tuple[ModelCard, ...]:
        return catalogue.cards()

    def device(self) -> Device:
        return Device("cpu", "CPU, 2 threads")

    def put(self, data: bytes, name: str) -> str:
        found = digest(data)
        self.blobs[found] = (data, name)
        return found

    def read(self, digest: str) -> tuple[bytes, str]:
        if digest not in self.blobs:
            raise UserError("This input is not in the workspace any more.")
        return self.blobs[digest]

    def name(self, digest: str) -> str:
        return self.read(digest)[1]

    def rows(self, model: str, digest: str) -> tuple[dict[str, Any], ...]:
        return ({"Age": 30},)

    def look(
        self, model: str, digest: str, players: str | None = None, baseline: str | None = None, **options: Any
    ) -> Look:
        self.ready.wait()
        if self.refuse:
            raise UserError(self.refuse) from self.cause
        card = catalogue.card(model)
        sample = made_up_sample(card)
        shown = (
            None if players is None else Players(players, np.zeros(sample.x.shape[-2:], np.int64), 1, ("all of it",))
        )
        return Look(
            card,
            sample,
            made_up_prediction(card),
            shown,
            ("zero", "mean"),
            ("pixels", "segments") if card.modality == "image" else (),
        )

    def submit(self, request: Request, owner: str) -> str:
        id = secrets.token_hex(8)
        self.known[id] = Job(id, request, owner, "queued", created="2026-01-02T03:04:05+00:00", title="a job")
        return id

    def job(self, id: str) -> Job:
        if id not in self.known:
            raise UserError("This run is no longer in the workspace.")
        return self.known[id]

    def jobs(self, owner: str | None, limit: int | None = None, group: str | None = None) -> tuple[Job, ...]:
        mine = [one for one in self.known.values() if owner is None or one.owner in (owner, COMMAND_LINE)]
        found = [one for one in reversed(mine) if group is None or group in (one.id, one.request.group)]
        return tuple(found[:limit])

    def past(self, model: str, method: str) -> Job | None:
        done = [one for one in self.jobs(None) if one.status == "done"]
        return next((one for one in done if (one.request.model, one.request.method) == (model, method)), None)

    def change(self, **changes: Any) -> None:
        """Every job at once: status="done", message="...", and so on."""
        self.known = {id: replace(one, **changes) for id, one in self.known.items()}

    def partial(self, id: str) -> None:
        return None

    def result(self, id: str) -> Explanation:
        return made_up_explanation(self.known[id].request)

    def cancel(self, id: str) -> None:
        self.known[id] = replace(self.known[id], status="cancelled")

    def delete(self, id: str) -> None:
        del self.known[id]

    def close(self) -> None:
        self.closed = True


def made_up_prediction(card: ModelCard) -> Prediction:
    shares = np.full(len(card.labels), 0.25 / (len(card.labels) - 1))
    shares[-1] = 0.75
    return Prediction(np.log(shares), shares, card.labels)


def made_up_sample(card: ModelCard) -> Sample:
    if card.modality == "image":
        view: Any = ImageView(catalogue.read_example("coffee")[0], 600, 400, (100.0, 0.0, 500.0, 400.0), (8, 8))
        return Sample("image", "coffee.jpg", np.zeros((3, 8, 8), np.float32), view)
    if card.modality == "text":
        view = TextView("Good <b>film</b>", ((0, 4), (5, 16)), 1, ("good",), ((0, 4),), (0,))
        return Sample("text", "typed text", np.zeros(1, np.int64), view)
    cells = tuple(Cell(one.name, one.kind, None, 1.0, one.unit, "imputed") for one in card.columns)
    return Sample("tabular", "a row", np.zeros(len(cells), np.float32), TableView(cells))


def made_up_explanation(request: Request) -> Explanation:
    card = catalogue.card(request.model)
    sample, found = made_up_sample(card), made_up_prediction(card)
    owner = np.arange(sample.x[-1].size if sample.x.ndim > 1 else sample.x.size)
    owner = np.arange(64).reshape(8, 8) if card.modality == "image" else owner
    names = tuple(one.name for one in card.columns) if card.modality == "tabular" else ("Good",)
    names = () if card.modality == "image" else names
    kind = {"image": "pixels", "text": "words", "tabular": "columns"}[card.modality]
    method = registry.method(request.method)
    return Explanation(
        method=method.id,
        title=method.title,
        flavour="made up",
        card=card,
        sample=sample,
        target=Target(found.top, card.labels[found.top], "logit"),
        players=Players(kind, owner, owner.size, names),
        reference=None,
        values=np.linspace(-1, 1, owner.size),
        unit="log-odds (logit)",
        prediction=found,
        explained=1.0,
        base_value=0.0,
        std_error=None,
        extras={},
        notes=(),
        evidence=(Check("adds_up", "Adds up", Verdict.BAD, "It misses <half> of it."),),
        cost=Cost(10, 0, 1.0),
        provenance=Provenance("sha256:a", "sha256:b", {}, 0, "cpu", (1,), 2, {}, "2026-01-02T03:04:05+00:00"),
    )


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fake runtime behind every screen of this test."""
    fake = FakeRuntime()
    monkeypatch.setattr(backend, "_start", lambda: backend.Backend(fake))
    backend.shared.clear()
    yield fake
    backend.shared.clear()
