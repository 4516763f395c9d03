"""Numbers as people write them, in sentences, plots and tables alike."""

from __future__ import annotations

MINUS = "\u2212"


def number(value: float, digits: int = 3) -> str:
    """Three significant digits, a real minus sign, thousands grouped: −0.0123, 0.360, 12.0, 1,240."""
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1) - 0.05:  # 99.96 is 100, not 100.0
        text = f"{value:,.0f}"
    elif abs(value) < 1e-4:
        text = f"{value:.{digits - 1}e}"
    else:
        text = f"{value:#.{digits}g}".rstrip(".")
    return text.replace("-", MINUS)


def percent(share: float) -> str:
    """A share as a percentage with a digit that still tells: 78 %, 99.4 %, over 99.9 %."""
    points = 100 * share
    if abs(points) < 0.1:
        return "under 0.1 %" if points else "0 %"
    edge = min(abs(points), abs(100 - abs(points)))
    text = f"{points:.0f}" if edge >= 10 or points == round(points) or abs(points) >= 1000 else f"{points:.1f}"
    if text in ("100", "100.0"):
        text = "over 99.9" if points < 100 - 1e-6 else "100"
    return f"{text} %".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds ahead, as people say them: under a second, about 12 s, about 3 min."""
    if seconds < 1:
        return "under a second"
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"
