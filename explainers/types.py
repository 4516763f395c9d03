"""The nouns of an explanation; no heavy library is imported here."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from model_zoo.types import Capability, ModelCard, Players, Prediction, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.case import Case
    from explainers.engine.run import Run
    from model_zoo.model import Model


class Cancelled(Exception):
    """Raised at the next batch after a person asked to stop."""


class Verdict(enum.StrEnum):
    """How a check came out, worst last among the judged."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"
    BY_CONSTRUCTION = "by_construction"  # holds whatever the truth is: no credit
    EXACT = "exact"
    NOT_APPLICABLE = "not_applicable"
    UNTESTABLE = "untestable"
    NOT_RUN = "not_run"


@dataclass(frozen=True)
class Check:
    """One line of evidence, in plain words."""

    id: str
    label: str
    verdict: Verdict
    sentence: str
    value: float | None = None
    unit: str = ""
    evaluations: int = 0  # what it took, with a backward pass counted as two more
    curves: dict[str, np.ndarray] = field(default_factory=dict, compare=False)  # what is drawn of it


class Panel(tuple[Check, ...]):
    """The lines of evidence, in order; `panel["beats_chance"]` is one of them, `panel.overall` the mark for all."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for one in self:
            if one.id == key:
                return one
        raise KeyError(f"There is no check {key!r}; expected one of: {', '.join(one.id for one in self)}.")

    @property
    def overall(self) -> Check:
        """The worst of the lines that ran, and how many did."""
        from explainers.verdicts import overall

        return overall(self)


@dataclass(frozen=True)
class Settled:
    """How far more work would move the values.

    kind "nested": value is the L1 change against half the work over the L1 norm;
    "delta": value is what a finite sum misses of the change from the baseline, over the L1 norm;
    "standard_error": value is the largest standard error over the range of the values;
    "exact": nothing was sampled or integrated, value is 0.
    """

    kind: Literal["nested", "delta", "standard_error", "exact"]
    value: float = 0.0
    note: str = ""  # one more sentence, such as which players tie


@dataclass(frozen=True)
class Attribution:
    """What a method finds: values of shape (players,), in the target's unit unless `unit` says otherwise."""

    values: np.ndarray
    base_value: float | None = None  # what the values start from; with completeness base + sum = prediction
    std_error: np.ndarray | None = None  # (players,)
    settled: Settled | None = None  # None: does not apply
    unit: str | None = None
    extras: dict[str, np.ndarray] = field(default_factory=dict)  # attention, curves, ...
    notes: tuple[str, ...] = ()  # sentences for the person
    flavour: str = ""  # where only the run itself knows it; else the method's own
    absence: str = ""  # what absence meant, where the method chose another than the reference it was given
    used: dict[str, Any] = field(default_factory=dict)  # parameters that were automatic, as they came out
    explained: float | None = None  # the number that is shared, where it is not the target's own; then `unit` is said


@dataclass(frozen=True)
class Cost:
    """What it took: forward and backward evaluations of one input each, and seconds."""

    forward: int
    backward: int
    seconds: float


@dataclass(frozen=True)
class Provenance:
    """What replaying needs, and what a reader of the report may ask."""

    model_digest: str
    sample_digest: str
    parameters: dict[str, Any]
    seed: int
    device: str
    batches: tuple[int, ...]  # the batch sizes used, in order
    threads: int
    versions: dict[str, str]
    when: str  # ISO 8601, UTC


@dataclass(frozen=True)
class Explanation:
    """An explanation with its evidence; needs neither the model nor torch to be read, drawn or saved."""

    method: str
    title: str
    flavour: str  # "Clenshaw–Curtis, 33 points", "interventional, 100 rows"
    card: ModelCard
    sample: Sample
    target: Target
    players: Players
    reference: Reference | None
    values: np.ndarray  # (players.count,)
    unit: str
    prediction: Prediction
    explained: float  # the target's number for this sample
    base_value: float | None
    std_error: np.ndarray | None
    extras: dict[str, np.ndarray]
    notes: tuple[str, ...]
    evidence: tuple[Check, ...]
    cost: Cost
    provenance: Provenance

    def dense(self) -> np.ndarray:
        """Values laid onto the input: each position has its player's value, nobody's positions 0.

        Shape of `players.owner`: (height, width), (tokens,) or (features,).
        """
        owner = self.players.owner
        padded = np.append(self.values, 0.0)
        return padded[owner]

    @property
    def overall(self) -> Check:
        """The mark for all evidence: the worst of the lines that ran, and how many did."""
        return Panel(self.evidence).overall

    def figure(self, **options: Any) -> Any:
        """The main plotly figure of this explanation."""
        from explainers import figures  # plotly takes half a second to import

        return figures.main(self, **options)

    def sentence(self) -> str:
        """What a person would say: 'Espresso, 78 %, mainly because of ...'."""
        from explainers.sentence import sentence

        return sentence(self)

    def save(self, path: Any) -> None:
        """Write a .assay record that opens without the model."""
        from explainers.record import save

        save(path, (self,))


def knob(
    default: Any,
    *,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] = (),
    label: str = "",
    advanced: bool = False,
) -> Any:
    """A parameter of a method with what a form and a validator need; the type is that of the annotation."""
    about = {"help": help, "low": low, "high": high, "choices": choices, "label": label, "advanced": advanced}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class NoParams:
    """A method without parameters."""


