"""One hand for every picture: colours, fonts, paper, and text made safe.

Values that speak for the target are red, against it blue, with zero always in the middle and fully transparent, so
that the photo or the page shows through. Unsigned values use one violet. The colour-blind tell all three apart. Paper
is transparent and ink a mid grey, so the same picture works on a light and on a dark page; a page may set its own ink.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.credits import blind, credits, signed, slopes
from explainers.figures import _curves
from explainers.figures._maps import visible
from explainers.types import Explanation
from explainers.words import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

Colour = tuple[int, int, int]
FOR: Colour = (214, 45, 60)
AGAINST: Colour = (32, 104, 200)
PLAIN: Colour = (124, 58, 237)
GREY: Colour = (128, 132, 142)
MUTED = 214  # the grey of a photo under a map
INK = "#767b85"
LINE = "rgba(128,132,142,0.35)"
CLEAR = "rgba(0,0,0,0)"
FONT = "Inter, 'Source Sans Pro', system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
SIZE = 12
CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtons": [["toImage"], ["resetScale2d"]],
}
CLIPPED = 99.0  # percentile of the magnitudes of pixels at which colours are full


def rgba(colour: Colour, alpha: float) -> str:
    """A CSS colour."""
    return f"rgba({colour[0]},{colour[1]},{colour[2]},{alpha:.3g})"


def tint(share: float, signed: bool, alpha: float = 0.62) -> str:
    """The background of a value that is `share` of full colour, -1 to 1; transparent at 0."""
    share = float(np.clip(share, -1, 1))
    return rgba(_hue(share, signed), alpha * abs(share) ** 0.85)


def solid(value: float, signed: bool) -> str:
    """The colour of a bar."""
    return rgba(_hue(value, signed), 0.88)


def overlay(signed: bool) -> list[tuple[float, str]]:
    """A plotly colour scale for maps over photos: transparent at zero, most opaque at full value."""
    ramp = [(share, 0.9 * share**0.8) for share in (0.0, 0.15, 0.3, 0.5, 0.75, 1.0)]
    if not signed:
        return [(share, rgba(PLAIN, alpha)) for share, alpha in ramp]
    against = [((1 - share) / 2, rgba(AGAINST, alpha)) for share, alpha in reversed(ramp)]
    return against + [((1 + share) / 2, rgba(FOR, alpha)) for share, alpha in ramp]


def legend(signed: bool, share: float) -> list[tuple[float, str]]:
    """The colours of `overlay` as they look on the muted photo under a map of opacity `share`, on any page."""
    found = []
    for place, colour in overlay(signed):
        *hue, alpha = (float(one) for one in colour[5:-1].split(","))
        mixed = [round(share * alpha * one + (1 - share * alpha) * MUTED) for one in hue]
        found.append((place, f"rgb({mixed[0]},{mixed[1]},{mixed[2]})"))
    return found


def limit(explanation: Explanation) -> float:
    """The magnitude of full colour, in the explanation's unit; never 0. Fine maps are clipped at a high percentile."""
    if explanation.sample.modality == "text":
        return max((abs(one.value) for one in credits(explanation)), default=0.0) or 1.0
    if explanation.sample.modality in _curves.OVER_TIME and _curves.fine(explanation):
        return _curves.limit(explanation) or 1.0
    if explanation.players.kind == "pixels":
        magnitudes = np.abs(visible(explanation)[0])
        return float(np.percentile(magnitudes, CLIPPED)) or float(magnitudes.max()) or 1.0
    return float(np.abs(explanation.values).max(initial=0.0)) or 1.0


def extent(explanation: Explanation) -> tuple[float, float]:
    """From where to where bars reach with their whiskers, zero included; (0, 0) for pixels, which have no bars."""
    if _curves.fine(explanation):
        return 0.0, 0.0
    found = credits(explanation)
    low = min((one.value - (one.error or 0.0) for one in found), default=0.0)
    high = max((one.value + (one.error or 0.0) for one in found), default=0.0)
    return min(low, 0.0), max(high, 0.0)


def escape(text: object) -> str:
    """Text that is safe in HTML and in plotly's own markup."""
    return html.escape(str(text), quote=True)


def short(text: str, length: int = 26) -> str:
    """Text of at most `length` characters, cut in the middle of nothing: the end gives way to an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def signed_number(value: float) -> str:
    """A number with its sign: +0.12, −0.12, 0."""
    return f"+{number(value)}" if value > 0 else number(value)


def template() -> go.layout.Template:
    """Ink and font in a template rather than in the layout, so that a page's theme can replace them."""
    import plotly.graph_objects as go

    return go.layout.Template(layout={"font": {"family": FONT, "size": SIZE, "color": INK}})


def layout(height: int, **more: Any) -> dict[str, Any]:
    """The layout that all figures share; height in pixels."""
    common: dict[str, Any] = {
        "template": template(),
        "height": height,
        "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "showlegend": False,
        "hoverlabel": {"bgcolor": "#1f2430", "bordercolor": "#1f2430", "font": {"color": "#f4f5f7", "size": SIZE}},
        "modebar": {"bgcolor": CLEAR, "color": LINE, "activecolor": INK},
        "uirevision": "assay",
    }
    return common | more


def note(text: str, right: float, down: float, anchor: str) -> dict[str, Any]:
    """An annotation below the plot, so many pixels right of its middle and down from its lower edge."""
    place = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0, "xshift": right, "yshift": -down}
    place |= {"xanchor": anchor, "yanchor": "top"}
    return place | {"text": text, "showarrow": False, "font": {"size": 11}}


def direction(explanation: Explanation) -> str:
    """One sentence on what the colours mean."""
    label = explanation.target.label
    if not signed(explanation):
        looked = "; this method does not tell for from against" if blind(explanation) else ""
        return f"The deeper the violet, the larger the value{looked}."
    if slopes(explanation):
        return f"More of what is red would raise {label}, more of what is blue would lower it."
    if explanation.prediction.probabilities is None:
        return f"Red raises {label}, blue lowers it."
    return f"Red speaks for {label}, blue against it."


def _hue(value: float, with_sign: bool) -> Colour:
    if not with_sign:
        return PLAIN
    return FOR if value >= 0 else AGAINST
