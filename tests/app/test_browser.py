"""The main job in a real Chromium, with real models: choose, run, watch, take away, reopen; and what goes wrong.

One server serves all tests. Whatever a page asks for must be on 127.0.0.1, and its console must stay silent.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import required

from explainers import open_record

pytestmark = pytest.mark.browser

PATIENCE = 90_000  # milliseconds; a loaded machine is slow
CHIPS = "[class*=st-key-chip-]"  # the picked methods
CLOSED = ("_stcore/health", "_stcore/host-config")  # Streamlit probes these under a screen's path before the root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of a running dashboard and the id of its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    workspace = tmp_path_factory.mktemp("workspace")
    log = (workspace / "server.log").open("wb")
    command = [sys.executable, "-m", "app.cli", "serve", "--no-browser", "--port", str(port)]
    command += ["--workspace", str(workspace), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


@pytest.fixture(scope="module")  # not longer: another module starts a browser of its own
def chromium() -> Iterator[Any]:
    program = required()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def page(server: tuple[str, int], chromium: Any) -> Iterator[Any]:
    """A fresh visitor at 1280 × 800; fails on any request to elsewhere and on any error in the console."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    found, outside, errors = context.new_page(), [], []
    found.set_default_timeout(PATIENCE)
    local = (server[0], server[0].replace("http", "ws"), "data:", "blob:")
    found.on("request", lambda one: None if one.url.startswith(local) else outside.append(one.url))
    found.on("websocket", lambda one: None if one.url.startswith(local) else outside.append(one.url))
    found.on("console", lambda one: _hear(one, errors))
    found.on("pageerror", lambda one: errors.append(str(one)))
    found.goto(server[0])
    yield found
    context.close()
    assert not outside, f"the page asked for {outside}"
    assert not errors, f"the console says {errors}"


def _hear(message: Any, errors: list[str]) -> None:
    if message.type == "error" and not any(one in message.location.get("url", "") for one in CLOSED):
        errors.append(message.text)


def choose(page: Any, kind: str, model: str) -> None:
    """A model, and its prediction on the screen."""
    still(page)
    page.get_by_role("radio", name=kind, exact=True).click()
    page.locator("label", has_text=model).wait_for()
    still(page)
    page.locator("label", has_text=model).click()
    page.locator(".as-bars").wait_for()
    page.locator(".as-headline + .as-quiet", has_text=model).wait_for()


def still(page: Any) -> None:
    """The script has run to its end, so that what is clicked is not redrawn under the pointer."""
    page.locator('.stApp[data-test-script-state="notRunning"]').wait_for()


def go(page: Any, screen: str) -> None:
    """Another screen, by the menu."""
    page.get_by_role("link", name=screen).click()
    page.locator(".as-headline", has_text=screen).wait_for()
    still(page)


def ask(page: Any, *methods: str) -> None:
    """Pick exactly these methods and press Explain."""
    page.locator(CHIPS).first.wait_for()
    still(page)
    if picked(page) != list(methods):
        page.get_by_role("button", name="Add methods").click()
        dialog = page.get_by_role("dialog")
        boxes = dialog.locator("label", has=page.get_by_role("checkbox"))
        for name in {*picked(page), *methods}:
            if (name in picked(page)) != (name in methods):
                boxes.filter(has_text=re.compile(f"^{re.escape(name)}$")).click()
                page.wait_for_timeout(300)
                still(page)
        dialog.get_by_role("button", name="Done").click()
        dialog.wait_for(state="hidden")
        still(page)
    assert sorted(picked(page)) == sorted(methods)
    page.locator(".st-key-run button").click()


def picked(page: Any) -> list[str]:
    """The methods in the row."""
    names = page.locator(f"{CHIPS} [data-testid=stPopover] p").all_inner_texts()
    return [one.splitlines()[-1].strip() for one in names]


def finished(page: Any, count: int) -> None:
    """So many panels with their evidence, and nothing that runs."""
    page.locator(".as-details").nth(count - 1).wait_for()
    page.locator(".st-key-run button").wait_for()


