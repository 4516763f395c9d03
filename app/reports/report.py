"""The report: one HTML file with everything in it, that asks the network for nothing; printed, it is the PDF.

The file holds plotly.js once, the figures as JSON that a small script draws, and a content security policy under which
only these two scripts run and nothing is fetched. The template and the figures escape all labels, words and names.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.reports import printing
from app.reports.comparing import section
from explainers import durable, figures
from explainers.comparing import Comparison
from explainers.figures import _sketch, curves
from explainers.figures.attention import sharpest
from explainers.figures.image import uri
from explainers.figures.prediction import classes
from explainers.sentence import headline, sentence
from explainers.types import Explanation, Verdict
from explainers.verdicts import MARKS, stressed
from explainers.words import number, percent
from model_zoo.types import UserError

HERE = Path(__file__).parent
NO_BROWSER = printing.NO_BROWSER
browser = printing.browser
BATCHES = 12  # batch sizes that are written out
GIVEN = {
    "image": "the given picture",
    "text": "the given text",
    "tabular": "the given row",
    "series": "the given series",
    "audio": "the given sound",
}
UNREAD = 1200  # characters of unread text that are printed


def html(explanations: Sequence[Explanation], comparisons: Sequence[Comparison] = ()) -> str:
    """The report as one self-contained HTML document; UserError if there is nothing to report.

    comparisons: what was compared of them, which stands before them.
    """
    if not explanations:
        raise UserError("There is no explanation to report; run a method first.")
    scripts = (_plotly(), _text("report.js"))
    plots = _Plots()
    scales = figures.scales(explanations)
    cases = _cases(tuple(zip(explanations, scales, strict=True)), plots)
    compared = [section(one, plots.add) for one in comparisons]
    policy = (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src {' '.join(_hash(one) for one in scripts)}"
    )
    template = _environment().get_template("report.html")
    return template.render(
        title=" · ".join(
            dict.fromkeys(f"{case['headline']}: {case['card'].title} on {case['name']}" for case in cases)
        ),
        policy=policy,
        style=_markup(_text("report.css")),
        plotly=_markup(scripts[0]),
        script=_markup(scripts[1]),
        data=_markup(plots.json()),
        cases=cases,
        comparisons=compared,
        when=max(one.provenance.when for one in explanations),
    )


def pdf(explanations: Sequence[Explanation], comparisons: Sequence[Comparison] = ()) -> bytes:
    """The same document on A4 paper; UserError if no Chromium or Chrome is installed."""
    return printing.pdf(html(explanations, comparisons))


def write(path: str | Path, explanations: Sequence[Explanation], comparisons: Sequence[Comparison] = ()) -> None:
    """Write a report (.html, .pdf) or a record (.assay), by the path's ending; whole or not at all."""
    path = Path(path)
    match path.suffix.lower():
        case ".html" | ".htm":
            data = html(explanations, comparisons).encode()
        case ".pdf":
            data = pdf(explanations, comparisons)
        case ".assay":
            from explainers import record

            return record.save(path, tuple(explanations))
        case other:
            raise UserError(f"A report ends in .html or .pdf and a record in .assay; {other or 'no ending'!r} came.")
    try:
        durable.write(path, data)
    except OSError as error:
        raise UserError(
            f"{path} could not be written ({error.strerror}); choose a folder that exists and is yours."
        ) from error


class _Plots:
    """The figures of a document as JSON: each photograph once, however many figures lie on it."""

    def __init__(self) -> None:
        self._specs: list[Any] = []
        self._photos: dict[str, int] = {}

    def add(self, figure: Any) -> int:
        """The number by which the page finds this figure."""
        spec = json.loads(figure.to_json())
        for image in spec["layout"].get("images", ()):
            image["source"] = self._photos.setdefault(image["source"], len(self._photos))
        self._specs.append(spec)
        return len(self._specs) - 1

    def json(self) -> str:
        """JSON that cannot end the script element that holds it."""
        found = {"photos": list(self._photos), "plots": self._specs, "config": figures.CONFIG}
        return json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")


def _cases(scaled: Sequence[tuple[Explanation, float]], plots: _Plots) -> list[dict[str, Any]]:
    """Explanations of the same input by the same model, together."""
    groups: dict[tuple[str, ...], list[tuple[Explanation, float]]] = {}
    for one, scale in scaled:
        key = (one.card.id, one.provenance.model_digest, one.provenance.sample_digest, one.sample.name)
        groups.setdefault(key, []).append((one, scale))
    return [_case(group, plots) for group in groups.values()]


def _case(group: Sequence[tuple[Explanation, float]], plots: _Plots) -> dict[str, Any]:
    first = group[0][0]
    return {
        "card": first.card,
        "model": _card(first),
        "sample": first.sample,
        "name": first.sample.name or GIVEN.get(first.sample.modality, "the given input"),
        "headline": headline(first.card, first.prediction),
        "input": _input(first),
        "classes": _classes(first),
        "runs": [_run(one, scale, plots) for one, scale in group],
    }


