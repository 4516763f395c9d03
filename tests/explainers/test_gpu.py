"""The same numbers on a GPU, and memory that really runs out; skipped where there is no GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers.engine.evaluator import Evaluator
from explainers.engine.run import Run
from model_zoo import catalogue

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
METHODS = {
    "saliency": {},
    "input_x_gradient": {},
    "integrated_gradients": {"steps": 32, "most": 32},
    "smoothgrad": {"samples": 10},
    "grad_cam": {},
    "occlusion": {},
    "kernel_shap": {"nsamples": 200, "segments": 20},
    "gradient_shap": {"nsamples": 20},
    "partition_shap": {"max_evals": 100},
    "lime": {"num_samples": 100},
}


@pytest.fixture(autouse=True)
def _exact_arithmetic():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("method", METHODS)
def test_a_method_gives_the_cpus_values(method: str) -> None:
    raw, name = catalogue.read_example("cat")
    found = []
    for device in ("cpu", "cuda"):
        model = model_zoo.load("squeezenet", device)
        found.append(explainers.explain(model, model.sample(raw, name), method, seed=0, **METHODS[method]))
    cpu, gpu = found
    assert gpu.provenance.device.startswith("cuda")
    agreement = np.corrcoef(cpu.values, gpu.values)[0, 1]
    share = np.abs(cpu.values - gpu.values).sum() / np.abs(cpu.values).sum()
    assert agreement > 0.999, (agreement, share)


def test_memory_that_runs_out_halves_the_batch() -> None:
    class Hungry(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x[:, :, None].expand(-1, -1, 64 * 2**20).contiguous() * self.scale).mean(-1)

    model = model_zoo.wrap(Hungry().cuda(), modality="tabular", task="regression", feature_names=["x"])
    torch.cuda.set_per_process_memory_fraction(4 * 2**30 / torch.cuda.get_device_properties(0).total_memory)
    try:
        evaluator = Evaluator(model, Run(), (64,))
        inputs = torch.arange(100.0)[:, None]
        torch.testing.assert_close(evaluator.scores(inputs), inputs * 2)
        assert max(evaluator.batches) < 64
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