def save(page: Any, label: str, folder: Path) -> Path:
    """Press a download button and keep the file."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


@pytest.mark.parametrize(
    ("kind", "model", "methods", "picture"),
    [
        ("Image", "EfficientNet-Lite0", ("Grad-CAM", "SmoothGrad"), ".js-plotly-plot"),
        ("Text", "MiniLM sentiment", ("Attention", "Integrated gradients"), ".assay-text"),
        ("Table", "Income trees", ("Tree SHAP",), ".js-plotly-plot"),
    ],
    ids=["image", "text", "table"],
)
def test_from_choosing_to_the_reopened_record(
    page: Any, tmp_path: Path, kind: str, model: str, methods: tuple[str, ...], picture: str
) -> None:
    choose(page, kind, model)
    ask(page, *methods)
    finished(page, len(methods))
    page.locator(picture).first.wait_for()
    assert re.search(r"\d %.*mainly because of|\d %", page.locator(".as-headline").inner_text())
    marks = page.locator(".as-line")
    assert marks.count() == 6 * len(methods)
    if marks.first.get_attribute("open") is None:  # a bad one is open from the start
        marks.first.locator("summary").click()
    assert marks.first.locator("p").first.is_visible()

    report = save(page, "Report (HTML)", tmp_path)
    text = report.read_text(encoding="utf-8")
    assert model in text
    assert all(one in text for one in methods)
    record = save(page, "Record (.assay)", tmp_path)
    assert {one.title for one in open_record(record).explanations} == set(methods)

    go(page, "Runs")
    page.get_by_role("button", name="Open", exact=True).first.click()
    page.locator(".as-details").nth(len(methods) - 1).wait_for()
    page.locator(picture).first.wait_for()
    page.locator(".as-bars").wait_for()
    page.locator(".as-seen").wait_for()
    still(page)
    page.get_by_role("button", name="Explain this input again").click()
    page.locator(".st-key-run button").wait_for()
    still(page)
    assert set(picked(page)) == set(methods)
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("button", name="All runs").click()
    page.locator(".as-headline", has_text="Runs").wait_for()
    still(page)
    page.locator("input[type=file]").set_input_files(record)
    page.locator(".as-headline + .as-quiet", has_text=record.name).wait_for()
    page.locator(picture).first.wait_for()


def test_bad_files_are_sentences_and_the_screen_stays(page: Any, tmp_path: Path) -> None:
    fake = tmp_path / "<b>notes.png"
    fake.write_text("this is no picture")
    page.locator(".as-bars").wait_for()
    still(page)
    page.locator(CHIPS).nth(1).wait_for()  # the row comes after the bars
    chosen = picked(page)
    page.locator("input[type=file]").set_input_files(fake)
    sentence = page.locator(".as-error")
    sentence.wait_for()
    assert len(sentence.inner_text()) > 20
    assert "Traceback" not in page.content()
    still(page)
    page.get_by_role("button", name="Chelsea the cat").click()
    page.locator(".as-headline + .as-quiet", has_text="cat").wait_for()
    page.locator(".as-bars").wait_for()
    still(page)
    page.locator(CHIPS).nth(1).wait_for()
    assert picked(page) == chosen, "a bad file changed what was chosen"

    page.get_by_role("radio", name="Table", exact=True).click()
    page.locator(".as-row").first.wait_for()
    still(page)
    table = tmp_path / "rows.csv"
    table.write_text("Colour,Size\nred,3\n")
    page.locator("input[type=file]").set_input_files(table)
    page.get_by_role("button", name="Use this row").or_(page.locator(".as-error")).first.wait_for()
    if page.locator(".as-error").count() == 0:
        page.get_by_role("button", name="Use this row").click()
        page.locator(".as-error").wait_for()

    go(page, "Runs")
    wrong = tmp_path / "wrong.assay"
    wrong.write_bytes(b"PK not a record")
    page.locator("input[type=file]").set_input_files(wrong)
    page.locator(".as-error").wait_for()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bare weights as people have them: a ResNet of seven classes, saved by a DataParallel."""
    import torch

    from model_zoo import vision

    torch.manual_seed(0)
    network = vision.torchvision().models.resnet18(num_classes=7)
    path = tmp_path_factory.mktemp("upload") / "<b>flowers.pth"
    torch.save({"state_dict": {f"module.{name}": one for name, one in network.state_dict().items()}}, path)
    return path


def test_a_stranger_s_checkpoint_from_the_drop_zone_to_grad_cam(page: Any, checkpoint: Path) -> None:
    names = "daisy\ndandelion\nrose\nsunflower\ntulip\niris\n<i>lily"
    page.locator(".as-bars").wait_for()
    still(page)
    page.get_by_role("button", name="Your own model").click()
    page.get_by_text("Drop a model file here").wait_for()
    still(page)
    page.locator("input[type=file]").set_input_files(checkpoint)
    page.get_by_role("button", name="Use this model").wait_for()
    page.locator(".as-headline", has_text="7 classes").wait_for()
    still(page)
    typed = page.get_by_label("Class names, in the order of the outputs")
    typed.fill("daisy, rose")
    page.get_by_role("button", name="Use this model").click()
    page.locator(".as-error", has_text="7 names are expected").wait_for()
    assert typed.input_value() == "daisy, rose", "nothing typed is lost"
    typed.fill(names)
    typed.blur()
    page.get_by_text("7 names for 7 classes").wait_for()
    still(page)
    page.get_by_role("button", name="Use this model").click()
    page.locator(".as-headline", has_text="Give <b>flowers a photo").wait_for()
    page.get_by_role("button", name="A cup of coffee").click()
    page.locator(".as-bars").wait_for()
    page.locator(".as-headline + .as-quiet", has_text="<b>flowers on coffee.jpg").wait_for()
    ask(page, "Grad-CAM")
    finished(page, 1)
    page.locator(".js-plotly-plot").first.wait_for()

    page.get_by_role("link", name="Check-up").click()
    page.locator(".as-figures", has_text="11,180,103").wait_for()
    go(page, "Models")
    page.locator(".as-run", has_text="<b>flowers").wait_for()
    page.get_by_role("button", name="More", exact=True).click()
    still(page)
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Remove it").click()
    page.get_by_text("You have not brought a model yet").wait_for()


