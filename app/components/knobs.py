"""A form made from a method's parameters: the widget follows the type, the range and the choices of each knob."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any, cast

import streamlit as st

from app.components.markup import plain
from explainers.types import Method

ONLY_FOR = {  # how the help of a parameter begins
    "For images": ("image",),
    "For texts": ("text",),
    "For tables": ("tabular",),
    "For series and sounds": ("series", "audio"),
}
AUTOMATIC_STEP = 100


def title(knob: Field[Any]) -> str:
    """What a form calls this parameter."""
    return str(knob.metadata.get("label") or knob.name.replace("_", " ").capitalize())


def automatic(knob: Field[Any]) -> bool:
    """Whether the parameter's 0 stands for a number that the method finds by itself."""
    return knob.default == 0 and "0 takes" in str(knob.metadata.get("help"))


def form(method: Method, scope: str, modality: str) -> None:
    """Widgets for every parameter of the method, the advanced ones last; values live in the session under `scope`."""
    shown = [one for one in fields(method.params) if _concerns(one, modality)]
    simple = [one for one in shown if not one.metadata.get("advanced")]
    advanced = [one for one in shown if one.metadata.get("advanced")]
    for knob in simple:
        _widget(knob, _key(method, scope, knob))
    if advanced:
        with st.expander("More"):
            for knob in advanced:
                _widget(knob, _key(method, scope, knob))
    if changed(method, scope):
        st.button(
            "Back to the defaults",
            key=f"{scope}/{method.id}/reset",
            icon=":material/restart_alt:",
            on_click=reset,
            args=(method, scope),
        )


def values(method: Method, scope: str) -> dict[str, Any]:
    """The parameters that differ from the method's defaults, as a Request wants them."""
    found = {}
    for knob in fields(method.params):
        value = st.session_state.get(_key(method, scope, knob), knob.default)
        if value is not None and value != knob.default:
            found[knob.name] = value
    return found


def changed(method: Method, scope: str) -> bool:
    """Whether any parameter differs from its default."""
    return bool(values(method, scope))


def reset(method: Method, scope: str) -> None:
    """Put every parameter back."""
    put(method, scope, {})


def put(method: Method, scope: str, given: dict[str, Any]) -> None:
    """Give every parameter the value in `given`, else its default."""
    for knob in fields(method.params):
        value, kind = given.get(knob.name), cast("type", type(knob.default))
        st.session_state[_key(method, scope, knob)] = _start(knob) if value is None else kind(value)


def _start(knob: Field[Any]) -> Any:
    return None if automatic(knob) else knob.default


def _concerns(knob: Field[Any], modality: str) -> bool:
    """Whether the parameter does anything for this modality: some say for whom they are."""
    start = str(knob.metadata.get("help") or "").partition(":")[0]
    return modality in ONLY_FOR.get(start, (modality,))


def _key(method: Method, scope: str, knob: Field[Any]) -> str:
    return f"{scope}/{method.id}/{knob.name}"


def _widget(knob: Field[Any], key: str) -> None:
    about = knob.metadata
    default, low, high = knob.default, about.get("low"), about.get("high")
    label, help = plain(title(knob)), about.get("help") or None
    st.session_state.setdefault(key, _start(knob))
    choices = about.get("choices") or ()
    if choices:
        st.selectbox(label, choices, key=key, help=help, format_func=lambda one: str(one).replace("_", " "))
    elif isinstance(default, bool):
        st.toggle(label, key=key, help=help)
    elif isinstance(default, int):
        hint = "automatic" if automatic(knob) else None
        step = AUTOMATIC_STEP if automatic(knob) else _step(default)
        st.number_input(label, _whole(low), _whole(high), step=step, key=key, help=help, placeholder=hint)
    elif isinstance(default, float):
        st.number_input(label, _real(low), _real(high), step=_fine(default), format="%g", key=key, help=help)
    else:
        st.text_input(label, key=key, help=help)


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def _real(bound: float | None) -> float | None:
    return None if bound is None else float(bound)


def _step(default: int) -> int:
    return max(1, 10 ** (len(str(abs(default))) - 2)) if default >= 100 else 1


def _fine(default: float) -> float:
    return abs(default) / 10 if default else 0.01
