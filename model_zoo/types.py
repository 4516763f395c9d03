"""The nouns of a model and of its input; no heavy library is imported here.

Shapes: `x` is one input without a batch axis, `inputs` is `(n, *x.shape)`, `scores` is `(n, outputs)`.
Everything is frozen; functions return new values.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

Task = Literal["classification", "binary", "regression"]
Output = Literal["logit", "probability", "value"]


class UserError(ValueError):
    """Something a person can mend: one sentence with what was expected, what came and what to do."""


def quoted(error: BaseException, most: int = 200) -> str:
    """What an exception says, in one line of at most `most` characters; of TorchScript's traceback the last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):
        lines = [lines[-1].partition("Error: ")[2] or lines[-1]]
    return " ".join(" ".join(lines).split()).rstrip(".")[:most] or type(error).__name__


class Capability(enum.Flag):
    """What can be asked of a model; a method lists those that it needs."""

    NONE = 0
    GRADIENTS = enum.auto()  # scores are differentiable in `entry` (the input itself, or its embedding)
    EMBEDDINGS = enum.auto()  # inputs are token ids; gradients live on their embedding
    ATTENTION = enum.auto()  # attention maps can be probed
    SPATIAL = enum.auto()  # there is a feature map with two spatial axes
    TREES = enum.auto()  # an ensemble of trees that shap.TreeExplainer reads


@dataclass(frozen=True)
class Column:
    """One column of a table as the person knows it."""

    name: str
    kind: Literal["number", "category"] = "number"
    unit: str = ""
    categories: tuple[str, ...] = ()
    default: float | str | None = None  # imputed where a value is missing; None: a value is required
    low: float | None = None  # range seen in training
    high: float | None = None
    description: str = ""


@dataclass(frozen=True)
class ModelCard:
    """The public face of a model: read by menus and reports without loading the model."""

    id: str
    title: str
    modality: str  # the name of a file in modalities/: "image", "text", "tabular", "series", "audio"
    task: Task
    output: Output  # what forward returns: logits, probabilities, or the regression's values
    labels: tuple[str, ...]  # class names; for a regression the names of its outputs
    can: Capability = Capability.NONE
    description: str = ""
    inputs: str = ""  # what it takes, in words
    metric: str = ""  # what it reaches, on what
    data: str = ""
    licence: str = ""
    source: str = ""
    digest: str = ""  # "sha256:..." of the weights
    unit: str = ""  # of a regression's value
    columns: tuple[Column, ...] = ()  # tabular only
    examples: tuple[str, ...] = ()  # ids of bundled samples, best first
    notes: tuple[str, ...] = ()  # how an uploaded file was opened, each a sentence

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The kinds of number that can be explained; the model's own kind first."""
        if self.output == "logit":
            return ("logit", "probability")
        return (self.output,)


@dataclass(frozen=True)
class Players:
    """Who gets credit. `owner[position]` is the player that owns this position of x, or -1 for nobody.

    `owner` has the shape of x, or of its trailing axes: (height, width) for an image of (channels, height, width).
    """

    kind: str  # "pixels", "segments", "tokens", "words", "columns", "steps", "spans", "channels", ...
    owner: np.ndarray
    count: int
    names: tuple[str, ...] = ()  # empty for pixels

    def name(self, player: int) -> str:
        """What a person calls this player."""
        if self.names:
            return self.names[player]
        if self.owner.ndim == 2 and self.kind == "pixels":
            row, column = np.argwhere(self.owner == player)[0]
            return f"pixel at row {row}, column {column}"
        return f"{self.kind.rstrip('s')} {player + 1}"


@dataclass(frozen=True)
class Reference:
    """What absence means: rows of shape (rows, *x.shape) that stand in for what is taken away."""

    kind: str  # a name from Input.baselines ("zero", "mean", "blur", "mask", ...), "background" or "given"
    rows: np.ndarray
    sentence: str  # "the training mean colour", "100 rows of the training data"


@dataclass(frozen=True)
class Target:
    """The one number that is explained: output `index` of the model, as `output`; or a margin, or a sum.

    With n_k the number of output k: n_index + the sum of n_also - n_against, and where each output has positions of its
    own (a label for each token, a map for each class), that summed over `places`.
    """

    index: int
    label: str
    output: Output
    unit: str = ""  # of the number, and of every attribution of it: "logit", "log-odds", "US$"; else the output's kind
    against: int | None = None  # the output that it is compared with: why this rather than that
    also: tuple[int, ...] = ()  # outputs that are added, such as the other steps of a forecast
    places: tuple[int, ...] = ()  # flat positions in the output's own axes; empty: all of them

    def __post_init__(self) -> None:
        if not self.unit:
            object.__setattr__(self, "unit", self.output)


@dataclass(frozen=True)
class Prediction:
    """Scores of one input: `raw` (outputs,) as the model gave them, and class probabilities, else None."""

    raw: np.ndarray
    probabilities: np.ndarray | None  # (labels,), sums to one; None for a regression
    labels: tuple[str, ...]

    @property
    def top(self) -> int:
        """The predicted class, or output 0 of a regression."""
        return 0 if self.probabilities is None else int(np.argmax(self.probabilities))


class View(Protocol):
    """The person's own input, as shown, with the way back from x; one frozen dataclass a modality."""


@dataclass(frozen=True)
class Sample:
    """One input: `x` is what the model takes, `view` what the person gave."""

    modality: str
    name: str  # "cat.png", "typed text", "row 3"
    x: np.ndarray
    view: Any  # a View of the modality
    notes: tuple[str, ...] = ()  # what was done on the way in, each a sentence
    digest: str = ""  # of what the person gave

    # What a player kind needs besides x (token texts, tokenizer offsets) lives in the view.


class Input(Protocol):
    """How one model takes one modality: from what a person gives to x, and back. One class a modality."""

    @property
    def modality(self) -> str:
        """The name of a file in modalities/."""

    @property
    def player_kinds(self) -> tuple[str, ...]:
        """Names that players() accepts; the first is the finest."""

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names that reference() accepts; the first is the default."""

    def read(self, raw: Any, name: str = "") -> Sample:
        """Accept what a person gives (path, bytes, text, array, dict); UserError if it cannot be read."""
        ...

    def players(self, sample: Sample, kind: str | None = None, **options: Any) -> Players:
        """Divide x among players."""
        ...

    def reference(self, sample: Sample, baseline: Any = None) -> Reference:
        """One row to compare with: a name from `baselines`, a number, an array like x, or None for the default."""
        ...

    def background(self, sample: Sample, rows: Any = None) -> Reference:
        """Many rows to average over: given ones, the model's own, or the baseline alone where there are none."""
        ...


def digest(*parts: bytes) -> str:
    """sha256 of the parts, as 'sha256:<hex>'."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return f"sha256:{found.hexdigest()}"


@dataclass(frozen=True)
class Example:
    """A bundled sample: what a person would have given, and where it comes from."""

    id: str
    modality: str
    title: str
    path: str  # beside this package, under samples/
    licence: str
    source: str
    fits: tuple[str, ...] = field(default=())  # model ids; empty: every model of the modality
