"""Which number is explained, as a form: a class, alone or rather than another, as log-odds or probability.

The choices live in the session: target/ and against/ for a model and an input, output/ and baseline/ for a model.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
import streamlit as st

from app.state import Selection
from explainers import words
from explainers.runtime.types import Look
from model_zoo.types import ModelCard

OUTPUTS = {"logit": "Logit", "probability": "Probability", "value": "Value"}
BASELINES = {
    "image": {"zero": "Model's zero", "blur": "Blurred photo"},
    "text": {"mask": "Mask token", "pad": "Padding token"},
    "tabular": {"mean": "Mean of the training rows"},
}  # what a name of a baseline is, in words


def target(card: ModelCard, chose: Selection, look: Look | None) -> None:
    """Which number is explained: a class with its probability, as log-odds or probability, against which baseline."""
    mine = key(card, chose)
    among(f"target/{mine}", range(len(card.labels)))
    among(f"output/{card.id}", card.outputs)
    if look is not None:
        among(f"baseline/{card.id}", look.baselines)
    if look is not None and look.prediction.probabilities is not None:
        shares = look.prediction.probabilities
        order = [int(one) for one in np.argsort(-shares, kind="stable")]
        st.selectbox(
            "Explain",
            order,
            format_func=lambda one: f"{card.labels[one]} · {words.percent(float(shares[one]))}",
            key=f"target/{mine}",
        )
    elif look is not None and len(card.labels) > 1:
        st.selectbox("Explain", range(len(card.labels)), format_func=lambda one: card.labels[one], key=f"target/{mine}")
    if look is not None and len(card.labels) > 2:
        _rather_than(card, mine, look)
    if len(card.outputs) > 1:
        st.session_state.setdefault(f"output/{card.id}", card.outputs[0])
        st.segmented_control(
            "As",
            card.outputs,
            format_func=lambda one: "Log-odds" if one == "logit" and card.task == "binary" else OUTPUTS[one],
            required=True,
            key=f"output/{card.id}",
            help="What the model adds up inside, before it becomes a probability; that saturates near 0 and 1.",
        )
    if look is not None and len(look.baselines) > 1:
        st.selectbox(
            "What absence means",
            look.baselines,
            format_func=lambda one: baseline_title(card, one) + (" (default)" if one == look.baselines[0] else ""),
            key=f"baseline/{card.id}",
            help="What stands in for a part that is taken away. Methods that average over a background do not use it.",
        )


def _rather_than(card: ModelCard, key: str, look: Look) -> None:
    """The class that the target is compared with; of two classes each is what the other is not."""
    mine, found = st.session_state.get(f"target/{key}"), look.prediction
    scores = found.raw if found.probabilities is None else found.probabilities
    order = [int(one) for one in np.argsort(-scores, kind="stable") if one != mine]
    among(f"against/{key}", order)
    st.selectbox(
        "Rather than",
        order,
        index=None,
        placeholder="No other in particular",
        format_func=lambda one: _beside(card, one, found.probabilities, one == order[0]),
        key=f"against/{key}",
        help="Explains the lead over this one: why the first rather than that. The runner-up is first.",
    )


def _beside(card: ModelCard, one: int, shares: np.ndarray | None, first: bool) -> str:
    told = "" if shares is None else f" · {words.percent(float(shares[one]))}"
    return f"{card.labels[one]}{told}{' · the runner-up' if first else ''}"


def baseline_title(card: ModelCard, name: str) -> str:
    """What a person calls this baseline."""
    return BASELINES.get(card.modality, {}).get(name) or name.replace("_", " ").capitalize()


def among(key: str, options: Container[Any]) -> None:
    """Forget a choice that is not to be had here: an address may bring it from anywhere."""
    if key in st.session_state and st.session_state[key] not in options:
        del st.session_state[key]


def key(card: ModelCard, chose: Selection) -> str:
    """How the keys of a choice for one model and one input end."""
    return f"{card.id}/{chose.input}"
