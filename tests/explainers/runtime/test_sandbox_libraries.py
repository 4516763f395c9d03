"""Every library that opens models works inside the sandbox: what it asks of the machine, it gets or can do without."""

import importlib.util
from pathlib import Path

import confined
import pytest

from explainers.runtime.sandbox import host

pytestmark = pytest.mark.skipif(not host().contained, reason=host().sentence)
LIBRARIES = ("transformers", "keras", "onnxruntime", "xgboost", "lightgbm", "catboost", "h5py", "skops")


@pytest.fixture(scope="module")
def warm():
    with confined.warm("torch", "sklearn.ensemble", paths=(str(Path(__file__).parent),)) as one:
        yield one


@pytest.mark.parametrize("library", ["torch_with_threads", "our_own_models", *LIBRARIES])
def test_a_library_works_inside_the_sandbox(warm, library):
    if library in LIBRARIES and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    outcome = warm.call(f"library_guests:{library}", limits=confined.Limits(seconds=120, memory=2 << 30))
    assert outcome.kind == "answer", outcome
    assert outcome.value == pytest.approx(0, abs=1e-6)
