"""One explanation: what it explains, its pictures, its evidence and its cost. Needs no model."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import Any

import streamlit as st

from app.components import knobs, trust
from app.components.guard import guarded
from app.components.markup import FOLD, caption, escape, notice
from explainers import figures, words
from explainers.credits import method_of
from explainers.figures import Picture, attention
from explainers.types import Explanation

WIDTHS = {1: 520, 2: 420, 3: 263}  # pixels of a panel's picture at 1,280, by how many stand side by side
SHORT = {
    "rule": "Rule",
    "overlay": "Photo",
    "words": "Text",
    "bars": "Bars",
    "waterfall": "Sum",
    "attention": "Heads",
    "interactions": "Pairs",
}  # narrow tabs
FOLDED = {1: 1000, 2: 650, 3: 400}  # characters of a text that a panel shows at once, by the same
LOG = logging.getLogger(__name__)


def draw(
    found: Explanation,
    key: str,
    scale: float | None = None,
    *,
    across: int = 1,
    partial: bool = False,
    asks: trust.Asks | None = None,
) -> Any:
    """The whole panel, one of `across` in its row; its `key` stays the same between reruns, which keeps the zoom.

    asks: what can be asked further, where the model is at hand. Returned is the room for a running test's progress.
    """
    header(found)
    try:
        pictures = figures.pictures(found, scale)
    except Exception:  # a record from elsewhere may hold what no picture expects
        LOG.exception("no picture of %s", found.method)
        notice("This explanation could not be drawn; its values are in the report and in the .assay file.")
        pictures = ()
    for one in pictures:
        if one.kind == "plotly":
            _fit(one.content, WIDTHS[across])
    if len(pictures) == 1:
        _picture(found, pictures[0], key, across)
    elif pictures:
        for tab, picture in zip(st.tabs([_tab(one, across) for one in pictures]), pictures, strict=True):
            with tab:
                _picture(found, picture, key, across)
    if partial:
        return None
    room = trust.draw(found, key, asks)
    for note in found.notes:
        if not any(one.id == "rule" for one in pictures) or note != found.notes[0]:  # the picture is that sentence
            caption(note)
    _details(found)
    return room


def header(found: Explanation) -> None:
    """What is explained, in which unit, against what, and by which flavour of the method."""
    parts = [f"<b>{escape(found.target.label)}</b> in {escape(found.unit)}"]
    if found.reference is not None:
        parts.append(f"compared with {escape(found.reference.sentence)}")
    if found.flavour:
        parts.append(escape(found.flavour))
    st.html(f'<div class="as-header">{" · ".join(parts)}</div>')


def _fit(figure: Any, width: int) -> None:
    """Give a photograph the height that its width asks for, so that nothing is left empty above it."""
    shape = figure.layout.meta
    if isinstance(shape, dict) and "aspect" in shape:
        figure.update_layout(height=round(min(width, WIDTHS[1]) * shape["aspect"] + shape["around"]))


def _tab(picture: Picture, across: int) -> str:
    """A title that fits: three of the long ones are cut off in a narrow panel."""
    return picture.title if across == 1 else SHORT.get(picture.id, picture.title)


def _picture(found: Explanation, picture: Picture, key: str, across: int) -> None:
    if picture.kind == "html":
        long = len(getattr(found.sample.view, "text", "")) > FOLDED[across]
        st.html(f'<div class="as-figure">{picture.content}</div>{FOLD if long else ""}')
    elif picture.id == "attention":
        _grid(found, picture, key)
    else:
        _plot(picture, f"plot/{key}/{picture.id}")
    if picture.warning:
        caption(f"✕ {picture.warning}", wrong=True)
    if picture.caption:
        caption(picture.caption)


def _plot(picture: Picture, key: str, **options: Any) -> Any:
    return st.plotly_chart(picture.content, key=key, config=figures.CONFIG, alt=picture.title, **options)


def _grid(found: Explanation, picture: Picture, key: str) -> None:
    @st.fragment
    @guarded
    def opened() -> None:
        chosen = _plot(picture, f"plot/{key}/{picture.id}", on_select="rerun", selection_mode="points")
        points = chosen.selection.points if chosen else []
        place = points[0].get("customdata") if points else None
        if not place:
            caption("Click a cell to open that head.")
            return
        layer, head = int(place[0]), int(place[1])
        one = Picture("head", f"Layer {layer + 1}, head {head + 1}", "plotly", attention.head(found, layer, head))
        caption(f"{one.title}. Each row is a token: where it looks.")
        _plot(one, f"plot/{key}/head")

    opened()


def _parameters(found: Explanation) -> list[str]:
    """'samples = 1,000'; what was left empty is left out, and a 0 that stands for a choice of the method says so."""
    method = method_of(found)
    chosen = {one.name for one in fields(method.params) if knobs.automatic(one)} if method else set()
    given = {name: value for name, value in found.provenance.parameters.items() if value not in ("", None)}
    return [f"{name} = {'automatic' if name in chosen and not value else value}" for name, value in given.items()]


def _details(found: Explanation) -> None:
    cost, made = found.cost, found.provenance
    work = f"{cost.forward:,} forward" + (f" and {cost.backward:,} backward" if cost.backward else "")
    rows = {
        "In words": found.sentence(),
        "Explained": f"{words.number(found.explained)} {found.target.unit}",
        "Base value": "" if found.base_value is None else words.number(found.base_value),
        "Credit goes to": f"{found.players.count:,} {found.players.kind}",
        "Work": f"{work} evaluations in {cost.seconds:.1f} s",
        "Device": made.device,
        "Parameters": ", ".join(_parameters(found)),
        "Seed": str(made.seed),
        "Model": made.model_digest,
        "Input": made.sample_digest,
        "When": made.when,
        "Versions": ", ".join(f"{name} {version}" for name, version in made.versions.items()),
    }
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows.items() if value
    )
    st.html(
        f'<details class="as-details"><summary>{escape(f"{cost.seconds:.1f} s")} · details</summary>'
        f'<table class="as-row"><tbody>{body}</tbody></table></details>'
    )
