"""What is compared: methods, and the classes or outputs that they explain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from app import state
from app.backend import shared
from app.components.aiming import OUTPUTS
from app.components.comparing.work import Cell
from app.components.markup import plain
from app.state import Compared, Selection
from explainers import registry, words
from explainers.good_set import ROWS, counted
from explainers.runtime.types import Look
from explainers.types import Method
from model_zoo.types import ModelCard

FIRST = ("tree_shap", "integrated_gradients", "grad_cam", "occlusion", "lime")  # on a first visit, where they apply
METHODS, TARGETS = 3, 4  # that are chosen on a first visit; that can be chosen


@dataclass(frozen=True)
class Aim:
    """One row of the grid: the number that is explained."""

    target: int
    against: int | None
    label: str

    def cell(self, method: str, output: str | None, baseline: str | None = None) -> Cell:
        """The question that a method is asked."""
        return Cell(method, self.target, self.against, output, baseline)


def applying(card: ModelCard) -> tuple[Method, ...]:
    """The methods that can explain this model."""
    return tuple(one for one in registry.methods() if one.why_not(card) is None)


def completed(card: ModelCard, chosen: Selection, look: Look) -> Compared:
    """What is compared, with what is still empty filled in, and what is not to be had here left out."""
    now, possible = state.compared(chosen), [one.id for one in applying(card)]
    methods = tuple(one for one in dict.fromkeys(now.methods) if one in possible)
    if not methods:
        methods = tuple(one for one in FIRST if one in possible)[:METHODS] or tuple(possible[:METHODS])
    order = ranked(look)
    targets = tuple(one for one in dict.fromkeys(now.targets) if one < len(order))[:TARGETS]
    if not targets:
        targets = tuple(order[: 2 if card.task == "classification" else 1])
    output = now.output if now.output in card.outputs else card.outputs[0]
    return replace(now, methods=methods, targets=targets, output=output, margin=now.margin and len(order) > 1)


def ranked(look: Look) -> list[int]:
    """The outputs, the most probable class first."""
    shares = look.prediction.probabilities
    return list(range(len(look.prediction.labels))) if shares is None else [int(i) for i in np.argsort(-shares)]


def label(look: Look, target: int) -> str:
    """A class with its probability, or an output."""
    shares, name = look.prediction.probabilities, look.prediction.labels[target]
    return name if shares is None else f"{name} · {words.percent(float(shares[target]))}"


def aims(look: Look, now: Compared) -> tuple[Aim, ...]:
    """The rows of the grid; with a margin also why the first rather than the second."""
    found = [Aim(one, None, label(look, one)) for one in now.targets]
    if now.margin and len(now.targets) > 1:
        one, other = now.targets[:2]
        names = look.prediction.labels
        found.append(Aim(one, other, f"{names[one]} rather than {names[other]}"))
    return tuple(found)


def draw_targets(card: ModelCard, chosen: Selection, look: Look, now: Compared) -> Compared:
    """Which classes or outputs, as which number."""
    key = f"{card.id}/{chosen.input}"
    order = ranked(look)
    left, right = st.columns([5, 2], gap="medium", vertical_alignment="bottom")
    with left:
        if len(order) > 1:
            st.session_state.setdefault(f"compare/targets/{key}", list(now.targets))
            st.multiselect(
                "Explain",
                order,
                format_func=lambda one: label(look, one),
                key=f"compare/targets/{key}",
                max_selections=TARGETS,
                placeholder="Choose at least one",
            )
            now = replace(now, targets=tuple(st.session_state[f"compare/targets/{key}"]))
    with right:
        if len(card.outputs) > 1:
            st.session_state.setdefault(f"compare/output/{card.id}", now.output)
            st.segmented_control(
                "As",
                card.outputs,
                format_func=lambda one: "Log-odds" if one == "logit" and card.task == "binary" else OUTPUTS[one],
                required=True,
                key=f"compare/output/{card.id}",
            )
            now = replace(now, output=st.session_state[f"compare/output/{card.id}"])
    if len(now.targets) > 1 and card.task != "regression" and now.view != "baselines":
        st.session_state.setdefault(f"compare/margin/{key}", now.margin)
        first, second = (look.prediction.labels[one] for one in now.targets[:2])
        st.toggle(plain(f"Also why {first} rather than {second}"), key=f"compare/margin/{key}")
        now = replace(now, margin=bool(st.session_state[f"compare/margin/{key}"]))
    return now


def draw_methods(card: ModelCard, now: Compared) -> Compared:
    """Which methods."""
    key = methods_key(card)
    st.session_state.setdefault(key, list(now.methods))
    st.multiselect(  # not pills: there are dozens, of which a few are compared
        "Methods",
        [one.id for one in applying(card)],
        format_func=lambda one: registry.method(one).title,
        key=key,
        placeholder="Choose two or more",
    )
    ticked = st.session_state[key]
    return replace(now, methods=tuple(one.id for one in applying(card) if one.id in ticked))


def methods_key(card: ModelCard) -> str:
    """Of the widget, so that a good set can tick them."""
    return f"compare/methods/{card.id}"


def evaluations(card: ModelCard, look: Look, method: Method) -> int:
    """Forecast for one target, with the method's defaults."""
    rows = ROWS if method.absence == "background" and card.modality == "tabular" else 1
    return int(method.evaluations(method.params(), counted(card, look.sample, method), rows))


def ahead(card: ModelCard, look: Look, cells: tuple[Cell, ...]) -> tuple[float, int]:
    """Seconds, not a number where a method never ran, and evaluations."""
    seconds, total = 0.0, 0
    for cell in cells:
        count = evaluations(card, look, registry.method(cell.method))
        before = shared().runtime.past(card.id, cell.method)
        seconds += before.seconds * count / before.total if before is not None and before.total else float("nan")
        total += count
    return seconds, total
