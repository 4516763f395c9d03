"""Writes docs/methods.md, models.md, formats.md, checkup.md from the records of the code: python docs/tables.py

A test fails when they are out of date, so nothing that a person can choose goes undocumented.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from explainers import doctor, registry
from explainers.types import Method
from model_zoo import catalogue, opening
from model_zoo.files import Format, Trust
from model_zoo.types import ModelCard

HOME = Path(__file__).parent
SUM = {"no": "no", "approximate": "approximately, and it is checked", "by_construction": "by construction"}


def methods() -> str:
    """Every method, then every check of evidence."""
    parts = ["# Methods\n\nWritten by `python docs/tables.py` from the methods' own records.\n"]
    known = registry.methods()
    listed = "; ".join(
        f"**{family}**: " + ", ".join(f"`{one.id}`" for one in known if one.family == family)
        for family in registry.ORDER
    )
    parts.append(f"{len(known)} methods. {listed}.\n")
    parts += [_method(one) for one in known]
    parts.append(
        "# Evidence\n\nWhat the lines mean and how often they are wrong: [evidence.md](evidence.md).\n\n"
        "| line | check | asks | runs | |\n|---|---|---|---|---|"
    )
    parts += [
        f"| {one.order}. {one.label} | `{one.id}` | {one.question} | {'on demand' if one.on_demand else 'always'} |"
        f" {one.source} |"
        for one in registry.checks()
    ]
    return "\n".join(parts) + "\n"


def _method(method: Method) -> str:
    lines = [
        f"## {method.title} · `{method.id}`\n",
        f"{method.summary}\n",
        f"- numbers of: {method.library}; {method.source}",
        f"- explains: {', '.join(method.modalities)}; the values add up: {SUM[method.completeness]}",
    ]
    if method.aliases:
        lines.append(f"- also known as: {', '.join(method.aliases)}")
    if method.absence != "none":
        lines.append(f"- what is absent comes from: the {method.absence}")
    knobs = [
        f"| `{one.name}` | {one.default!r} | {_range(one.metadata)} | {one.metadata['help']} |"
        for one in fields(method.params)
    ]
    if knobs:
        lines += ["\n| parameter | default | range | |", "|---|---|---|---|", *knobs]
    return "\n".join(lines) + "\n"


def _range(about: dict) -> str:
    if about["choices"]:
        return ", ".join(map(str, about["choices"]))
    if about["low"] is None:
        return ""
    return f"{about['low']:g} to {about['high']:g}"


def models() -> str:
    """Every bundled model's card."""
    parts = ["# Bundled models\n\nWritten by `python docs/tables.py` from the models' cards.\n"]
    parts += [_model(one) for one in catalogue.cards()]
    return "\n".join(parts)


def _model(card: ModelCard) -> str:
    rows: Iterable[tuple[str, str]] = (
        ("takes", card.inputs),
        ("returns", f"{card.output} of {len(card.labels)} classes" if len(card.labels) > 6 else ", ".join(card.labels)),
        ("reaches", card.metric),
        ("trained on", card.data),
        ("licence", card.licence),
        ("source", card.source),
        ("digest of the weights", f"`{card.digest}`"),
    )
    listed = "\n".join(f"- {name}: {value}" for name, value in rows if value)
    return f"## {card.title} · `{card.id}`\n\n{card.description}\n\n{listed}\n"


def checkup() -> str:
    """Every finding of the doctor, in the words of its own file."""
    parts = [
        "# The check-up\n\nWritten by `python docs/tables.py`. What `assay doctor MODEL` looks at, in this order.\n"
    ]
    for one in doctor.exams():
        about = " ".join((sys.modules[one.look.__module__].__doc__ or "").split())
        parts.append(f"## {one.label} · `{one.id}`\n\n{about}\n")
    return "\n".join(parts)


TRUST = {
    Trust.DATA: "numbers alone: opens anywhere, by `model_zoo.load(path)` in a script's own process too",
    Trust.SANDBOX: "can run code or crash its reader: opens in a sandboxed worker, by `explainers.open_model(path)`",
    Trust.CODE: "runs any code: refused, unless the operator has allowed it when the server was started",
    Trust.REFUSED: "refused",
}


def formats() -> str:
    """Every model file format, in the order in which a file is asked."""
    parts = ["# Model files\n\nWritten by `python docs/tables.py`. The bytes of a file decide, not its name.\n"]
    parts += [_format(one) for one in opening.formats()]
    return "\n".join(parts)


def _format(form: Format) -> str:
    endings = ", ".join(f"`{one}`" for one in form.endings)
    lines = [f"## {form.title} · `{form.id}`\n", f"{form.summary}\n", f"- usually called: {endings}"]
    lines.append(f"- {TRUST[form.trust]}")
    return "\n".join(lines) + "\n"


PAGES = {"methods.md": methods, "models.md": models, "formats.md": formats, "checkup.md": checkup}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HOME / name).write_text(page())
