"""A runtime without a worker, for screens under AppTest: it answers at once, from made-up numbers."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from explainers import registry
from explainers.diagnosis import Diagnosis, Finding, Part, Suited
from explainers.runtime.types import (
    COMMAND_LINE,
    Barrier,
    Device,
    Host,
    Job,
    Kept,
    Look,
    Quota,
    Request,
    Upload,
)
from explainers.types import Check, Cost, Explanation, Provenance, Verdict
from model_zoo import catalogue
from model_zoo.facts import Facts
from model_zoo.files import Choice, Reading
from model_zoo.modalities.audio import AudioInput
from model_zoo.modalities.image import ImageView
from model_zoo.modalities.series import SeriesInput
from model_zoo.modalities.tabular import Cell, TableView
from model_zoo.modalities.text import TextView
from model_zoo.types import Capability, ModelCard, Players, Prediction, Sample, Target, UserError, digest

WHEN = "2026-01-02T03:04:05+00:00"
CONTAINED = Host("Linux, x86_64", (Barrier("landlock", "Landlock", True, "No file is read."),), True, "All holds.")
OPEN = Host(
    "macOS, arm64",
    (Barrier("landlock", "Landlock", False, "This <system> has no Landlock."),),
    False,
    "On this machine only data formats are opened, because Landlock is missing.",
)
RESNET = Reading(
    "state_dict",
    "PyTorch state dict",
    "ResNet-18 of torchvision, 11.2 million parameters, 7 classes",
    Facts(modality="image", size=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), crop=0.875),
    outputs=7,
    parameters=11_180_103,
    notes=("The prefix <module.> was taken off.",),
)
AMBIGUOUS = (
    Choice("torchvision/resnet18", "ResNet-18 of torchvision", "every name and shape fits"),
    Choice("timm/resnet18", "ResNet-18 of <timm>", "the same shapes"),
)


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
        self.kept: dict[str, Upload] = {}
        self.inputs: dict[str, Kept] = {}
        self.owners: dict[str, str] = {}  # of inputs
        self.reading: Reading | str = RESNET  # what inspect() finds, or the sentence that it fails with
        self.described: list[Facts] = []
        self.refuse_facts = ""  # a sentence: describe() fails with it
        self.machine = CONTAINED
        self.shared = False

    def cards(self, owner: str | None = None) -> tuple[ModelCard, ...]:
        mine = (one.card for one in (() if owner is None else self.uploads(owner)))
        return (*catalogue.cards(), *(one for one in mine if one is not None))

    def card(self, model: str, owner: str | None = None) -> ModelCard:
        for one in self.cards(owner):
            if one.id == model:
                return one
        raise UserError(f"There is no model {model!r}.")

    def receive(self, file: BinaryIO, name: str, owner: str) -> Upload:
        return self._keep(name, owner, file.read())

    def attach(self, path: str | Path, owner: str) -> Upload:
        if str(path).startswith("/nowhere"):
            raise UserError(f"There is no file {str(path)!r}; check the path.")
        return self._keep(Path(path).name, owner, str(path).encode(), str(path))

    def _keep(self, name: str, owner: str, data: bytes, path: str = "") -> Upload:
        id = f"u{digest(data)[-8:]}"
        upload = Upload(id, owner, name, name.rpartition(".")[0] or name, len(data), digest(data), WHEN, path=path)
        self.kept[id] = upload
        return upload

    def uploads(self, owner: str) -> tuple[Upload, ...]:
        return tuple(one for one in reversed(self.kept.values()) if self.shared or one.owner == owner)

    def upload(self, id: str, owner: str) -> Upload:
        for one in self.uploads(owner):
            if one.id == id:
                return one
        raise UserError("This model is not in the workspace any more, or it belongs to somebody else.")

    def inspect(self, id: str, owner: str, said: Facts | None = None) -> Reading:
        self.ready.wait()
        upload = self.upload(id, owner)
        if isinstance(self.reading, str):
            raise UserError(self.reading)
        self.kept[id] = replace(upload, reading=self.reading)
        return self.reading

    def describe(self, id: str, owner: str, facts: Facts) -> ModelCard:
        upload = self.upload(id, owner)
        if self.refuse_facts:
            raise UserError(self.refuse_facts)
        self.described.append(facts)
        card = made_up_card(id, facts, facts.title or upload.title)
        self.kept[id] = replace(upload, facts=facts, card=card, title=card.title)
        return card

    def rename(self, id: str, title: str, owner: str) -> None:
        upload = self.upload(id, owner)
        card = None if upload.card is None else replace(upload.card, title=title)
        self.kept[id] = replace(upload, title=title, card=card)

    def remove(self, id: str, owner: str) -> None:
        del self.kept[self.upload(id, owner).id]

    def samples(self, owner: str) -> tuple[Kept, ...]:
        return tuple(one for one in self.inputs.values() if self.owners[one.digest] == owner)

    def rename_sample(self, digest: str, name: str, owner: str) -> None:
        self.inputs[digest] = replace(self.inputs[digest], name=name)

    def remove_sample(self, digest: str, owner: str) -> None:
        del self.inputs[digest]

    def doctor(self, model: str, digest: str | None = None, owner: str | None = None) -> Diagnosis:
        self.ready.wait()
        if self.refuse:
            raise UserError(self.refuse)
        return made_up_diagnosis(self.card(model, owner))

    def host(self) -> Host:
        return self.machine

    def quota(self, owner: str) -> Quota:
        used = sum(one.size for one in self.uploads(owner))
        return Quota(used, 10 << 30, used, 100 << 30)

    def device(self) -> Device:
        return Device("cpu", "CPU, 2 threads")

    def put(self, data: bytes, name: str, owner: str = "") -> str:
        found = digest(data)
        self.blobs[found] = (data, name)
        if owner:
            self.inputs[found], self.owners[found] = Kept(found, name, len(data), WHEN), owner
        return found

    def read(self, digest: str, owner: str | None = None) -> tuple[bytes, str]:
        if digest not in self.blobs:
            raise UserError("This input is not in the workspace any more.")
        if owner is not None and self.owners.get(digest, owner) != owner:
            raise UserError("This input is not in the workspace any more.")
        return self.blobs[digest]

    def name(self, digest: str, owner: str | None = None) -> str:
        return FakeRuntime.read(self, digest, owner)[1]

    def rows(self, model: str, digest: str, owner: str | None = None) -> tuple[dict[str, Any], ...]:
        return ({"Age": 30},)

    def look(
        self,
        model: str,
        digest: str,
        players: str | None = None,
        baseline: str | None = None,
        owner: str | None = None,
        **options: Any,
    ) -> Look:
        self.ready.wait()
        if self.refuse:
            raise UserError(self.refuse) from self.cause
        card = self.card(model, owner)
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

    def job(self, id: str, owner: str | None = None) -> Job:
        if id not in self.known or owner not in (None, self.known[id].owner, COMMAND_LINE):
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

    def partial(self, id: str, owner: str | None = None) -> None:
        assert owner, "a screen asks for somebody"

    def result(self, id: str, owner: str | None = None) -> Explanation:
        assert owner, "a screen asks for somebody"
        request = self.job(id, owner).request
        if request.of:
            return tested(self.result(request.of, owner), request.evidence)
        return made_up_explanation(request, self.card(request.model, self.known[id].owner))

    def cancel(self, id: str, owner: str | None = None) -> None:
        assert owner, "a screen asks for somebody"
        self.known[id] = replace(self.job(id, owner), status="cancelled")

    def delete(self, id: str, owner: str | None = None) -> None:
        assert owner, "a screen asks for somebody"
        del self.known[self.job(id, owner).id]

    def close(self) -> None:
        self.closed = True


def tested(plain: Explanation, lines: tuple[str, ...]) -> Explanation:
    """The same explanation after these tests, which all came out well."""
    known = [one for one in registry.checks() if one.id in lines]
    more = tuple(Check(one.id, one.label, Verdict.GOOD, f"<{one.id}> is fine.", evaluations=9) for one in known)
    return replace(plain, evidence=(*plain.evidence, *more))


def made_up_card(id: str, facts: Facts, title: str) -> ModelCard:
    can = Capability.GRADIENTS | (Capability.SPATIAL if facts.modality == "image" else Capability.NONE)
    return ModelCard(
        id, title, facts.modality or "image", "classification", "logit", facts.labels or tuple("abcdefg"), can,
        columns=facts.columns, source=f"{id}.pth, a PyTorch state dict", notes=("Read <so>.",),
    )  # fmt: skip


def made_up_diagnosis(card: ModelCard) -> Diagnosis:
    return Diagnosis(
        card=card,
        sample="a made-up picture",
        takes="one float32 array (3, 224, 224); batches of any size",
        returns="logits of 7 classes, (n, 7)",
        parameters=11_180_103,
        weights=44_720_412,
        memory=21_000_000,
        seconds=0.031,
        backward=0.08,
        device="CPU, 2 threads",
        parts=(
            Part("", "ResNet", 0, 11_180_103, "(1, 7)"),
            Part("layer1", "Sequential", 1, 147_968, "(1, 64, 56, 56)"),
            Part("layer1.0", "Basic<Block>", 2, 73_984, "(1, 64, 56, 56)"),
            Part("layer1.0.conv1", "Conv2d", 3, 36_864),
            Part("fc", "Linear", 1, 3_591, "(1, 7)"),
        ),
        methods=(
            Suited("saliency", "Saliency"),
            Suited("grad_cam", "Grad-CAM", note="on <layer4>"),
            Suited("tree_shap", "Tree SHAP", "It needs an ensemble of decision <trees>."),
        ),
        findings=(
            Finding("gradient", "Gradients", Verdict.GOOD, "They **reach** the input."),
            Finding("relu", "ReLU", Verdict.DOUBTFUL, "One <ReLU> is used twice.", "It was split; outputs are equal."),
        ),
    )


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
    if card.modality == "series":
        return SeriesInput(("<ecg>", "resp"), time_axis=-1).read(np.arange(16.0).reshape(2, 8), "heart.csv")
    if card.modality == "audio":
        return AudioInput(8000).read(np.sin(np.arange(8000) / 9), "bark.wav")
    cells = tuple(Cell(one.name, one.kind, None, 1.0, one.unit, "imputed") for one in card.columns)
    return Sample("tabular", "a row", np.zeros(len(cells), np.float32), TableView(cells))


def made_up_explanation(request: Request, card: ModelCard) -> Explanation:
    sample, found = made_up_sample(card), made_up_prediction(card)
    owner = np.arange(sample.x[-1].size if sample.x.ndim > 1 else sample.x.size)
    owner = np.arange(64).reshape(8, 8) if card.modality == "image" else owner
    names = tuple(one.name for one in card.columns) if card.modality == "tabular" else ("Good",)
    names = () if card.modality == "image" else names
    kind = {"image": "pixels", "text": "words", "tabular": "columns"}.get(card.modality, "steps")
    if kind == "steps":
        owner, names = np.arange(sample.x.shape[-1]), tuple(f"step {one}" for one in range(sample.x.shape[-1]))
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