def long_job(page: Any) -> None:
    """LIME on a photograph: tens of seconds on two cores."""
    choose(page, "Image", "EfficientNet-Lite0")
    ask(page, "LIME")
    page.get_by_text(re.compile(r"\d of [\d,]+ evaluations")).first.wait_for()


def test_a_refresh_finds_the_job_and_cancel_stops_it(page: Any) -> None:
    long_job(page)
    assert "runs=" in page.url
    page.reload()
    page.get_by_text(re.compile(r"\d of [\d,]+ evaluations")).first.wait_for()
    page.locator(".st-key-cancel button").click()
    page.get_by_text("Stopped before it was finished.").wait_for()
    page.locator(".st-key-run button").wait_for()


def test_a_test_in_its_middle_outlives_a_refresh_and_can_be_stopped(page: Any) -> None:
    choose(page, "Text", "MiniLM sentiment")
    ask(page, "Integrated gradients")
    finished(page, 1)
    assert page.locator(".as-overall").inner_text().endswith("2 of the 4 tests that it rests on ran.")
    page.get_by_role("button", name=re.compile("^Test it fully, ")).click()
    page.get_by_text(re.compile(r"Testing: [\d,]+ of [\d,]+ evaluations")).wait_for()
    assert page.locator(".assay-text").is_visible(), "the values stay in view"
    page.reload()
    page.get_by_text(re.compile(r"Testing: [\d,]+ of [\d,]+ evaluations")).wait_for()
    page.locator(".assay-text").wait_for()
    page.locator("[class*=st-key-testing-]").get_by_role("button", name="Stop").click()
    page.get_by_text("Testing was stopped; what was known before stays.").wait_for()
    still(page)
    assert page.locator(".assay-text").is_visible()
    page.get_by_role("button", name=re.compile("^Test, ")).last.click()  # the quickest: the second opinion
    line = page.locator(".as-line", has_text="Second opinion")
    line.locator(".as-word", has_text=re.compile("good|doubtful|bad")).wait_for()


def test_an_explanation_is_tested_fully_and_a_refresh_keeps_it(page: Any, tmp_path: Path) -> None:
    choose(page, "Table", "Income perceptron")
    ask(page, "Integrated gradients")
    finished(page, 1)
    button = page.get_by_role("button", name=re.compile("^Test it fully, "))
    button.click()
    page.get_by_text("Deletion and insertion curves").click()
    page.locator("[class*=st-key-curves-] .js-plotly-plot").wait_for()
    assert button.count() == 0
    assert page.locator(".as-word", has_text="not run").count() == 0
    page.reload()
    page.get_by_text("Deletion and insertion curves").wait_for()
    assert re.search(r"\d of the 4 tests that it rests on ran, and 2 more", page.locator(".as-overall").inner_text())
    still(page)
    (found,) = open_record(save(page, "Record (.assay)", tmp_path)).explanations
    assert {one.id for one in found.evidence if one.evaluations} >= {"beats_chance", "repeats", "second_opinion"}


def test_a_killed_worker_is_a_sentence_and_the_next_run_works(page: Any, server: tuple[str, int]) -> None:
    long_job(page)
    for worker in _workers(server[1]):
        os.kill(worker, signal.SIGKILL)
    page.locator(".as-error").wait_for()
    assert "worker" in page.locator(".as-error").inner_text().lower()
    ask(page, "Grad-CAM")
    finished(page, 1)


def _workers(server: int) -> list[int]:
    """The processes that compute jobs, which the server's warm process forked."""
    listed = subprocess.run(["ps", "-axwwo", "pid,ppid,comm"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    parents = {int(pid): int(parent) for pid, parent, _ in rows}

    def descends(pid: int) -> bool:
        return pid == server or (pid in parents and descends(parents[pid]))

    found = [int(pid) for pid, _, name in rows if name == "assay-run" and descends(int(pid))]
    assert found, "no worker runs"
    return found


def test_nothing_of_streamlit_is_in_the_way(page: Any) -> None:
    page.locator(".as-bars").wait_for()
    assert page.get_by_role("button", name="Deploy").count() == 0
    assert page.locator("footer").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
