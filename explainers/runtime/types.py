"""What crosses between the app and a worker; no heavy library is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from model_zoo.facts import Facts
from model_zoo.files import Reading
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
    against: int | None = None  # the class that the target is compared with
    at: tuple[int, int] | None = None  # a span of the output's positions: the first, and the one after the last
    evidence: tuple[str, ...] = ()  # checks that are run besides those that always are
    of: str = ""  # the id of a job that is done: its explanation gets the evidence, and nothing is explained again


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


@dataclass(frozen=True)
class Source:
    """Where a worker finds the one model that it serves: a bundled one by its id, or a file."""

    id: str  # of the model, in requests and on its card
    path: str = ""  # of the file or folder, which the sandbox lets this worker read; empty: bundled
    name: str = ""  # what its owner called the file
    title: str = ""
    digest: str = ""  # of the file's bytes
    facts: Facts = field(default_factory=Facts)  # what its owner said of it

    def same(self, other: Source) -> bool:
        """Whether both are one model, whatever is said of it."""
        return self == replace(other, title=self.title, facts=self.facts)


@dataclass(frozen=True)
class Upload:
    """A model file of somebody's own in the workspace."""

    id: str
    owner: str
    name: str  # of the file, as it was uploaded
    title: str
    size: int  # bytes
    digest: str
    created: str
    facts: Facts = field(default_factory=Facts)  # what its owner has said
    reading: Reading | None = None  # what was found in it; None: not read yet
    card: ModelCard | None = None  # once it can be explained
    path: str = ""  # where it lies on the server, for one that was not copied into the workspace
    problem: str = ""  # why it cannot be opened, in a sentence


@dataclass(frozen=True)
class Kept:
    """An input that its owner keeps in the workspace."""

    digest: str  # by which everything else calls it
    name: str  # as its owner calls it
    size: int  # bytes
    created: str


@dataclass(frozen=True)
class Quota:
    """Room in the workspace, in bytes; the same file of two people counts twice: neither learns of the other."""

    used: int  # by this owner's models and samples
    limit: int
    stored: int  # by everybody's
    capacity: int


@dataclass(frozen=True)
class Barrier:
    """One layer of the sandbox on this machine."""

    id: str  # "landlock", "seccomp", "no_new_privs", "limits", "fork"
    label: str
    holds: bool
    sentence: str  # what it keeps away, or why it is missing


@dataclass(frozen=True)
class Host:
    """What this machine can hold a stranger's model with."""

    system: str  # "Linux 6.18, x86_64"
    barriers: tuple[Barrier, ...]
    contained: bool  # all that are required hold: formats that can run code may be opened
    sentence: str  # the banner
