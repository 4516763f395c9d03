"""Nothing that a person can choose goes undocumented, and the documents are those of this code."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["methods.md", "models.md", "formats.md", "checkup.md"])
def test_the_tables_are_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == _tables().PAGES[page](), "run: python docs/tables.py"


def test_every_file_of_the_corpus_is_in_its_table() -> None:
    from corpus import entries

    text = (ROOT / "docs" / "corpus.md").read_text()
    assert [one.what for one in entries() if f"| {one.what} |" not in text] == [], "run: python docs/corpus.py"


def test_the_readmes_python_runs() -> None:
    """The Python of the README, as it stands there."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(blocks)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_folder_of_the_house_is_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for top in ("app", "explainers", "model_zoo"):
        for folder in (ROOT / top).iterdir():
            if folder.is_dir() and (folder / "__init__.py").exists():
                assert f"{folder.name}/" in text, f"{top}/{folder.name} is missing from docs/architecture.md"


@pytest.mark.parametrize("page", ["README.md", "docs/measurements.md", "docs/architecture.md"])
def test_no_page_waits_for_its_figures(page: str) -> None:
    assert "<!--" not in (ROOT / page).read_text()
