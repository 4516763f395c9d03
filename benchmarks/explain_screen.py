"""How long a person waits: from starting the server to the last plot, with the figures we hold ourselves to.

    python -m benchmarks.explain_screen [--model efficientnet_lite0] [--example coffee]

Runs against a fresh workspace. The worker is warm (it has explained once) before the methods are timed, as on a
server in use.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import commit, machine
from explainers.runtime import Runtime
from explainers.runtime.types import Request
from model_zoo import catalogue

WAITS = (  # method, parameters, seconds to the end that we hold, seconds to the first picture
    ("grad_cam", {}, 2.0, None),
    ("integrated_gradients", {}, 10.0, 2.0),
    ("lime", {"num_samples": 1000}, 60.0, None),
)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--example", default="coffee")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    print(f"{asked.model}, {asked.example}; {machine()}; commit {commit()}\n")
    print("| what a person waits for | held | measured |\n|---|---|---|")
    for what, held, measured in [*_server(), *_methods(asked.model, asked.example, asked.repeats)]:
        print(f"| {what} | {held} | {measured} |", flush=True)


def _server() -> Iterator[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as workspace, _served(workspace) as (url, ready):
        yield "server ready", "≤ 3 s", f"{ready:.1f} s"
        yield "first screen usable", "≤ 3 s", f"{_first_screen(url):.1f} s"


@contextmanager
def _served(workspace: str) -> Iterator[tuple[str, float]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("assay")), "serve", "--no-browser", f"--port={port}"]
    began = time.perf_counter()
    server = subprocess.Popen([*command, f"--workspace={workspace}"], stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield url, time.perf_counter() - began
    finally:
        server.terminate()
        server.wait(20)


def _first_screen(url: str) -> float:
    """Seconds from opening the page until the model can be chosen, in a Chromium that is already running."""
    from playwright.sync_api import sync_playwright

    from app.reports.report import browser

    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=browser(), args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        began = time.perf_counter()
        page.goto(url)
        page.get_by_text("SqueezeNet 1.1").first.wait_for()
        page.get_by_role("button", name="Explain").last.wait_for()
        waited = time.perf_counter() - began
        chromium.close()
    return waited


def _methods(model: str, example: str, repeats: int) -> Iterator[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as workspace, Runtime(workspace) as runtime:
        digest = runtime.put(*catalogue.read_example(example))
        _run(runtime, Request(model, digest, "saliency"))
        for method, parameters, end, first in WAITS:
            found = [_run(runtime, Request(model, digest, method, parameters)) for _ in range(repeats)]
            ends, firsts = sorted(one[1] for one in found), sorted(one[0] for one in found)
            title = f"{method}{''.join(f', {k} {v:,}' for k, v in parameters.items())}"
            if first:
                yield f"{title}: first picture", f"≤ {first:g} s", f"{firsts[len(firsts) // 2]:.1f} s"
            result = found[-1][2]
            settled = next(one for one in result.evidence if one.id == "settled")
            says = f"{ends[len(ends) // 2]:.1f} s ({result.flavour}; {settled.sentence})"
            yield f"{title}: done", f"≤ {end:g} s", says


def _run(runtime: Runtime, request: Request) -> tuple[float, float, object]:
    """Seconds to the first picture and to the end, and the explanation."""
    began = time.perf_counter()
    job = runtime.submit(request, "benchmark")
    first = 0.0
    while runtime.job(job).status in ("queued", "running"):
        if not first and runtime.partial(job) is not None:
            first = time.perf_counter() - began
        time.sleep(0.02)
    took = time.perf_counter() - began
    return first or took, took, runtime.result(job)


if __name__ == "__main__":
    main()
