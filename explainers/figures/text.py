"""The person's own text with its words coloured by value: escaped HTML that reads as text.

Each word is a span whose tooltip gives its value and, where the model split it, those of its pieces. Words past the
model's limit are grey and counted. Colours are backgrounds only, so the page's own ink and theme stay.
"""

from __future__ import annotations

from explainers.credits import Credit, credits, signed
from explainers.figures import Picture, Scale, _style
from explainers.types import Explanation
from explainers.words import number

ORDER = 10
UNREAD_SHOWN = 40  # words past the limit that are still written out, in grey
PIECES = 6  # subwords that a tooltip lists


def draws(explanation: Explanation) -> bool:
    """Every explanation of a text."""
    return explanation.sample.modality == "text"


def draw(explanation: Explanation, scale: float | None = None) -> tuple[Picture, ...]:
    """The highlighted text; `scale` fixes the value of full colour."""
    full = scale or _style.limit(explanation)
    says = _style.direction(explanation)
    if isinstance(scale, Scale):
        says = f"{says} {scale.others(explanation)}".rstrip()
    return (Picture("words", "In the text", "html", markup(explanation, full), says),)


def markup(explanation: Explanation, full: float, legend: bool = True) -> str:
    """HTML of the text, with colours full at ±`full`."""
    view, with_sign = explanation.sample.view, signed(explanation)
    pieces, at = [], 0
    for one in credits(explanation):
        start, stop = max(one.span[0], at), one.span[1]
        if stop <= start:
            continue
        pieces.append(_style.escape(view.text[at:start]))
        pieces.append(_word(view.text[start:stop], one, full, with_sign))
        at = stop
    end = view.words[view.kept - 1][1] if 0 < view.kept <= len(view.words) else at
    if end > at:
        pieces.append(_style.escape(view.text[at:end]))
    pieces.append(_unread(explanation, max(end, at)))
    body = "".join(pieces)
    style = (
        "font-size:1rem;line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere;max-height:26rem;overflow-y:auto"
    )
    below = _legend(explanation, full, with_sign) if legend else ""
    return f'<div class="assay-text"><div style="{style}">{body}</div>{below}</div>'


def _word(text: str, one: Credit, full: float, with_sign: bool) -> str:
    title = f"{one.name}: {_signed(one.value, with_sign)}"
    if one.error is not None:
        title += f" ± {number(one.error)}"
    if one.parts:
        listed = ", ".join(f"{part.name} {_signed(part.value, with_sign)}" for part in one.parts[:PIECES])
        title += f" = {listed}{', …' if len(one.parts) > PIECES else ''}"
    style = (
        f"background:{_style.tint(one.value / full, with_sign)};border-radius:3px;padding:.1em .12em;margin:0 -.04em"
    )
    return f'<span style="{style}" title="{_style.escape(title)}">{_style.escape(text)}</span>'


def _unread(explanation: Explanation, at: int) -> str:
    """What the model did not read: its first words in grey, and how many there are."""
    view = explanation.sample.view
    unread = len(view.words) - view.kept
    if unread <= 0:
        return _style.escape(view.text[at:])
    shown = min(unread, UNREAD_SHOWN)
    stop = view.words[view.kept + shown - 1][1]
    words = "word" if unread == 1 else "words"
    if unread > shown:
        rest = unread - shown
        says = f" … {rest:,} more {'word' if rest == 1 else 'words'}; the model did not read the last {unread:,}."
    else:
        says = f" … the model did not read the last {unread:,} {words}."
    grey = f"color:{_style.INK};opacity:.85"
    return (
        f'<span style="{grey}" title="The model did not read this.">{_style.escape(view.text[at:stop])}</span>'
        f'<span style="{grey};font-style:italic">{says}</span>'
    )


def _legend(explanation: Explanation, full: float, with_sign: bool) -> str:
    shares = (-1, -0.5, 0, 0.5, 1) if with_sign else (0, 0.25, 0.5, 0.75, 1)
    ramp = ", ".join(_style.tint(share, with_sign) for share in shares)
    left = f"against {_style.signed_number(-full)}" if with_sign else "0"
    right = f"for {_style.signed_number(full)}" if with_sign else number(full)
    unit = _style.escape(explanation.unit)
    bar = f"height:8px;border-radius:4px;background:linear-gradient(to right, {ramp})"
    row = f"display:flex;justify-content:space-between;gap:.75rem;font-size:.72rem;color:{_style.INK};margin-top:.25rem"
    return (
        f'<div style="max-width:22rem;margin-top:.8rem"><div style="{bar}"></div>'
        f'<div style="{row}"><span>{left}</span><span>{unit}</span><span>{right}</span></div></div>'
    )


def _signed(value: float, with_sign: bool) -> str:
    return _style.signed_number(value) if with_sign else number(value)
