"""A document on paper, printed by the Chromium or Chrome that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from model_zoo.types import UserError

NO_BROWSER = (
    "A PDF is printed by Chromium or Chrome, and neither was found: install one of them, or take the HTML report."
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/snap/bin/chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
PATIENCE = 120  # seconds
DRAWING = 10_000  # milliseconds of the page's own time in which its script draws
QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-extensions",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
    "--no-default-browser-check",
)


def browser() -> str | None:
    """The path of an installed Chromium, Chrome or Edge, or None."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    return found or next((place for place in PLACES if Path(place).is_file()), None)


def pdf(html: str) -> bytes:
    """The PDF of a self-contained HTML document; UserError if no browser is installed or it fails."""
    program = browser()
    if program is None:
        raise UserError(NO_BROWSER)
    with tempfile.TemporaryDirectory(prefix="assay-", ignore_cleanup_errors=True) as folder:
        page, paper = Path(folder, "report.html"), Path(folder, "report.pdf")
        page.write_text(html, encoding="utf-8")
        command = [program, *QUIET, f"--user-data-dir={Path(folder, 'profile')}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # Chromium's sandbox refuses to start for root
            command.append("--no-sandbox")
        command += [
            f"--virtual-time-budget={DRAWING}",
            "--no-pdf-header-footer",
            f"--print-to-pdf={paper}",
            page.as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(
                f"{program} did not print the report; take the HTML report and print it from a browser."
            ) from error
        if done.returncode or not paper.is_file():
            raise UserError(f"{program} did not print the report; take the HTML report and print it from a browser.")
        return paper.read_bytes()
