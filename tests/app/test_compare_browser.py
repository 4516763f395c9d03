"""Compare in a real browser: a grid that fills, agreement below it, a refresh that finds it, baselines, a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_browser import choose, chromium, page, save, server, still

__all__ = ["chromium", "page", "server"]  # fixtures

pytestmark = pytest.mark.browser


def test_a_comparison_from_the_grid_to_the_report(page: Any, tmp_path: Path) -> None:
    choose(page, "Table", "Income trees")
    page.get_by_role("link", name="Compare").click()
    page.locator(".st-key-compare-run button").wait_for()
    still(page)
    page.locator(".as-vacant", has_text="Not run yet").first.wait_for()
    page.locator(".st-key-compare-run button").click()
    page.locator(".as-rowhead", has_text="How far they agree").wait_for()
    page.locator(".as-vacant").first.wait_for(state="detached")
    still(page)
    assert page.locator(".as-celltitle").count() == 3
    assert page.locator(".js-plotly-plot").count() == 3 + 3, "a picture a cell, the matrices, consensus, disagreement"
    headline = page.locator(".as-headline").inner_text()
    assert "methods name" in headline or "do not name" in headline
    assert "group=" in page.url

    page.reload()
    page.locator(".as-rowhead", has_text="How far they agree").wait_for()
    still(page)
    assert page.locator(".as-headline").inner_text() == headline, "a refresh loses nothing"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    report = save(page, "Report (HTML)", tmp_path)
    text = report.read_text(encoding="utf-8")
    assert "How far they agree" in text
    assert "Consensus" in text

    page.get_by_role("radio", name="Baselines").click()
    page.locator(".st-key-compare-vary button").click()
    page.locator(".as-sentence", has_text="baseline").wait_for()
    page.locator(".as-celltitle", has_text="(default)").wait_for()
    still(page)
    assert "view=baselines" in page.url

    page.get_by_role("link", name="Runs").click()
    page.locator(".as-run", has_text="Tree SHAP").first.wait_for()
