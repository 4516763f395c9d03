"""Our ONNX operators against the node cases of onnx.backend.test; benchmarks/onnx_nodes.py runs them all."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from onnx_cases import cases, right

from model_zoo.formats._onnx.interpreter import converted

# What networks are made of: every case of these is right.
LAYERS = re.compile(
    r"test_(basic_conv|conv_with|convtranspose|batchnorm_(example|epsilon)$|layer_normalization|rms_norm|group_norm"
    r"|instancenorm|lstm|gru|simple_rnn|softmax|logsoftmax|gelu|relu|sigmoid|tanh|erf|hardswish|matmul|gemm|einsum"
    r"|maxpool|averagepool|globalaveragepool|resize|gather|slice|concat|reshape|transpose|squeeze|unsqueeze|expand"
    r"|where|split|pad_|constant_pad|edge_pad|reflect_pad|reduce_(mean|sum|max|l2)|scatter|loop11|if$|scan9"
    r"|attention_[34]d(?!.*(16|qk)))"
)
SAMPLE, SHARE = 150, 0.85  # of the others that are drawn, and how many of them are right: 88 % of all are


@pytest.fixture(scope="module")
def every():
    return cases()


def _good(case):
    try:
        return right(case, converted)
    except Exception:
        return False


def test_what_networks_are_made_of_is_right_in_every_case(every):
    chosen = [one for one in every if LAYERS.match(one.name) and "_expanded" not in one.name]
    assert len(chosen) > 300
    assert [one.name for one in chosen if not _good(one)] == []


def test_most_cases_of_a_seeded_sample_are_right(every):
    drawn = np.random.default_rng(0).choice(len(every), SAMPLE, replace=False)
    assert np.mean([_good(every[place]) for place in drawn]) >= SHARE


@pytest.mark.parametrize(
    "name",
    ["test_lstm_with_peepholes", "test_gru_seq_length", "test_resize_upsample_scales_cubic", "test_convtranspose"],
)
def test_gradients_are_those_of_differences(name, every):
    """dy/dx · d against (y(x + h d) - y(x - h d)) / 2h, in double precision."""
    case = next(one for one in every if one.name == name)
    inputs = [torch.as_tensor(one) for one in case.data_sets[0][0]]
    network = converted(case.model)
    inputs = [
        one.double() if one.is_floating_point() and name != "test_resize_upsample_scales_cubic" else one
        for one in inputs
    ]
    x = inputs[0].double().requires_grad_()

    def run(first):
        found = network(first, *inputs[1:])
        return (found[0] if isinstance(found, tuple) else found).square().sum()

    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(run(x), x)
    with torch.no_grad():
        slope = (run(x + 1e-5 * way) - run(x - 1e-5 * way)) / 2e-5
    torch.testing.assert_close((gradient * way).sum(), slope, rtol=1e-6, atol=1e-6)
