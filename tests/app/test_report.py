"""The report: whole, safe, quiet on the network, and the same on paper."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from dataclasses import replace

import handmade
import pytest
from chromium import required

from app.reports import printing, report, values
from explainers import durable
from explainers.types import Check, Verdict
from model_zoo.types import UserError

OPACITY = "document.querySelector('.heatmaplayer image').style.opacity"
LOT = (
    handmade.image(),
    handmade.image("segments"),
    handmade.text("tokens"),
    handmade.attention(2, 2),
    handmade.table(),
)


@pytest.fixture(scope="module")
def page() -> str:
    return report.html((*LOT, handmade.regression()))


def _own(page: str) -> str:
    """The page without plotly.js."""
    return page.replace(report._plotly(), "")


def test_nothing_is_fetched(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    assert "http" not in policy
    assert not re.search(r"""(src|href|url|@import)\s*[=(]?\s*["']?(https?:)?//""", _own(page))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:  # only what the policy names by its hash may run
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy


def test_everything_is_told(page):
    for words in (
        "Espresso, 78 %",
        "coffee.jpg",
        "Adds up: good",
        "Settled: doubtful",
        "log-odds",
        "the training mean colour",
        "Clenshaw–Curtis, 33 points",
        "sha256:a1a1",
        "torch 2.13.0",
        "66 forward and 33 backward evaluations",
        "never seen in training",
        "imputed",
        "Median house value",
        "The model saw the part inside the outline.",
    ):
        assert words in page, words


def test_stern_words_are_bold_and_the_rest_is_escaped():
    hostile = replace(handmade.UNSETTLED[1], sentence="**Did not converge.** <script>alert(1)</script>")
    found = _own(report.html((handmade.text(evidence=(hostile,)),)))
    assert "<strong>Did not converge.</strong> &lt;script&gt;" in found
    assert "Settled: bad" in found


def test_all_lines_of_evidence_stand_in_the_report_with_their_curves():
    explanation = handmade.tested(handmade.image())
    found = _own(report.html((explanation,)))
    for words in (
        "Read this explanation with care (settled, repeats and second opinion); 3 of the 4 tests",
        "Beats chance: good",
        "Reads the model: could not be tested",
        "Repeats: bad",
        "Second opinion: doubtful",
        "Read this picture with care: the strongest parts change when it is run again.",
        "Parts taken away and put back",
        "dashed, the picture &lt;blurred&gt;.",
    ):
        assert words in found, words
    data = json.loads(re.search(r'id="data">(.*?)</script>', found, re.DOTALL)[1])
    assert any(len(one["data"]) == 8 for one in data["plots"]), "lines and bands of two ways, in two panels"
    assert "Parts taken away" not in _own(report.html(LOT))


def test_what_was_not_run_is_one_line():
    left = tuple(Check(one, one.upper(), Verdict.NOT_RUN, "Not run: it takes long.") for one in ("a", "b"))
    found = _own(report.html((handmade.table(evidence=(*handmade.CHECKS, *left)),)))
    assert '<span aria-hidden="true">–</span> Not run</span> A, B</li>' in found
    assert "it takes long" not in found


def test_values_as_a_table():
    rows = list(csv.reader(values.table((handmade.table(), handmade.image())).splitlines()))
    assert rows[0] == list(values.HEADER)
    explanation = handmade.table()
    assert len(rows) == 1 + explanation.players.count + handmade.image().players.count
    about = ["Adult income network", "row 3", "Integrated gradients", "> 50K", "log-odds"]
    assert rows[3] == [*about, "capital gain", "15,024 US$", "2.31", "0.2"]
    assert rows[8][5] == "pixel at row 0, column 0"
    assert rows[-1][5] == "pixel at row 55, column 55"
    assert float(rows[-1][7]) == handmade.image().values[-1]
    hostile = handmade.text(written="=cmd() - fine")
    assert [row[5] for row in csv.reader(values.table((hostile,)).splitlines())][1:] == ["'=cmd()", "-", "fine"]


def test_names_cannot_end_the_script():
    sample = replace(handmade.table().sample, name="</script><img src=x onerror=alert(1)>")
    target = replace(handmade.table().target, label="</script><b>")
    found = _own(report.html((replace(handmade.table(), sample=sample, target=target),)))
    assert "<img src=x" not in found
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', found, re.DOTALL)[1]
    assert json.loads(data)["plots"]


def test_a_photo_is_carried_once(page):
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert len(data["photos"]) == 2  # in colour and in grey, for two figures


def test_the_ending_decides(tmp_path):
    report.write(tmp_path / "one.html", LOT[:1])
    assert (tmp_path / "one.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    report.write(tmp_path / "one.assay", LOT[:1])
    assert (tmp_path / "one.assay").read_bytes()[:2] == b"PK"
    with pytest.raises(UserError, match=r"\.html or \.pdf"):
        report.write(tmp_path / "one.docx", LOT[:1])
    with pytest.raises(UserError, match="could not be written"):
        report.write(tmp_path / "nowhere" / "one.html", LOT[:1])
    with pytest.raises(UserError, match="no explanation"):
        report.html(())


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch):
    path = tmp_path / "one.html"
    path.write_text("the old one")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(UserError, match="could not be written"):
        report.write(path, LOT[:1])
    assert path.read_text() == "the old one"
    assert [one.name for one in tmp_path.iterdir()] == ["one.html"]


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(printing, "browser", lambda: None)
    with pytest.raises(UserError, match="install"):
        report.pdf(LOT[:1])


@pytest.mark.browser
def test_it_prints(tmp_path, monkeypatch):
    program = required()
    monkeypatch.setattr(printing, "browser", lambda: program)
    report.write(tmp_path / "one.pdf", LOT[:1])
    data = (tmp_path / "one.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(data) > 20_000


@pytest.mark.browser
def test_it_draws_without_the_network(page, tmp_path):
    from playwright.sync_api import sync_playwright

    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    asked, failed = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=required(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        try:
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.on("request", lambda request: asked.append(request.url))
            tab.on("pageerror", lambda error: failed.append(str(error)))
            tab.on("console", lambda message: failed.append(message.text) if message.type == "error" else None)
            tab.goto(path.as_uri())
            tab.locator(".main-svg").first.wait_for()
            drawn = tab.evaluate(
                "[...document.querySelectorAll('[data-plot]')].map(one => one.querySelectorAll('.main-svg').length)"
            )
            assert tab.evaluate(OPACITY) == "0.9"
            tab.locator(".slider-rail-touch-rect").first.scroll_into_view_if_needed()
            rail = tab.locator(".slider-rail-touch-rect").first.bounding_box()
            tab.mouse.click(rail["x"] + 2, rail["y"] + rail["height"] / 2)
            tab.wait_for_timeout(600)  # the page's policy forbids the evaluation that waiting for a function needs
            assert tab.evaluate(OPACITY) == "0"
            wide = tab.evaluate("document.documentElement.scrollWidth")
        finally:
            browser.close()
    assert all(drawn)
    assert wide <= 1280
    assert not failed
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
