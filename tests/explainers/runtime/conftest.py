import json
from pathlib import Path

import pytest

from explainers.runtime import Request, Runtime

HERE = Path(__file__).parent
ROW = json.dumps({"a": 1.0, "b": 0.5, "c": -1.0, "d": 2.0}).encode()


@pytest.fixture(scope="session")
def toys():
    """Workers and this process find toy_catalogue."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(HERE))
    patch.setenv("PYTHONPATH", str(HERE))
    patch.setenv("OMP_NUM_THREADS", "1")
    yield "toy_catalogue"
    patch.undo()


@pytest.fixture
def start(tmp_path, toys):
    """Start a runtime over toy models; all are closed at the end."""
    started = []

    def begin(workspace=tmp_path / "workspace", **options):
        started.append(Runtime(workspace, "cpu", catalogue=toys, **{"server": False, **options}))
        return started[-1]

    yield begin
    for one in started:
        one.close()


@pytest.fixture(scope="module")
def runtime(toys, tmp_path_factory):
    """One runtime for the tests of a module that leave it as it was."""
    with Runtime(tmp_path_factory.mktemp("workspace"), "cpu", catalogue=toys, server=False) as found:
        yield found


@pytest.fixture
def row():
    return ROW


@pytest.fixture
def ask():
    """Submit a request for a model; returns the job's id."""

    def submit(runtime, model="quick", method="integrated_gradients", owner="me", **about):
        return runtime.submit(Request(model, runtime.put(ROW, "row.json"), method, **about), owner)

    return submit
