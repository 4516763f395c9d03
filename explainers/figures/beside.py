"""Small pictures of several explanations of one input on one scale, to stand in a grid. Not a picture of its own.

Where the units and the parts are the same, values stay as they are. Else each explanation is divided by the sum of its
magnitudes: a picture then shows how many times its even share a place gets, since segments are larger than pixels, and
a word or a column its share of the credit. One value is full colour for all; it is at most SPAN times the smallest
range, so that no picture is blank, and what goes beyond is said. A table's columns have the same order in all.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from explainers import credits as ledger
from explainers.comparing import kind, shares, told_apart
from explainers.credits import Credit, intensities
from explainers.figures import SPAN, Picture, Scale, _style, bars, image, pictures, text
from explainers.figures._maps import visible
from explainers.types import Explanation
from explainers.words import number

EVEN, SHARE = "times an even share", "share of the credit"
SHOWN = 8  # columns
SIDE = 360  # pixels of a photograph's longest side in a cell
SAID = {
    EVEN: "Units or parts differ, so each is divided by the sum of its magnitudes: a colour tells how many times its"
    " even share a place gets.",
    SHARE: "Units or parts differ, so each is divided by the sum of its magnitudes: a value is a share of that method's"
    " credit.",
}


@dataclass(frozen=True, eq=False)
class Beside:
    """Explanations on one scale: their values in `unit`, with full colour at `full`."""

    explanations: tuple[Explanation, ...]
    unit: str
    full: Scale
    order: tuple[int, ...]  # a table's columns that are shown, the weightiest first
    beyond: tuple[str, ...]  # names of those that go well beyond full colour

    @property
    def sentence(self) -> str:
        """What a reader must know of the scale."""
        said = SAID.get(self.unit, f"All are on one scale, in {self.unit}.")
        if self.beyond:
            listed = " and ".join([", ".join(self.beyond[:-1])] * (len(self.beyond) > 1) + [self.beyond[-1]])
            said += f" Colours are full at {number(self.full)}; {listed} go{'es' * (len(self.beyond) == 1)} beyond."
        return said

    @property
    def signed(self) -> bool:
        """Whether any of them tells for from against, or shows what speaks for."""
        return any(kind(one) != "size" for one in self.explanations)

    @property
    def plain(self) -> bool:
        """Whether any of them tells only how much a part matters."""
        return any(kind(one) == "size" for one in self.explanations)


def beside(explanations: Sequence[Explanation]) -> Beside:
    """Bring explanations of one input to one scale."""
    kinds = {("words" if one.players.kind == "tokens" else one.players.kind) for one in explanations}
    units, first = {one.unit for one in explanations}, explanations[0]
    found, unit = tuple(explanations), first.unit
    if len(units) > 1 or len(kinds) > 1:
        unit = EVEN if first.sample.modality == "image" else SHARE
        found = tuple(replace(one, values=_scaled(one), unit=unit, std_error=None) for one in explanations)
    limits = [_style.limit(one) if one.values.any() else 0.0 for one in found]
    some = [one for one in limits if one > 0]
    full = Scale(min(max(some), SPAN * min(some)) if some else 1.0)
    extents = [_style.extent(one) for one in found]
    full.low, full.high = min(low for low, _ in extents), max(high for _, high in extents)
    colours = first.sample.modality != "tabular"
    names = zip(told_apart(found), limits, strict=True)
    beyond = tuple(name for name, limit in names if colours and limit > 1.01 * full)
    return Beside(found, unit, full, _order(found), beyond)


def cell(found: Beside, place: int) -> Picture:
    """The small picture of one of them; its legend stands once for all of them."""
    one = found.explanations[place]
    match one.sample.modality:
        case "image":
            return Picture("beside", one.title, "plotly", _photo(one, found.full))
        case "text":
            return Picture("beside", one.title, "html", text.markup(one, found.full, legend=False))
        case "tabular":
            return Picture("beside", one.title, "plotly", _columns(one, found))
        case _:
            return pictures(one, found.full)[0]


def legend(found: Beside) -> str:
    """The colours of all cells, as escaped HTML."""
    signed = _ramp(True, f"against {_style.signed_number(-found.full)}", found.unit, f"for +{number(found.full)}")
    plain = _ramp(False, "0", found.unit, f"matters {number(found.full)}")
    drawn = (signed if found.signed else "") + (plain if found.plain else "")
    return f'<div style="display:flex;flex-wrap:wrap;gap:.4rem 2rem">{drawn}</div>'


def _scaled(one: Explanation) -> np.ndarray:
    """Shares of the sum of magnitudes; in a picture over the even share of what each player owns."""
    values = np.asarray(one.values, dtype=np.float64)
    if one.sample.modality != "image":
        return shares(values)
    owner = one.players.owner
    sizes = np.maximum(np.bincount(owner[owner >= 0], minlength=one.players.count), 1)
    each = values if intensities(one) else values / sizes  # of a pixel
    shown = one.players.kind == "pixels" and not intensities(one)
    total = float(np.abs(visible(one)[0]).sum() if shown else (np.abs(each) * sizes).sum())  # speckle cancels
    return each * (owner.size / total) if total > 0 else each


def _order(found: Sequence[Explanation]) -> tuple[int, ...]:
    if found[0].sample.modality != "tabular":
        return ()
    weight = np.mean([np.abs(shares(one.values)) for one in found], axis=0)
    return tuple(int(one) for one in np.argsort(-weight, kind="stable")[:SHOWN])


def _columns(one: Explanation, found: Beside) -> Any:
    known = ledger.credits(one)
    rest = [known[place] for place in range(len(known)) if place not in found.order]
    others = Credit(f"{len(rest):,} others", sum(credit.value for credit in rest), summary=True) if rest else None
    return bars.figure(one, tuple(known[place] for place in found.order), others, found.full)


def _photo(one: Explanation, full: float) -> Any:
    """The map on what the model saw of the photo, without legend and slider."""
    view = one.sample.view
    small = replace(one.sample, view=replace(view, photo=_small(view.photo)))
    drawn = image.figure(replace(one, sample=small), full)
    drawn.data = [trace for trace in drawn.data if trace.type == "heatmap"]
    if kind(one) == "positive":  # what speaks for the target has one colour in all cells
        drawn.data[0].update(zmin=-full, colorscale=_style.overlay(True))
    numbers = [note for note in drawn.layout.annotations if note.xref != "paper"]
    drawn.layout.annotations = numbers if one.values.any() else [_nothing()]
    drawn.layout.sliders = drawn.layout.shapes = ()
    left, top, right, bottom = view.box
    drawn.update_layout(
        margin={"l": 2, "r": 2, "t": 2, "b": 2},
        meta={"aspect": (bottom - top) / (right - left), "around": 4},
        xaxis={"range": [left, right], "constraintoward": "left"},
        yaxis={"range": [bottom, top], "constraintoward": "top"},
    )
    return drawn


def _nothing() -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False, "bgcolor": "rgba(20,24,32,0.72)"}
    return place | {"text": '<span style="color:#ffffff">no evidence for or against</span>', "font": {"size": 11}}


@functools.lru_cache(maxsize=32)
def _small(encoded: bytes) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as photo:
        if max(photo.size) <= SIDE:
            return encoded
        photo.thumbnail((SIDE, SIDE))
        held = io.BytesIO()
        photo.convert("RGB").save(held, "JPEG", quality=85)
    return held.getvalue()


def _ramp(with_sign: bool, left: str, unit: str, right: str) -> str:
    steps = (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1) if with_sign else (0, 0.25, 0.5, 0.75, 1)
    colours = ", ".join(_style.tint(step, with_sign, 0.88) for step in steps)
    bar = f"height:8px;border-radius:4px;background:linear-gradient(to right, {colours})"
    row = f"display:flex;justify-content:space-between;gap:.75rem;font-size:.76rem;color:{_style.INK};margin-top:.2rem"
    return (
        f'<div style="flex:0 1 22rem"><div style="{bar}"></div><div style="{row}"><span>{left}</span>'
        f"<span>{_style.escape(unit)}</span><span>{right}</span></div></div>"
    )
