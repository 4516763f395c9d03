"""Models of series and of sounds on the screens: one's own file goes in, its lines and its explanation are shown."""

from __future__ import annotations

import io
from html import escape

import numpy as np
import pytest
from visiting import ME, html, open_screen

from app.components import asking, knobs
from app.components.facts import audio, series
from explainers import registry
from model_zoo.facts import Facts
from model_zoo.types import Column

FILES = {"series": ("heart.csv", b"ecg,resp\n1,2\n3,4\n"), "audio": ("bark.wav", b"RIFF....")}
SAID = {"series": "2 channels, 8 steps", "audio": "1.00 s at 8,000 samples a second"}


@pytest.fixture
def model(runtime, request):
    upload = runtime.receive(io.BytesIO(b"weights"), "net.pt2", ME)
    return runtime.describe(upload.id, ME, Facts(modality=request.param, labels=("calm", "alarm"))).id


@pytest.mark.parametrize("model", FILES, indirect=True)
def test_a_file_is_given_looked_at_and_explained(runtime, model: str) -> None:
    at = open_screen(model=model)
    modality = runtime.card(model, ME).modality
    what = {"series": "series", "audio": "sound"}[modality]
    assert f"a {what}" in html(at)
    assert at.file_uploader(key="upload-first").label.startswith(f"Your own {what}")
    name, data = FILES[modality]
    at.file_uploader(key="upload-first").upload(name, data).run()
    assert not at.exception
    said = html(at)
    assert SAID[modality] in said
    assert "data:image/svg+xml;base64," in said
    assert at.button(key="run").disabled is False
    at.button(key="run").click().run()
    assert [job.request.method for job in runtime.known.values()] == ["integrated_gradients"]
    runtime.change(status="done", done=10, total=10)
    at.run()
    assert not at.exception
    assert escape(runtime.result(next(iter(runtime.known)), ME).sentence()) in html(at)
    assert "upload-recorded" in [one.key for one in at.file_uploader], "another file may be given"


def test_the_forecast_knows_how_many_parts_there_are(runtime) -> None:
    x = np.zeros((3, 40), np.float32)

    class View:
        axis = 1

    class Seen:
        sample = type("Sample", (), {"x": x, "view": View})()

    params = registry.method("kernel_shap").params(spans=7)
    counts = {kind: asking._over_time(Seen(), kind, params) for kind in ("spans", "steps", "channels", "cells")}
    assert counts == {"spans": 7, "steps": 40, "channels": 3, "cells": 120}


def test_parameters_are_shown_where_they_do_something() -> None:
    spans = next(one for one in knobs.fields(registry.method("kernel_shap").params) if one.name == "spans")
    assert [kind for kind in ("image", "text", "tabular", "series", "audio") if knobs._concerns(spans, kind)] == [
        "series",
        "audio",
    ]


class Untouched(dict):
    """Fields that nobody has touched."""


@pytest.mark.parametrize("axis", [None, -1, 0, 1])
def test_an_untouched_form_says_what_was_guessed(axis) -> None:
    guessed = Facts(columns=(Column("ecg"), Column("resp")), time_axis=axis)
    assert series.said(Untouched(series.start(guessed))) == guessed
    assert series.said(Untouched(series.start(Facts(time_axis=axis)))) == Facts(time_axis=axis)
    assert audio.said(Untouched(audio.start(Facts(rate=16000.0)))) == Facts(rate=16000.0)


def test_a_choice_of_time_is_said() -> None:
    fields = Untouched(series.start(Facts()))
    fields["time"] = "0"
    assert series.said(fields).time_axis == 0
    fields = Untouched(series.start(Facts(time_axis=-1)))
    fields["time"] = ""
    assert series.said(fields).time_axis is None
