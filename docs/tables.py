"""Writes docs/methods.md and docs/models.md from the records that the menus read: python docs/tables.py

A test fails when they are out of date, so nothing that a person can choose goes undocumented.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from explainers import registry
from explainers.types import Method
from model_zoo import catalogue
from model_zoo.types import ModelCard

HOME = Path(__file__).parent
SUM = {"no": "no", "approximate": "approximately, and it is checked", "by_construction": "by construction"}


def methods() -> str:
    """Every method, then every check of evidence."""
    parts = ["# Methods\n\nWritten by `python docs/tables.py` from the methods' own records.\n"]
    parts += [_method(one) for one in registry.methods()]
    parts.append("# Evidence\n\n| line | check |\n|---|---|")
    parts += [f"| {one.order}. {one.label} | `{one.id}` |" for one in registry.checks()]
    return "\n".join(parts) + "\n"


def _method(method: Method) -> str:
    lines = [
        f"## {method.title} · `{method.id}`\n",
        f"{method.summary}\n",
        f"- numbers of: {method.library}; {method.source}",
        f"- explains: {', '.join(method.modalities)}; the values add up: {SUM[method.completeness]}",
    ]
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


PAGES = {"methods.md": methods, "models.md": models}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HOME / name).write_text(page())