def _classes(explanation: Explanation) -> list[tuple[str, str, float]]:
    """Label, shown value and bar width in percent; no bars for a regression."""
    found = explanation.prediction
    if found.probabilities is None:
        unit = explanation.card.unit
        return [(label, f"{number(value)} {unit}".strip(), 0.0) for label, value in classes(found)]
    return [(label, percent(share), 100 * share) for label, share in classes(found)]


def _input(explanation: Explanation) -> dict[str, Any]:
    """What the person gave, and which part of it the model saw."""
    view = explanation.sample.view
    match explanation.sample.modality:
        case "image":
            left, top, right, bottom = view.box
            edges = (left / view.width, top / view.height, (right - left) / view.width, (bottom - top) / view.height)
            box = [f"{100 * edge:.3f}" for edge in edges]
            return {
                "photo": uri(view.photo),
                "box": box,
                "whole": min(edges[2:]) > 0.99,
                "width": view.width,
                "height": view.height,
            }
        case "text":
            end = view.words[view.kept - 1][1] if 0 < view.kept <= len(view.words) else 0
            unread = len(view.words) - view.kept
            if not unread:
                return {"read": view.text, "unread": "", "count": 0}
            return {"read": view.text[:end], "unread": view.text[end:][:UNREAD], "count": unread}
        case "series" | "audio":
            return {"drawing": _sketch.uri(explanation.sample), "said": _sketch.said(explanation.sample)}
        case _:
            return {"cells": view.cells}


def _run(explanation: Explanation, scale: float, plots: _Plots) -> dict[str, Any]:
    pictures = []
    curved = curves.picture(explanation)
    for one in (*figures.pictures(explanation, scale), *sharpest(explanation), *([curved] if curved else [])):
        drawn = {"plot": plots.add(one.content)} if one.kind == "plotly" else {"markup": _markup(one.content)}
        pictures.append({"id": one.id, "title": one.title, "caption": one.caption, "warning": one.warning, **drawn})
    overall = explanation.overall
    ran = [one for one in explanation.evidence if one.verdict is not Verdict.NOT_RUN]
    return {
        "title": explanation.title,
        "sentence": sentence(explanation),
        "header": _header(explanation),
        "pictures": pictures,
        "overall": (MARKS[overall.verdict], _markup(stressed(overall.sentence))),
        "checks": [(MARKS[one.verdict], one.label, _markup(stressed(one.sentence))) for one in ran],
        "left": ", ".join(one.label for one in explanation.evidence if one not in ran),
        "notes": explanation.notes[int(any(one["id"] == "rule" for one in pictures)) :],  # the picture is that sentence
        "parameters": [
            (name, _plain(value))
            for name, value in explanation.provenance.parameters.items()
            if value is not None and value != ""
        ],
        "provenance": _provenance(explanation),
    }


def _header(explanation: Explanation) -> list[tuple[str, str]]:
    """What a reader must know before looking: which number, against what, by which flavour, in which unit."""
    target, players = explanation.target, explanation.players
    unit = target.unit if target.output == "value" and target.unit != "value" else ""
    kind = target.output if unit else target.unit
    rows = [("Explains", f"{kind} of {target.label}, {number(explanation.explained)} {unit}".strip())]
    if explanation.reference is not None:
        rows.append(("Compared with", explanation.reference.sentence))
    if explanation.base_value is not None:
        rows.append(("Starts from", f"{number(explanation.base_value)} {unit}".strip()))
    rows += [("Credit goes to", f"{players.count:,} {players.kind}"), ("Unit", explanation.unit)]
    if explanation.flavour:
        rows.append(("Flavour", explanation.flavour))
    return rows


def _card(explanation: Explanation) -> list[tuple[str, str]]:
    card = explanation.card
    rows = [
        ("About", card.description),
        ("Takes", card.inputs),
        (
            "Task",
            f"{card.task}, {len(card.labels):,} {'output' if card.task == 'regression' else 'class'}"
            f"{'' if len(card.labels) == 1 else 's' if card.task == 'regression' else 'es'}",
        ),
        ("Reaches", card.metric),
        ("Data", card.data),
        ("Licence", card.licence),
        ("Source", card.source),
        ("Weights", explanation.provenance.model_digest or card.digest),
    ]
    return [(name, value) for name, value in rows if value]


def _provenance(explanation: Explanation) -> list[tuple[str, str]]:
    made, cost = explanation.provenance, explanation.cost
    batches = ", ".join(map(str, made.batches[:BATCHES])) + (", …" if len(made.batches) > BATCHES else "")
    work = f"{cost.forward:,} forward" + (f" and {cost.backward:,} backward" if cost.backward else "")
    rows = [
        ("When", made.when),
        ("Device", f"{made.device}, {made.threads} thread{'' if made.threads == 1 else 's'}"),
        ("Work", f"{work} evaluations in {number(cost.seconds)} s"),
        ("Batches", batches),
        ("Seed", str(made.seed)),
        ("Input", made.sample_digest),
        ("Versions", ", ".join(f"{name} {version}" for name, version in made.versions.items())),
    ]
    return [(name, value) for name, value in rows if value]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"


@functools.cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().strip()


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8").strip()


@functools.cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(HERE)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
