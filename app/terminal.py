"""Explanations on a terminal: the sentence, the players that matter most, the evidence, and progress on stderr."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable

import numpy as np

from explainers.comparing import Comparison
from explainers.comparing_words import two
from explainers.runtime.types import Job
from explainers.types import Explanation
from explainers.verdicts import MARKS
from explainers.words import number

SHOWN = 10  # players in the table
BAR = 20  # characters


def clean(text: object) -> str:
    """Text without control characters, which could move the cursor or change the terminal's title."""
    return "".join(one if one.isprintable() else " " for one in str(text))


def paragraph(text: str, indent: str = "") -> str:
    """Text wrapped to the terminal, later lines indented."""
    width = min(shutil.get_terminal_size().columns, 110)
    return textwrap.fill(clean(text), width, subsequent_indent=indent, break_on_hyphens=False)


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows in aligned columns; the last one wraps below itself."""
    cleaned = [tuple(clean(cell) for cell in row) for row in rows]
    if not cleaned:
        return ""
    widths = [max(len(row[place]) for row in cleaned) for place in range(len(cleaned[0]) - 1)]
    lines = []
    for row in cleaned:
        head = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths, strict=True))
        lines.append(paragraph(head + row[-1], " " * len(head)))
    return "\n".join(line.rstrip() for line in lines)


def shown(explanation: Explanation) -> str:
    """One explanation: its sentence, a table of what matters most, and the evidence."""
    about = " · ".join(filter(None, [explanation.title, explanation.flavour, f"in {explanation.unit}"]))
    lines = [paragraph(explanation.sentence()), "", paragraph(about), ""]
    pixels = explanation.players.kind == "pixels"
    rows = ninths(explanation.dense()) if pixels else strongest(explanation)
    most = max(abs(value) for _, value in rows) or 1.0
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        bar = ("█" if value > 0 else "░") * round(BAR * abs(value) / most)
        lines.append(f"  {name:<{width}}  {number(value):>10}  {bar}".rstrip())
    if pixels:
        lines.append(f"  each the sum over a ninth of {explanation.players.count:,} pixels")
    elif explanation.players.count > len(rows):
        lines.append(f"  and {explanation.players.count - len(rows):,} more")
    lines.append("")
    for check in (*explanation.evidence, explanation.overall) if explanation.evidence else ():
        head = f"  {MARKS[check.verdict].sign} {check.label}: "
        lines.append(paragraph(head + check.sentence.replace("**", ""), "    "))
    lines += [paragraph(f"  ! {note}", "    ") for note in (*explanation.sample.notes, *explanation.notes)]
    return "\n".join(lines)


def compared(found: Comparison) -> str:
    """Which target, the sentences, and both matrices of agreement with numbered columns."""
    count = f"{found.players.count:,} {found.players.kind}"
    lines = [paragraph(f"Why {found.explanations[0].target.label}, over {count}"), "", paragraph(found.sentence)]
    for title, matrix in (("Rank correlation", found.matrix), (f"Overlap of the {found.k} strongest", found.overlap)):
        width = max(len(title), *(len(clean(one)) + 4 for one in found.names))
        head = "".join(f"{place:>8}" for place in range(1, len(found.names) + 1))
        lines += ["", f"  {title:<{width}}{head}"]
        for place, (name, row) in enumerate(zip(found.names, matrix, strict=True), 1):
            lines.append(f"  {f'{place}  {clean(name)}':<{width}}" + "".join(f"{two(float(one)):>8}" for one in row))
    return "\n".join([*lines, ""])


def strongest(explanation: Explanation) -> list[tuple[str, float]]:
    """The players with the largest values, either sign."""
    values = explanation.values
    order = np.argsort(-np.abs(values), kind="stable")[:SHOWN]
    return [(clean(explanation.players.name(int(one)))[:48], float(values[one])) for one in order]


def ninths(dense: np.ndarray) -> list[tuple[str, float]]:
    """Sums over the nine parts of a picture (height, width), since single pixels say little in words."""
    sums = []
    for row, band in zip(("top", "middle", "bottom"), np.array_split(dense, 3, axis=0), strict=True):
        for column, part in zip(("left", "centre", "right"), np.array_split(band, 3, axis=1), strict=True):
            sums.append((f"{row} {column}", float(part.sum())))
    return sorted(sums, key=lambda one: -abs(one[1]))


class Progress:
    """One line on stderr that is drawn again as a job goes on; silent where stderr is no terminal."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def show(self, job: Job) -> None:
        """Draw how far a job is."""
        if not self._live:
            return
        share = job.done / job.total if job.total else 0.0
        state = f"{job.done:,} of {job.total:,}" if job.total else "starting" if job.status == "running" else job.status
        line = f"{job.title}  {'█' * round(BAR * share):<{BAR}}  {state}"
        sys.stderr.write(f"\r\x1b[2K{clean(line)[: shutil.get_terminal_size().columns - 1]}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave no trace of the line."""
        if self._live:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
