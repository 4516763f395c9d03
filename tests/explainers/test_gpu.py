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
    "grad_cam_plus_plus": {},
    "hires_cam": {},
    "layer_cam": {},
    "eigen_cam": {},
    "score_cam": {"channels": 64},
    "occlusion": {},
    "kernel_shap": {"nsamples": 200, "segments": 20},
    "gradient_shap": {"nsamples": 20},
    "partition_shap": {"max_evals": 100},
    "lime": {"num_samples": 100},
}


CASES = [
    *(("squeezenet", "cat", method) for method in METHODS),
    *(
        ("bilstm_reviews", "review_cheap", method)
        for method in ("integrated_gradients", "occlusion", "gradient_shap", "lime")
    ),
    *(
        ("adult_mlp", "adult_manager", method)
        for method in ("integrated_gradients", "kernel_shap", "gradient_shap", "lime")
    ),
]


@pytest.mark.parametrize(("name", "example", "method"), CASES)
def test_a_method_gives_the_cpus_values(name: str, example: str, method: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        model = model_zoo.load(name, device)
        sample = model.sample(*catalogue.read_example(example))
        players = {"players": "segments"} if method == "kernel_shap" and model.card.modality == "image" else {}
        settings = {key: value for key, value in METHODS[method].items() if key != "segments" or players}
        found.append(explainers.explain(model, sample, method, seed=0, **players, **settings))
    cpu, gpu = found
    assert gpu.provenance.device.startswith("cuda")
    share = np.abs(cpu.values - gpu.values).sum() / np.abs(cpu.values).sum()
    assert share < 0.01, share


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
