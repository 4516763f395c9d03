"""What crosses between the app and a worker; no heavy library is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from model_zoo.types import ModelCard, Players, Prediction, Sample

COMMAND_LINE = "command line"  # the owner of what `assay explain` asks; every browser of this machine sees it
Status = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Request:
    """Everything that one explanation depends on: same request, same values."""

    model: str  # id of a model
    input: str  # digest of the input's bytes in the store
    method: str
    parameters: dict[str, Any] = field(default_factory=dict)
    target: int | None = None  # None: the predicted class
    output: str | None = None  # "logit", "probability", "value"; None: the model's own
    baseline: str | None = None  # a name that the model's input knows
    players: str | None = None  # a player kind; None: the method's own
    seed: int = 0
    group: str = ""  # runs started by the same click share it


@dataclass(frozen=True)
class Job:
    """A request and how far it is; a row of the store."""

    id: str
    request: Request
    owner: str  # who asked, so that people see their own
    status: Status
    done: int = 0
    total: int = 0
    version: int = 0  # rises with every change worth drawing
    message: str = ""  # why it failed, in a sentence
    created: str = ""
    seconds: float = 0.0
    result: str = ""  # digest of the .assay record in the store
    title: str = ""  # "Integrated gradients on EfficientNet-Lite0, cat.png"


@dataclass(frozen=True)
class Look:
    """What the model sees in an input, and what it says of it."""

    card: ModelCard
    sample: Sample
    prediction: Prediction
    players: Players | None = None  # previewed players, where they were asked for
    baselines: tuple[str, ...] = ()
    player_kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Device:
    """Where a worker computes."""

    id: str  # "cuda", "mps", "cpu"
    name: str  # "NVIDIA H100", "CPU, 2 threads"