Explain = Callable[["Model", Sample, Target, Players, Reference, Any, "Run"], Attribution]
Absence = Literal["none", "baseline", "background"]
Family = Literal["gradient", "activation", "attention", "perturbation", "shapley", "surrogate"]
Refuses = Callable[["Model", Sample], "str | None"]
MODALITIES = ("image", "text", "tabular", "series", "audio")
BY_PLAYERS = ("perturbation", "shapley", "surrogate")  # families that switch players on and off, so few of them
FEW = {"series": "spans", "audio": "spans"}  # players of which there are few enough for that


@dataclass(frozen=True)
class Method:
    """One way to explain; a file in methods/ that has METHOD is discovered."""

    id: str
    title: str
    family: Family
    summary: str  # for a person who has not read the paper
    source: str  # the paper
    library: str  # "captum", "shap", "lime" or "assay": whose numbers these are
    explain: Explain
    needs: Capability = Capability.NONE
    modalities: tuple[str, ...] = MODALITIES
    params: type = NoParams
    players: dict[str, str] = field(default_factory=dict)  # modality -> default player kind; else the finest
    absence: Absence = "none"  # what stands in for what is missing
    completeness: Literal["no", "approximate", "by_construction"] = "no"  # do the values add up?
    signed: bool = True
    flavour: Callable[[Any, Reference | None], str] = lambda params, reference: ""
    evaluations: Callable[[Any, int, int], int] = lambda params, players, rows: 1  # forecast: (params, players, rows)
    effort: str = ""  # the parameter that buys accuracy with evaluations
    reading: Literal["for", "matters", "either"] = "for"  # what a large value claims: case.py
    aliases: tuple[str, ...] = ()  # other names that people know it by
    refuses: Refuses = lambda model, sample: None  # why it would be wrong for this model and input, in a sentence

    def __post_init__(self) -> None:
        if self.family in BY_PLAYERS and Capability.GRADIENTS not in self.needs:
            object.__setattr__(self, "players", FEW | self.players)

    def why_not(self, card: ModelCard) -> str | None:
        """None if the method applies to this model, else a sentence."""
        if card.modality not in self.modalities:
            return f"{self.title} explains {_join(self.modalities)} models; {card.title} takes {card.modality} input."
        missing = self.needs & ~card.can
        if missing:
            words = _join(tuple(NEEDS[one] for one in Capability if one in missing))
            return f"{self.title} needs {words}, which {card.title} does not have."
        return None


@dataclass(frozen=True)
class Applies:
    """A method beside a model: `reason` is None where it applies, else the sentence why it does not."""

    method: Method
    reason: str | None

    def __bool__(self) -> bool:
        return self.reason is None


@dataclass(frozen=True)
class Found:
    """What a check of evidence judges: a method's finding beside what the model itself says."""

    method: Method
    attribution: Attribution
    target: Target
    explained: float  # the target's number for the sample, by the model's own forward
    start: float | None  # the same for the reference, averaged over its rows; None where nothing is absent
    case: Case | None = None  # the model and the input, for a check that asks them more


@dataclass(frozen=True)
class Evidence:
    """One check; a file in evidence/ that has CHECK is discovered."""

    id: str
    label: str
    order: int  # its line in the panel
    judge: Callable[[Found], Check]
    question: str = ""  # what it asks, for a person who has not read the paper
    on_demand: bool = False  # it asks the model much more, so it runs only when somebody wants it
    core: bool = True  # whether it is one of those that the overall mark rests on; others can only lower it
    cost: Callable[[Explanation], int] = lambda explanation: 0  # forecast: forward evaluations, backward ones count two
    source: str = ""


NEEDS = {
    Capability.GRADIENTS: "gradients from the scores back to the input",
    Capability.EMBEDDINGS: "token embeddings",
    Capability.ATTENTION: "attention maps",
    Capability.SPATIAL: "a convolutional feature map with two spatial axes",
    Capability.TREES: "an ensemble of decision trees",
}


def _join(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def validate(params: type, given: dict[str, Any]) -> Any:
    """Build `params` from plain values; UserError names the knob, its range and what came."""
    known = {one.name: one for one in fields(params)}
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise UserError(f"There is no parameter {name!r}; expected one of: {listed}.")
    return params(**{name: _valid(known[name], value) for name, value in given.items()})


def _valid(knob_field: Any, value: Any) -> Any:
    about, name = knob_field.metadata, knob_field.name
    default = knob_field.default if knob_field.default is not MISSING else None
    choices = about.get("choices", ())
    if choices:
        if value not in choices:
            raise UserError(f"{name} is one of {', '.join(map(str, choices))}; {value!r} came.")
        return value
    kind: type = type(default)
    if kind is bool:
        if not isinstance(value, (bool, np.bool_)):
            raise UserError(f"{name} is True or False; {value!r} came.")
        return bool(value)
    if kind in (int, float):
        whole = kind is int
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and np.isfinite(value)
        if not number or (whole and value != int(value)):
            raise UserError(f"{name} is a {'whole ' if whole else ''}number; {value!r} came.")
        low, high = about.get("low"), about.get("high")
        if (low is not None and value < low) or (high is not None and value > high):
            raise UserError(f"{name} lies between {low} and {high}; {value!r} came.")
        return kind(value)
    if not isinstance(value, kind):
        raise UserError(f"{name} is a {kind.__name__}; {value!r} came.")
    return value
