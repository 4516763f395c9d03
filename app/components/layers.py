"""The layers of a model as a tree that opens level by level, so that thousands of them do not stop the page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components.guard import guarded
from app.components.markup import caption, escape
from explainers.diagnosis import Part

FEW = 400  # parts that are put on the page at once
LINES = 1500  # that it holds at most


def draw(parts: tuple[Part, ...], key: str) -> None:
    """The tree to a depth that is chosen; small ones whole."""
    if not parts:
        caption("It has no layers that can be told apart.")
        return

    @st.fragment
    @guarded
    def tree() -> None:
        deepest = max(one.depth for one in parts)
        depth = deepest if len(parts) <= FEW else fitting(parts)
        branch = 0
        if len(parts) > FEW:
            starts = [place for place, one in enumerate(parts) if one.depth <= depth]
            branch = st.selectbox(
                "Part of the model",
                starts,
                format_func=lambda place: parts[place].path or "all of it, to its upper levels",
                key=f"layers/{key}",
            )
            if branch:
                depth = deepest
        shown = [one for one in below(parts, branch) if one.depth <= depth]
        st.html(f'<div class="as-tree">{html(shown[:LINES])}</div>')
        if len(shown) > LINES:
            caption(f"The first {LINES:,} of {len(shown):,} parts.")

    tree()


def below(parts: Sequence[Part], place: int) -> list[Part]:
    """A part and all of its parts; they stand behind it, deeper than it."""
    found = [parts[place]]
    for one in parts[place + 1 :]:
        if one.depth <= parts[place].depth:
            break
        found.append(one)
    return found


def html(parts: Sequence[Part]) -> str:
    """Parts in order of a walk through the tree as nested details; the two upper levels are open."""
    if not parts:
        return ""
    written: list[str] = []
    opened: list[int] = []  # depths
    top = parts[0].depth
    for place, one in enumerate(parts):
        while opened and opened[-1] >= one.depth:
            written.append("</details>")
            opened.pop()
        inner = place + 1 < len(parts) and parts[place + 1].depth > one.depth
        if inner:
            written.append(f"<details{' open' if one.depth < top + 2 else ''}><summary>{_line(one)}</summary>")
            opened.append(one.depth)
        else:
            written.append(f'<div class="as-leaf">{_line(one)}</div>')
    return "".join(written) + "</details>" * len(opened)


def fitting(parts: Sequence[Part]) -> int:
    """The deepest level down to which few enough parts stand; the first at least."""
    depth = 1
    while sum(one.depth <= depth + 1 for one in parts) <= FEW:
        depth += 1
    return depth


def _line(one: Part) -> str:
    name = one.path.rpartition(".")[2]
    about = [f"{one.parameters:,} parameters" if one.parameters else "", one.output]
    quiet = " · ".join(escape(part) for part in about if part)
    return f'<b>{escape(name)}</b> {escape(one.kind)} <span class="as-quiet">{quiet}</span>'
