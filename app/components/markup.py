"""The one way from anybody's words into a page: escape() for HTML, plain() for labels that are read as Markdown."""

from __future__ import annotations

import html
import re
import textwrap
from typing import Literal

import streamlit as st

ICONS = {"error": "error", "warning": "warning", "info": "info"}

FOLD = (  # after a long text: the style sheet fades the text's end until this is opened
    '<details class="as-fold"><summary><span class="as-more">Show all</span><span class="as-less">Show less</span>'
    "</summary></details>"
)


def escape(text: object) -> str:
    """Text as HTML that shows exactly that text, in an element or an attribute."""
    return html.escape(str(text), quote=True)


def plain(text: object) -> str:
    """Text as Markdown that shows exactly that text: no emphasis, links, images, icons or formulas."""
    flat = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:=&\"'^])", r"\\\1", flat)


def sentence(text: str) -> str:
    """A sentence as escaped HTML; the lines below its first are code to copy."""
    first, _, code = text.partition("\n")
    code = textwrap.dedent(code).strip("\n")
    return escape(first) + (f'<pre class="as-code"><code>{escape(code)}</code></pre>' if code else "")


def notice(text: str, kind: Literal["error", "warning", "info"] = "error") -> None:
    """One sentence in place; read out by a screen reader when it is an error."""
    role = "alert" if kind == "error" else "status"
    st.html(f'<div class="as-notice as-{kind}" role="{role}">{sentence(text)}</div>')


def caption(text: object, wrong: bool = False) -> None:
    """A quiet line; in the colour of errors where something does not fit yet."""
    st.html(
        f'<div class="as-quiet{" as-wrong" if wrong else ""}"{" role=status" if wrong else ""}>{escape(text)}</div>'
    )
