"""The nouns of a check-up: what a model takes and returns, what can explain it, and what stands in the way.

Made by explainers/doctor.py in the worker; read by the screen, the command line and scripts without torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from explainers.types import Verdict
from model_zoo.types import ModelCard


@dataclass(frozen=True)
class Part:
    """One layer in the tree of a model."""

    path: str  # "layer1.0.conv1"; empty for the model itself
    kind: str  # "Conv2d"
    depth: int
    parameters: int  # its own and those of its parts
    output: str = ""  # shape of what it returned, "(1, 64, 56, 56)"


@dataclass(frozen=True)
class Finding:
    """One line of a check-up, in plain words."""

    id: str  # "gradient", "relu", "attention", "batch_norm", "determinism", "unchanged", "dtype", ...
    label: str
    verdict: Verdict
    sentence: str  # what was seen, with figures, and what it means for explaining
    repair: str = ""  # what was mended, or what mends a copy, and how that was proven; empty: nothing


@dataclass(frozen=True)
class Suited:
    """A method beside the model."""

    method: str  # id
    title: str
    reason: str = ""  # why it does not apply; empty where it does
    note: str = ""  # what to know where it applies


@dataclass(frozen=True)
class Diagnosis:
    """What a check-up found; `sample` says on which input."""

    card: ModelCard
    sample: str
    takes: str  # "one float32 array (3, 224, 224); batches of any size"
    returns: str  # "logits of 7 classes, (n, 7)"
    parameters: int
    weights: int  # bytes of parameters and buffers
    memory: int  # bytes that a forward pass of one input keeps for its backward pass; 0: no gradient
    seconds: float  # of one forward pass of one input
    backward: float  # seconds of forward and backward; 0: no gradient
    device: str
    parts: tuple[Part, ...]
    methods: tuple[Suited, ...]
    findings: tuple[Finding, ...]
