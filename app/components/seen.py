"""The input as the model saw it, on what the person gave: the crop on the photo, unread words greyed, cells marked.

Everything is drawn from the sample's view; players are laid over it when a method that uses them is chosen.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.components.markup import FOLD, escape
from explainers.figures import _sketch
from model_zoo.modalities.audio import AudioView
from model_zoo.modalities.image import ImageView
from model_zoo.modalities.series import SeriesView
from model_zoo.modalities.tabular import TableView
from model_zoo.modalities.text import TextView
from model_zoo.types import Players, Sample

FOLDED = 380  # characters of a text that are shown at once
UNREAD_SHOWN = 1200  # characters of unread text that are worth scrolling through


def draw(sample: Sample, players: Players | None = None) -> None:
    """The sample, with its players where they are given, and what was done to it on the way in."""
    st.html(f'<div class="as-seen">{picture(sample, players)}{remarks(sample)}</div>')


def picture(sample: Sample, players: Players | None = None) -> str:
    """The sample as escaped HTML."""
    view = sample.view
    if isinstance(view, ImageView):
        return _photo(view, players, sample.name)
    if isinstance(view, TextView):
        return _text(view, players)
    if isinstance(view, TableView):
        return _table(view)
    if isinstance(view, (SeriesView, AudioView)):
        return _over_time(sample, players)
    return f'<div class="as-quiet">{escape(sample.name)}</div>'


def remarks(sample: Sample) -> str:
    """The sample's notes as escaped HTML, one line each."""
    return "".join(f'<div class="as-quiet">{escape(note)}</div>' for note in sample.notes)


def uri(data: bytes) -> str:
    """A data URI of a JPEG or PNG."""
    kind = "png" if data[:4] == b"\x89PNG" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _photo(view: ImageView, players: Players | None, name: str) -> str:
    left, top, right, bottom = view.box
    place = (
        f"left:{100 * left / view.width:.3f}%;top:{100 * top / view.height:.3f}%;"
        f"width:{100 * (right - left) / view.width:.3f}%;height:{100 * (bottom - top) / view.height:.3f}%"
    )
    whole = right - left >= view.width - 1 and bottom - top >= view.height - 1
    lines = f'<img alt="" src="{uri(outlines(players.owner))}">' if players is not None and players.names else ""
    crop = f'<div class="as-crop{" as-whole" if whole else ""}" style="{place}">{lines}</div>'
    said = "" if whole else '<div class="as-quiet">The model saw the part inside the outline.</div>'
    if players is not None and players.names:
        said += f'<div class="as-quiet">{players.count} {escape(players.kind)} share the credit.</div>'
    ratio = f"--as-ratio:{view.width / view.height:.4f}"
    return f'<div class="as-photo" style="{ratio}"><img alt="{escape(name)}" src="{uri(view.photo)}">{crop}</div>{said}'


def _over_time(sample: Sample, players: Players | None) -> str:
    """A series or a sound as lines, and what it is in words."""
    shares = ""
    if players is not None:
        shares = f'<div class="as-quiet">{players.count} {escape(players.kind)} share the credit.</div>'
    return (
        f'<div class="as-lines"><img alt="{escape(sample.name)}" src="{_sketch.uri(sample)}"></div>'
        f'<div class="as-quiet">{escape(_sketch.said(sample))}</div>{shares}'
    )


def outlines(owner: np.ndarray) -> bytes:
    """A transparent PNG of the borders between players; owner is (height, width)."""
    from PIL import Image

    big = owner.repeat(2, axis=0).repeat(2, axis=1)  # lines half a model pixel wide
    edge = np.zeros(big.shape, dtype=bool)
    edge[:, 1:] |= big[:, 1:] != big[:, :-1]
    edge[1:, :] |= big[1:, :] != big[:-1, :]
    dark = np.zeros_like(edge)
    dark[1:, :] |= edge[:-1, :]
    dark[:, 1:] |= edge[:, :-1]
    picture = np.zeros((*big.shape, 4), dtype=np.uint8)
    picture[dark] = (0, 0, 0, 120)  # a shadow, so that the line shows on bright and on dark
    picture[edge] = (255, 255, 255, 235)
    file = io.BytesIO()
    Image.fromarray(picture, "RGBA").save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class _Reading:
    read: str
    unread: str
    count: int


def _split(view: TextView) -> _Reading:
    if view.kept >= len(view.words):
        return _Reading(view.text, "", 0)
    end = view.words[view.kept - 1][1] if view.kept else 0
    return _Reading(view.text[:end], view.text[end:], len(view.words) - view.kept)


def _text(view: TextView, players: Players | None) -> str:
    found = _split(view)
    fold = FOLD if len(view.text) > FOLDED else ""
    if players is not None and players.names:
        names = _as_written(view) if players.kind == "words" else players.names
        body = "".join(f"<span>{escape(name)}</span>" for name in names)
        said = f'<div class="as-quiet">{players.count} {escape(players.kind)} share the credit.</div>'
        return f'<div class="as-chips">{body}</div>{fold}{said}'
    greyed = ""
    if found.count:
        shown = found.unread[:UNREAD_SHOWN] + ("…" if len(found.unread) > UNREAD_SHOWN else "")
        greyed = f'<span class="as-unread" title="not read by the model">{escape(shown)}</span>'
    return f'<div class="as-text">{escape(found.read)}{greyed}</div>{fold}'


def _as_written(view: TextView) -> tuple[str, ...]:
    """The words that the model read, with their punctuation."""
    return tuple(view.text[start:stop] for start, stop in view.words[: view.kept])


def _table(view: TableView) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(cell.name)}</th><td>{escape(cell.shown)} {_mark(cell.note)}</td></tr>'
        for cell in view.cells
    )
    return f'<table class="as-row"><tbody>{rows}</tbody></table>'


def _mark(note: str) -> str:
    return f'<span class="as-tag">{escape(note)}</span>' if note else ""
